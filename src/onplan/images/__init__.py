"""Images that the backend makes: generated from words, or edited."""
