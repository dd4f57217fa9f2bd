"""The faults: everything that can be made to go wrong, as tables, one for each part of the services."""
