"""What can go wrong on command: one table for each part of the services."""
