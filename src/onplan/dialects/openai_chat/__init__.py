"""The Chat Completions API, as its server sees it."""
