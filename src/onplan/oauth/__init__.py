"""OAuth as pure flows: which requests to send, and what the answers mean. No socket, clock or disk."""
