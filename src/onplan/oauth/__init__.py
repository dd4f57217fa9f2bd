"""OAuth as pure dialogues: what to send, what an answer means. No socket, clock or disk."""
