"""Reads the environment: its variables, the system's proxy settings, and the user's folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onplan.errors import ConfigurationError
from onplan.secret import SecretText


@dataclass(frozen=True)
class Environment:
    """Environment variables. The printed form shows none: keys, and passwords of proxies, are among them."""

    values: Mapping[str, str] = field(repr=False)

    def get(self, name: str) -> str | None:
        """The variable, or None if it is unset or empty."""
        return self.values.get(name, "").strip() or None


def environment_variable(name: str) -> str | None:
    """The variable ``name``, or None if it is unset or empty."""
    return Environment(os.environ).get(name)


def telemetry_variable() -> bool:
    """Whether ``ONPLAN_TELEMETRY`` asks for telemetry. Raises ConfigurationError for other words."""
    given = environment_variable("ONPLAN_TELEMETRY")
    wanted = _SWITCH.get((given or "off").lower())
    if wanted is None:
        raise ConfigurationError(
            f"ONPLAN_TELEMETRY is {given}, which is neither on nor off.", hint="Write `ONPLAN_TELEMETRY=on`."
        )
    return wanted


_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def system_proxies() -> Mapping[str, str]:
    """The proxies of the environment, else of the system's own settings.

    Keys: ``http``, ``https`` and ``all``, whose URLs may hold passwords; and ``no``, the exceptions,
    separated by commas.
    """
    from urllib.request import getproxies

    return {kind: SecretText(value.strip()) for kind, value in getproxies().items()}


def home_folder(environment: Environment) -> Path:
    """``ONPLAN_HOME``, or the system's folder for a user's configuration. Raises ConfigurationError."""
    home = find_home(environment)
    if home is None:
        raise no_home()
    return home


def find_home(environment: Environment) -> Path | None:
    """``home_folder``, or None for an account without a home folder, such as those of some containers."""
    given = environment.get("ONPLAN_HOME")
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            raise ConfigurationError(f"ONPLAN_HOME is {given}, but there is no such user.") from None
    import platformdirs

    return _absolute(lambda: platformdirs.user_config_path("onplan", appauthor=False))


def state_folder() -> Path:
    """The user's folder for locks, the same for every ONPLAN_HOME; without a home folder, ONPLAN_HOME itself.

    Raises ConfigurationError if there is neither.
    """
    import platformdirs

    found = _absolute(lambda: platformdirs.user_state_path("onplan", appauthor=False))
    return found or home_folder(Environment(os.environ))


def _absolute(folder: Callable[[], Path]) -> Path | None:
    """``folder()``; None without a home folder, where platformdirs fails or leaves a tilde in the path."""
    try:
        found = folder()
    except (RuntimeError, KeyError):
        return None
    return found if found.is_absolute() else None


def no_home() -> ConfigurationError:
    """The error for an account that has no home folder."""
    user = f"the user id {os.getuid()}" if hasattr(os, "getuid") else "this user"
    return ConfigurationError(
        f"There is no folder for onplan's files: HOME is not set, and {user} has no home folder.",
        hint="Set ONPLAN_HOME to a folder that you can write: `export ONPLAN_HOME=/path/to/folder`.",
    )
