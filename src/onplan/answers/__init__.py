"""What the answers of every API have in common: event streams, failures, limits, model catalogues."""
