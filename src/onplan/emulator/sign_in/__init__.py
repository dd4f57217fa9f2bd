"""The sign-in services: authorize, token, device and registration endpoints, and the tokens they issue."""
