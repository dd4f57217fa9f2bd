"""How requests come in and answers go out: sockets, frames, streams, replies."""
