"""The Responses API: completion requests to request bodies, events to chunks."""
