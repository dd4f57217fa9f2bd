"""The server: sockets, guard, load and accounting around the service; not what is asked or answered."""
