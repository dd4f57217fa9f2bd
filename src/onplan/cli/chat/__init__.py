"""``onplan chat``: a conversation at a terminal."""
