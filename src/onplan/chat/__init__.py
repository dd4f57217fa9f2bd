"""Chat Completions, both ways: requests to bodies and chunks to answers, and back. Pure."""
