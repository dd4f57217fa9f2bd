"""The endpoints of the sign-in services: authorize, token, revoke, device codes, registration."""
