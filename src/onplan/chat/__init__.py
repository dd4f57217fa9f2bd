"""Chat Completions, for clients and servers: request bodies and streams, written and read."""
