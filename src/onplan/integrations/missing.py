"""The error for a framework that is not installed."""

from __future__ import annotations

from onplan.errors import ConfigurationError


class MissingFrameworkError(ConfigurationError, ModuleNotFoundError):
    """A module of ``onplan.integrations`` was imported without its framework. An ImportError, too."""

    def __init__(self, framework: str, package: str) -> None:
        super().__init__(f"{framework} is not installed.", hint=f"Install it: `pip install {package}`.")
