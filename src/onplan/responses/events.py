"""The events of a Responses stream, as types. Unknown events and unknown fields never fail.

Only what the assembler uses is declared; everything that may be null or missing has a default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, get_args

import msgspec

from onplan.errors import StreamCorruptError


class _Event(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """``output_index`` and ``item_id`` say which output item an event belongs to."""


class OutputTextDelta(_Event, frozen=True, tag="response.output_text.delta"):
    """More text."""

    delta: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class OutputTextDone(_Event, frozen=True, tag="response.output_text.done"):
    """The text of one content part, whole."""

    text: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class RefusalDelta(_Event, frozen=True, tag="response.refusal.delta"):
    """More of a refusal."""

    delta: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class RefusalDone(_Event, frozen=True, tag="response.refusal.done"):
    """A refusal, whole."""

    refusal: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class SummaryTextDelta(_Event, frozen=True, tag="response.reasoning_summary_text.delta"):
    """More of a reasoning summary."""

    delta: str
    item_id: str | None = None
    output_index: int | None = None
    summary_index: int | None = None


class SummaryTextDone(_Event, frozen=True, tag="response.reasoning_summary_text.done"):
    """One part of a reasoning summary, whole."""

    text: str
    item_id: str | None = None
    output_index: int | None = None
    summary_index: int | None = None


class ReasoningTextDelta(_Event, frozen=True, tag="response.reasoning_text.delta"):
    """More of the reasoning itself, from models that show it."""

    delta: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class ReasoningTextDone(_Event, frozen=True, tag="response.reasoning_text.done"):
    """One part of the reasoning itself, whole."""

    text: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class ArgumentsDelta(_Event, frozen=True, tag="response.function_call_arguments.delta"):
    """More of a function call's arguments."""

    delta: str
    item_id: str | None = None
    output_index: int | None = None


class ArgumentsDone(_Event, frozen=True, tag="response.function_call_arguments.done"):
    """A function call's arguments, whole."""

    arguments: str
    item_id: str | None = None
    output_index: int | None = None


class ItemAdded(_Event, frozen=True, tag="response.output_item.added"):
    """An output item begins."""

    item: dict[str, Any]
    output_index: int | None = None


class ItemDone(_Event, frozen=True, tag="response.output_item.done"):
    """An output item, whole."""

    item: dict[str, Any]
    output_index: int | None = None


class Created(_Event, frozen=True, tag="response.created"):
    """The response begins."""

    response: dict[str, Any]


class Completed(_Event, frozen=True, tag="response.completed"):
    """The response ended well. Its ``output`` may be empty although items were sent."""

    response: dict[str, Any]


class Incomplete(_Event, frozen=True, tag="response.incomplete"):
    """The response was cut short by a limit or a filter."""

    response: dict[str, Any]


class Failed(_Event, frozen=True, tag="response.failed"):
    """The response failed, inside a 200."""

    response: dict[str, Any]


class ErrorEvent(_Event, frozen=True, tag="error"):
    """A failure; it may precede or replace ``response.failed``. The details come nested or flat.

    Over a WebSocket it may be all that there is of an HTTP response: ``status``, ``headers``, and the body.
    """

    error: Any = None
    code: Any = None
    message: Any = None
    status: Any = None
    headers: Any = None


class Document(msgspec.Struct, frozen=True):
    """An object that is no event: the whole answer of a server that does not stream, or its complaint."""

    fields: dict[str, Any]


class Metadata(_Event, frozen=True, tag="response.metadata"):
    """What over HTTP stands in headers."""

    headers: Any = None


Event: TypeAlias = (
    OutputTextDelta
    | OutputTextDone
    | RefusalDelta
    | RefusalDone
    | SummaryTextDelta
    | SummaryTextDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | ArgumentsDelta
    | ArgumentsDone
    | ItemAdded
    | ItemDone
    | Created
    | Completed
    | Incomplete
    | Failed
    | ErrorEvent
    | Metadata
)


class _Envelope(msgspec.Struct):
    type: Any = None
    object: Any = None
    error: Any = None
    detail: Any = None

    @property
    def is_document(self) -> bool:
        """Whether it says something, and is no event."""
        return self.type is None and bool(self.object or self.error or self.detail)


_decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_KNOWN = frozenset(kind.__struct_config__.tag for kind in get_args(Event))
# Bytes that are no UTF-8, and nesting without end, are reported by Python's own errors.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode_event(payload: bytes) -> Event | Document | None:
    """The event in ``payload``; None if it is of an unknown type or no JSON object at all (``[DONE]``).

    Raises:
        StreamCorruptError: broken JSON, or a known event without what it must carry. Skipping it could
            lose a part of the answer.
    """
    try:
        return _decode(payload)
    except _UNDECODABLE:
        pass
    if not payload.lstrip().startswith(b"{"):
        return None
    try:
        envelope = _ENVELOPE.decode(payload)
        if envelope.is_document:
            return Document(msgspec.json.decode(payload))
        kind = envelope.type
    except _UNDECODABLE:
        raise StreamCorruptError("An event of the stream is not valid JSON.") from None
    if isinstance(kind, str) and kind in _KNOWN:
        raise StreamCorruptError(f"A {kind} event of the stream is malformed.")
    return None


def name_of(event: Event | Document | None) -> str:
    """The event's type, for messages."""
    return str(event.__struct_config__.tag or "nameless") if event is not None else "nameless"
