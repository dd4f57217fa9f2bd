"""The arguments of a tool call: read from the text that a model wrote, compared, and written as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from onplan.errors import InvalidRequestError
from onplan.flow import JSON_ERRORS
from onplan.request.history import INVALID_ARGUMENTS


class Said(NamedTuple):
    """A call as a framework's message says it.

    Attributes:
        arguments: a JSON value; or the text that the model wrote, where the framework has it as that.
    """

    id: str
    name: str
    arguments: Any

    def text(self) -> str:
        """The arguments as JSON. Raises InvalidRequestError as ``written``."""
        given = self.arguments
        return given if isinstance(given, str) else written(given, f"the call {self.id} to {self.name}")


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments of a call as a dict; what is no JSON object is put into one."""
    try:
        read = msgspec.json.decode(text or "{}")
    except JSON_ERRORS:
        read = None
    return read if isinstance(read, dict) else {INVALID_ARGUMENTS: text}


def is_same(one: object, other: object) -> bool:
    """Whether both are the same in JSON, but for the order of keys, which databases change.

    Not by ``==``: for Python 1, 1.0 and true are equal, and NaN is not equal to itself.
    """
    text = text_in_order(one)
    return text is not None and text == text_in_order(other)


def text_in_order(value: object) -> str | None:
    """``value`` as JSON with its keys in order, to compare by; None where JSON cannot say it."""
    try:
        return json.dumps(value, sort_keys=True, default=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def written(arguments: object, whose: str) -> str:
    """The arguments of a call as JSON.

    Args:
        arguments: a JSON value, or what becomes one, such as a date.
        whose: the call, for the error.

    Raises:
        InvalidRequestError: JSON cannot say them. It names the argument that is NaN or infinite.
    """
    try:
        text = json.dumps(
            arguments, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain
        )
        text.encode()  # half of a character is no JSON
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise _no_json(arguments, whose) from None
    return text


def _no_json(arguments: object, whose: str) -> InvalidRequestError:
    try:
        wrong = next(_no_numbers(arguments, ""), None)
    except RecursionError:
        wrong = None
    if wrong is None:
        return InvalidRequestError(
            f"The arguments of {whose} are not JSON values.", hint="Give the call as it came in an answer."
        )
    return InvalidRequestError(
        f"The argument {wrong[0]} of {whose} is {wrong[1]}, which JSON has no number for.",
        hint="Give a number, a string or None in its place.",
    )


def _no_numbers(value: object, place: str) -> Iterator[tuple[str, str]]:
    """For each number in ``value`` that JSON does not have its place, such as ``a.b[0]``, and what it is."""
    match value:
        case float() if not math.isfinite(value):
            yield place, "NaN" if math.isnan(value) else "infinite"
        case dict():
            for key, each in value.items():
                yield from _no_numbers(each, f"{place}.{key}" if place else str(key))
        case list() | tuple():
            for index, each in enumerate(value):
                yield from _no_numbers(each, f"{place}[{index}]")


def _plain(value: object) -> object:
    """What ``json`` cannot write, such as a date, as a value that it can. Raises TypeError."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError  # msgspec would write base64, which no tool expects
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    return msgspec.to_builtins(value)
