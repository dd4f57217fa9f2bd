"""Conversations: a history of messages that grows, branches, is undone, saved and loaded."""
