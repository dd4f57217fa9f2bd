"""Prepares a request for either API: repaired history, strict schemas, image types, data URLs."""
