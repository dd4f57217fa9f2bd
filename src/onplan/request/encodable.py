"""What a request says must be text that UTF-8 can write, and values that JSON has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import cast

import msgspec

from onplan.errors import InvalidRequestError


class _Encodable:
    """A context manager without state; a generator would cost each request more than the check."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, UnicodeEncodeError):
            raise InvalidRequestError(
                "The request holds half of a character (a lone surrogate), which cannot be sent.",
                hint='Where the text comes from bytes, decode them with errors="replace".',
            ) from None


_ENCODABLE = _Encodable()


def encodable() -> _Encodable:
    """Raise InvalidRequestError where the body of a request is encoded and its text cannot be."""
    return _ENCODABLE


# What msgspec raises for a value, a key or a depth that it cannot write.
_UNWRITABLE = (TypeError, OverflowError, RecursionError)
_DEEPEST = 12  # levels down which the place of such a value is looked for


def encoded_body(fields: Mapping[str, object]) -> bytes:
    """The body of a request, as JSON.

    Raises:
        InvalidRequestError: a field holds what JSON cannot express. The message says where, without the
            value.
    """
    try:
        return msgspec.json.encode(fields)
    except _UNWRITABLE as error:
        raise _refusal(fields, error) from None


def _refusal(fields: Mapping[str, object], error: Exception) -> InvalidRequestError:
    place, value = "", cast("object", fields)
    for _ in range(_DEEPEST):
        inner = next((entry for entry in _entries(value) if not _is_writable(entry[1])), None)
        if inner is None:
            break
        place, value = place + inner[0], inner[1]
    place = place.removeprefix(".") or "The request"
    if isinstance(error, RecursionError):
        return InvalidRequestError(f"{place} is nested too deeply to be sent.", hint="Make it flatter.")
    what = f"an object of the type {type(value).__name__}"
    if isinstance(value, dict):
        what = "a key that is no string"
    return InvalidRequestError(
        f"{place} has {what}, which JSON cannot express.", hint="Give it strings, numbers, lists and dicts."
    )


def _entries(value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        return ((f".{name}", entry) for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ((f"[{index}]", entry) for index, entry in enumerate(value))
    return ()


def _is_writable(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except _UNWRITABLE:
        return False
    return True
