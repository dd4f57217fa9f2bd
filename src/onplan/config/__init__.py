"""Arguments, environment and files: what a person has set, and where it is kept."""
