"""The Responses API, both ways: requests to bodies, bytes to events, events to chunks. Pure."""
