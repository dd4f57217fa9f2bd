"""The tokens that the two sign-in services issued, and the clients they were issued to."""
