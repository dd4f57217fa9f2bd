"""Whether the services would accept a request; each check raises the refusal that they would send."""
