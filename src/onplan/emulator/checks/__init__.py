"""Whether a request would be accepted; each check raises the refusal that the service would send."""
