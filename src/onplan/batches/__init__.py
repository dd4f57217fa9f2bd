"""Many requests at once: what is asked when, what happens at a usage limit, and files of requests."""
