"""What the backends answer: models, turns, accounts, plans."""
