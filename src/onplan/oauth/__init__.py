"""OAuth as pure flows: what to send, what an answer means. No socket, clock or disk."""
