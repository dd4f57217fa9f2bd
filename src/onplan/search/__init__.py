"""Searching the web without a model: what is asked, what is found, and the same as a tool of a run."""
