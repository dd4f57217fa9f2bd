"""Values that no argument expects: taken or refused as the framework does, or refused with their name."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import onplan

# What is called with an odd value, by the name of the argument that has it; after a space, what tells it
# apart.
Calls: TypeAlias = Mapping[str, Callable[[Any], object]]

VALUES: Mapping[str, Any] = {"None": None, "5": 5, "text": "", "list": [], "object": object()}
SOURCE = Path(onplan.__file__).parent


def odd(calls: Calls) -> Any:
    """Each call with each value, for a test with ``name``, ``call`` and ``value``."""
    cases = [
        pytest.param(name.split()[0], call, value, id=f"{name}-{said}")
        for name, call in calls.items()
        for said, value in VALUES.items()
    ]
    return pytest.mark.parametrize(("name", "call", "value"), cases)


def require_words(name: str, call: Callable[[Any], object], value: Any, *theirs: type[Exception]) -> None:
    """Call it. If that fails, the framework itself says so, or the error names the argument.

    Args:
        name: of the argument.
        call: takes the value.
        value: an odd one.
        theirs: the classes of the framework that onplan's errors are raised as; without any, onplan's own.
    """
    try:
        call(value)
    except Exception as error:
        if isinstance(error, theirs or (onplan.InvalidRequestError, onplan.ConfigurationError)):
            if name not in str(error) and "has no messages" not in str(error):
                raise AssertionError(f"It does not name {name}: {error!r}") from error
        elif _is_ours(error):
            raise


def _is_ours(error: Exception) -> bool:
    """Whether onplan has stumbled: nearest to where it was raised is its code, but for Python's own."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if SOURCE in Path(frame.filename).parents:
            return True
        if "site-packages" in frame.filename:
            return False
    return False
