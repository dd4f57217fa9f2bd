"""Markdown at a terminal, drawn while it arrives: blocks, what they look like, and the screen they are on."""
