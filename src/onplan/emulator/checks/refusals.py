"""Refusals in the platform's shape, and the simplest checks: a type, an allowed value, a missing field."""

from __future__ import annotations

from typing import Any

from onplan.emulator.wire.replies import Refusal, api_error


def refuse(message: str, param: str, code: str | None = None) -> Refusal:
    """A refusal in the platform's shape."""
    return Refusal(api_error(message, param=param, code=code))


def missing(param: str) -> Refusal:
    """The refusal of a request that lacks a parameter."""
    return refuse(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def supported(value: Any, allowed: tuple[str, ...], param: str) -> None:
    """Raise unless the value is one of those allowed."""
    if value not in allowed:
        names = ", ".join(f"'{name}'" for name in allowed)
        raise refuse(f"Invalid value: '{value}'. Supported values are: {names}.", param, "invalid_value")


def one_of(value: Any, allowed: tuple[str, ...], param: str) -> None:
    """Raise unless the value is absent or one of those allowed."""
    if value is not None:
        supported(value, allowed, param)


def of_type(value: Any, kind: type | tuple[type, ...], param: str, name: str) -> None:
    """Raise unless the value is absent or of a type."""
    if value is not None:
        must_be(value, kind, param, name)


def must_be(value: Any, kind: type | tuple[type, ...], param: str, name: str) -> None:
    """Raise unless the value is of a type."""
    if not isinstance(value, kind):
        message = f"Invalid type for '{param}': expected {name}, but got {type(value).__name__} instead."
        raise refuse(message, param, "invalid_type")
