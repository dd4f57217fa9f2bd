"""Structured output: the JSON schema of a Python type, and the value of that type in an answer's text."""
