"""Prepares a request for either API: repaired history, image types, data URLs."""
