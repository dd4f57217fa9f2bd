"""Writes the events of one stream: as they came where that will do, all with consecutive numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from onplan.responses.items import text_of

Event: TypeAlias = dict[str, Any]
LINE_FEED, CARRIAGE_RETURN = b"\n\r"  # `in` finds a number four times as fast as a byte string
MOST_HELD = 100
"""How many of the backend's own events are held until the answer begins."""


class Place(msgspec.Struct, gc=False):
    """Where an event belongs, and what deltas have besides."""

    type: str = ""
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: Any = None
    arguments: Any = ""
    sequence_number: Any = None
    logprobs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_NUMBER = b'"sequence_number"'
_FRAME_END = b"\n\n"
_decode_place = msgspec.json.Decoder(Place).decode


def place_of(payload: bytes) -> Place | None:
    """Where the event in ``payload`` belongs; None if it is not an event."""
    try:
        return _decode_place(payload)
    except (msgspec.MsgspecError, RecursionError):
        return None


def is_text(payload: bytes) -> bool:
    """Whether all of ``payload`` is UTF-8. What is not decoded of an event is not looked at otherwise."""
    if payload.isascii():  # which takes no time
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


class EventWriter:
    """Writes events.

    Args:
        framed: whether they are framed as server-sent events; else each is one bare payload.
    """

    def __init__(self, *, framed: bool) -> None:
        self._is_framed = framed
        self._next = 0
        self._written: list[bytes] = []

    def taken(self) -> list[bytes]:
        """What was written since it was taken last."""
        written, self._written = self._written, []
        return written

    def go_on_after(self, other: EventWriter) -> None:
        """Drop what was written: ``other`` wrote it, and its numbers go on here."""
        self._written, self._next = [], other._next

    def write(self, event: Event) -> None:
        """An event of our own."""
        kind, number = event["type"], self._next
        payload = msgspec.json.encode({"type": kind, **event, "sequence_number": number})
        self._next = number + 1
        self._written.append(_framed(kind, payload) if self._is_framed else payload)

    def write_response(self, kind: str, response: bytes) -> None:
        """An event of our own about the whole response, which is encoded already."""
        number = self._next
        payload = b'{"type":"%b","response":%b,"sequence_number":%d}' % (kind.encode(), response, number)
        self._next = number + 1
        self._written.append(_framed(kind, payload) if self._is_framed else payload)

    def hand_on_next(self, number: Any, beginning: bytes, payload: bytes) -> bool:
        """An event as it came, if it has the ``number`` that is next. Return whether it was handed on.

        ``beginning``: that of its frame (``beginning_of``).
        """
        if number != self._next or LINE_FEED in payload or CARRIAGE_RETURN in payload:
            return False
        self._next += 1
        self._written.append(beginning + payload + _FRAME_END if self._is_framed else payload)
        return True

    def hand_on(self, place: Place, payload: bytes) -> None:
        """An event as it came."""
        number = self._next
        if place.sequence_number != number:
            payload = _renumbered(payload, place.sequence_number, number)
        if LINE_FEED in payload or CARRIAGE_RETURN in payload:  # between its tokens
            payload = msgspec.json.encode(msgspec.json.decode(payload))
        self._next = number + 1
        self._written.append(_framed(place.type, payload) if self._is_framed else payload)

    def hand_on_at(self, at: Mapping[str, Any], place: Place, payload: bytes) -> bool:
        """An event with the ids and indexes that the client knows. Return whether it came with them."""
        lacks = place.logprobs is msgspec.UNSET and place.type.startswith("response.output_text.")
        is_same = (
            not lacks
            and type(place.arguments) is str
            and all(getattr(place, name) == value for name, value in at.items())
        )
        if is_same:
            self.hand_on(place, payload)
        else:
            event = {**msgspec.json.decode(payload), **at}
            if type(event.get("arguments", "")) is not str:  # llama.cpp sends an object
                event["arguments"] = text_of(event["arguments"])
            self.write({**event, "logprobs": []} if lacks else event)
        return is_same


def _framed(kind: str, payload: bytes) -> bytes:
    """A server-sent event."""
    return b"".join((beginning_of(kind), payload, _FRAME_END))


@lru_cache(maxsize=256)  # there are some fifty types of events
def beginning_of(kind: str) -> bytes:
    """What stands before the payload of an event in its frame."""
    return b"event: %b\ndata: " % kind.encode()


def _renumbered(payload: bytes, old: Any, number: int) -> bytes:
    """The event with this ``sequence_number``; its bytes are kept where it is clear where that stands."""
    if type(old) is int:
        said = b"%b:%d" % (_NUMBER, old)
        start = payload.find(_NUMBER)
        end = start + len(said)
        is_clear = payload.startswith(said, start) and payload[end : end + 1] in (b",", b"}")
        if is_clear and payload.find(_NUMBER, end) < 0:  # else one of them may stand in an object inside
            return b"%b%b:%d%b" % (payload[:start], _NUMBER, number, payload[end:])
    return msgspec.json.encode({**msgspec.json.decode(payload), "sequence_number": number})
