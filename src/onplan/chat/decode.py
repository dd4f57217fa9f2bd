"""Decodes the bytes of an event into a ``Chunk``; fields of a wrong type are converted where that is safe.

Gateways turn strings into numbers and back (``"index": "0"``, ``"content": 5``), send false or ``[]`` for
null (PHP), and leave out the list around a single entry (tests/chat/test_ends.py has each). What cannot be
converted is an error: skipping it could lose a part of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from onplan.chat.events import CallDelta, Choice, Chunk, Custom, Delta, Function, Groq
from onplan.chat.halves import Halves
from onplan.errors import StreamCorruptError
from onplan.flow import JSON_ERRORS

_Read: TypeAlias = Callable[[Any], Any]


_CHUNK = msgspec.json.Decoder(Chunk)


def decode_chunk(payload: bytes, halves: Halves) -> Chunk | None:
    """The chunk in ``payload``; None if it is not a JSON object.

    ``halves``: keeps half a character from one payload of the stream for the next.

    Raises:
        StreamCorruptError: invalid JSON, or a field of a wrong type.
    """
    try:
        return _CHUNK.decode(payload)
    except JSON_ERRORS:
        pass
    if not payload.lstrip().startswith(b"{"):
        return None
    try:
        chunk: Chunk = _struct(Chunk)(msgspec.json.decode(halves.mend(payload)))
    except (*JSON_ERRORS, TypeError, ValueError):
        raise StreamCorruptError("An event of the stream is not a valid chunk.") from None
    return chunk


def _struct(kind: type[msgspec.Struct]) -> _Read:
    def read(value: Any) -> Any:
        if _is_null(value):
            return None
        if not isinstance(value, dict):
            raise TypeError(f"a {kind.__name__} must be an object")
        readers = _FIELDS[kind]
        known = [name for name in kind.__struct_fields__ if name in value]
        return kind(**{name: readers.get(name, _any)(value[name]) for name in known})

    return read


def _list_of(read: _Read) -> _Read:
    def read_all(value: Any) -> Any:
        if _is_null(value):
            return None
        entries = value if isinstance(value, list) else [value]
        return [entry for entry in map(read, entries) if entry is not None]

    return read_all


def _any(value: Any) -> Any:
    return value


def _is_null(value: Any) -> bool:
    return value is None or value is False or value in ([], "")


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if _is_null(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("must be a string")
    return msgspec.json.encode(value).decode()


_PARTS = ("text", "output_text", "refusal", "thinking", "reasoning")


def _content(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):  # a single part, or the requested JSON as an object
        return [value] if value.get("type") in _PARTS else msgspec.json.encode(value).decode()
    return _text(value)


def _reason(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("type") or value.get("reason")
    return None if value == 0 else _text(value)


def _index(value: Any) -> int | None:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return int(value)
        except (ValueError, OverflowError):
            return None
    return None


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _entries(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else None


_FIELDS: Mapping[type[msgspec.Struct], Mapping[str, _Read]] = {
    Chunk: {
        "choices": _list_of(_struct(Choice)),
        "model": _text,
        "usage": _object,
        "x_groq": lambda value: _struct(Groq)(value) if isinstance(value, dict) else None,
    },
    Groq: {"usage": _object},
    Choice: {
        "delta": lambda value: Delta(value) if isinstance(value, str) else _struct(Delta)(value),
        "message": _struct(Delta),
        "finish_reason": _reason,
        "text": _text,
        "index": _index,
        "usage": _object,
    },
    Delta: {
        "content": _content,
        "refusal": _text,
        "tool_calls": _list_of(_struct(CallDelta)),
        "function_call": _struct(Function),
        "reasoning_details": _entries,
        "thinking_blocks": _entries,
    },
    CallDelta: {
        "function": _struct(Function),
        "custom": _struct(Custom),
        "index": _index,
        "id": _text,
        "name": _text,
    },
    Function: {"name": _text},
    Custom: {"name": _text, "input": _text},
}
