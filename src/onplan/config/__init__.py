"""Reads what a person has configured: environment, config.toml, profiles; and the private files of onplan."""
