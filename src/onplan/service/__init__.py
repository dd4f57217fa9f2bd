"""Answers requests in other people's dialects with an ``AsyncClient``: a whole server but for the socket."""
