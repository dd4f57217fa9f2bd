"""The Responses API, as its server sees it."""
