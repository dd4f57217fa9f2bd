"""The endpoints of the backends: responses, chat completions, models, usage, accounts."""
