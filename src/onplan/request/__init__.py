"""What becomes of a request before it is written for one API or the other. Pure."""
