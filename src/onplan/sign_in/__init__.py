"""Signing in and out, using the sign-in of another program, and moving one to another machine."""
