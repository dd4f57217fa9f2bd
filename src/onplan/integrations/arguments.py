"""Checks of what frameworks hand on as it was given to them: a wrong value is refused with its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onplan.errors import InvalidRequestError


def wrong_kind(name: str, given: object, expected: str) -> InvalidRequestError:
    """The error for an argument, or a place in a message, that is something else than ``expected``."""
    kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
    return InvalidRequestError(f"{name} has the wrong type: {kind}.", hint=f"Give it {expected}.")


def several(name: str, given: Any, expected: str) -> list[Any]:
    """``given`` as a list. Raises InvalidRequestError if it is a single thing, such as a text."""
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise wrong_kind(name, given, expected)
    return list(given)


def named_values(name: str, given: Any) -> Mapping[str, Any]:
    """``given``, a dict; None stands for an empty one. Raises InvalidRequestError for anything else."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise wrong_kind(name, given, "a dict")
    return given
