"""``config.toml``: what a person writes about profiles, read and checked.

::

    profile = "default"

    [profiles.default]
    backend = "openai-codex"
    model = "gpt-5.5"
    store = "file:/path/to/credentials.json"

    [profiles.local]
    backend = "openai"
    base_url = "http://127.0.0.1:11434/v1"
    api = "chat"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.errors import ConfigurationError

DEFAULT_PROFILE = "default"

# The keys of config.toml: at the top, and in the table of a profile.
_KEYS = ("profile", "profiles")
_KEYS_OF_A_PROFILE = ("api", "backend", "base_url", "model", "store")


def read_config(path: Path) -> dict[str, Any]:
    """What is in the file, checked; nothing if there is none. Raises ConfigurationError."""
    try:
        text = as_utf8(read_file(path)).decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).lower()
        raise ConfigurationError(f"{path} cannot be read: {reason}.") from None
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from None
    _check_keys(path, config, "", _KEYS)
    if not isinstance(config.get("profile", ""), str):
        raise ConfigurationError(
            f"{path}: profile must be a string, the name of the profile in use.",
            hint=f"A profile's table is called `[profiles.NAME]`, such as `[profiles.{DEFAULT_PROFILE}]`.",
        )
    profiles = table_of(config, "profiles")
    for name in profiles:
        own = table_of(profiles, name)
        _check_keys(path, own, f" in [profiles.{name}]", _KEYS_OF_A_PROFILE)
        for key, value in own.items():
            if not isinstance(value, str):
                raise ConfigurationError(f"{path}: {key} in [profiles.{name}] must be a string.")
    return config


def _check_keys(path: Path, table: Mapping[str, Any], where: str, known: tuple[str, ...]) -> None:
    """Raise ConfigurationError for a key that would be ignored."""
    from difflib import get_close_matches

    for key in table:
        if key in known:
            continue
        near = get_close_matches(key, known, n=1)
        hint = f"The keys there are: {', '.join(known)}."
        if not where and key in _KEYS_OF_A_PROFILE:
            hint = f"Write it below `[profiles.NAME]`, such as `[profiles.{DEFAULT_PROFILE}]`."
        elif near:
            hint = f"Did you mean `{near[0]}`? {hint}"
        raise ConfigurationError(f"{path} has a key that is not known{where}: `{key}`.", hint=hint)


def table_of(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The table ``name`` of ``parent``, empty if there is none. Raises ConfigurationError."""
    value = parent.get(name, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} in config.toml must be a table.")
    return value
