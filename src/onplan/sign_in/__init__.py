"""Signing in and out, and taking a sign-in from another program or to another machine."""
