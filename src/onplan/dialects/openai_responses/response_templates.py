"""Templates of the ``response`` object: what the responses of a model have in common is worked out once.

A backend announces and completes its responses in the same words but for an id, times, the output and the
usage. These are replaced by placeholders, and what clients get for such a text is kept, so that the next
response only has its own values filled in. That gives what ``response_object`` would give for it, because
that function copies the values that it does not know as they stand.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from onplan.dialects.openai_responses.response_object import response_object

MOST_KEPT = 64
LARGEST_KEPT = 16 * 1024
"""Bytes of the events, without the output."""

_encode = msgspec.json.Encoder().encode


class _Event(msgspec.Struct):
    response: dict[str, msgspec.Raw]


_decode_event = msgspec.json.Decoder(_Event).decode

# Placeholders are JSON texts that neither a backend nor a client can guess.
_MARK = secrets.token_hex(16).encode()
_PLACEHOLDER = re.compile(b'"%b ([^"]*)"' % _MARK)


def _placeholder(name: str) -> bytes:
    return b'"%b %b"' % (_MARK, name.encode())


# What differs from one response to the next: the name of a placeholder, and the field that it stands for.
_VARYING = {
    "opened id": "id",
    "opened created_at": "created_at",
    "opened completed_at": "completed_at",
    "opened prompt_cache_key": "prompt_cache_key",
    "final output": "output",
    "final usage": "usage",
    "final sequence_number": "sequence_number",
    "final id": "id",
    "final created_at": "created_at",
    "final completed_at": "completed_at",
    "final prompt_cache_key": "prompt_cache_key",
}
_FIELDS = {name: b'"%b":' % field.encode() for name, field in _VARYING.items()}
_GAPS = {name: _placeholder(name) for name in _VARYING}


def with_gaps(payload: bytes, values: Mapping[str, bytes]) -> bytes:
    """An event about a response, with placeholders in the place of ``values``.

    A value that stands elsewhere, or that is written in another way, may stay: then the template fits fewer
    events.
    """
    places = []
    for name, value in values.items():
        found = payload.find(_FIELDS[name])
        start = found + len(_FIELDS[name])
        if found >= 0 and payload.startswith(value, start):
            places.append((start, start + len(value), _GAPS[name]))
    pieces: list[bytes] = []
    at = 0
    for start, end, gap in sorted(places):
        if start >= at:  # else it stands in another value
            pieces += (payload[at:start], gap)
            at = end
    return b"".join((*pieces, payload[at:]))


def begun_response(opened: bytes, model: str, echo: Mapping[str, Any], values: Mapping[str, bytes]) -> bytes:
    """The response that begins, as JSON.

    Args:
        opened: the event that announces it (``with_gaps``).
        model: that answers.
        echo: fields of the request that it repeats.
        values: what stood in the gaps, and ``told id`` and ``told created_at``; as JSON.
    """
    make = _begun if len(opened) <= LARGEST_KEPT else _begun.__wrapped__
    return _filled(make(opened, model, tuple(echo)), values, echo)


def completed_response(
    opened: bytes, final: bytes, model: str, echo: Mapping[str, Any], values: Mapping[str, bytes]
) -> bytes:
    """The response that is complete, as JSON.

    Args:
        opened: the event that announced it (``with_gaps``).
        final: the event that completes it.
        model: that answers.
        echo: fields of the request that it repeats.
        values: as for ``begun_response``, with ``told output`` and ``told usage``.
    """
    make = _completed if len(opened) + len(final) <= LARGEST_KEPT else _completed.__wrapped__
    return _filled(make(opened, final, model, tuple(echo)), values, echo)


# The pieces of a text, and the places of those that are to be replaced by which value.
_Template: TypeAlias = "tuple[list[bytes], list[tuple[int, str]]]"


@lru_cache(MOST_KEPT)
def _begun(opened: bytes, model: str, echo: tuple[str, ...]) -> _Template:
    sent = {**_decode_event(opened).response, "status": "in_progress"}
    return _template(sent, echo, model=model, output=[], usage=None)


@lru_cache(MOST_KEPT)
def _completed(opened: bytes, final: bytes, model: str, echo: tuple[str, ...]) -> _Template:
    sent = {**_decode_event(opened).response, **_decode_event(final).response}
    told = {name: msgspec.Raw(_placeholder(f"told {name}")) for name in ("output", "usage")}
    return _template(sent, echo, model=model, status="completed", incomplete_details=None, **told)


def _template(sent: Mapping[str, Any], echo: tuple[str, ...], **fields: Any) -> _Template:
    told = {name: msgspec.Raw(_placeholder(f"told {name}")) for name in ("id", "created_at")}
    repeated = {name: msgspec.Raw(_placeholder(name)) for name in echo}
    whole = _encode(response_object(sent, repeated, **told, object="response", **fields))
    pieces = _PLACEHOLDER.split(whole)  # at every second place the name of a value
    return pieces, [(at, pieces[at].decode()) for at in range(1, len(pieces), 2)]


def _filled(template: _Template, values: Mapping[str, bytes], echo: Mapping[str, Any]) -> bytes:
    if echo:
        values = {**values, **{name: _encode(value) for name, value in echo.items()}}
    pieces = template[0].copy()
    for at, name in template[1]:
        pieces[at] = values[name]
    return b"".join(pieces)
