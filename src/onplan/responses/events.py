"""The events of a Responses API stream as types, and their decoder. Unknown events and fields are ignored.

Only the fields that the assembler uses are declared; each that may be null or missing has a default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, Union, get_args

import msgspec

from onplan.answers.sse import Body
from onplan.errors import StreamCorruptError
from onplan.flow import JSON_ERRORS, decode_json


class _Event(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """An event; ``output_index`` and ``item_id`` identify the output item that it belongs to."""


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
    """More of a function call's arguments. llama.cpp sends one whole object (maki pull request 525)."""

    delta: str | dict[str, Any] | list[Any]
    item_id: str | None = None
    output_index: int | None = None


class ArgumentsDone(_Event, frozen=True, tag="response.function_call_arguments.done"):
    """A function call's arguments, whole."""

    arguments: str | dict[str, Any] | list[Any]
    item_id: str | None = None
    output_index: int | None = None


class CustomInputDelta(_Event, frozen=True, tag="response.custom_tool_call_input.delta"):
    """More of the text for a custom tool."""

    delta: str
    item_id: str | None = None
    output_index: int | None = None


class CustomInputDone(_Event, frozen=True, tag="response.custom_tool_call_input.done"):
    """The text for a custom tool, whole."""

    input: str
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

    response: Any = None


class Completed(_Event, frozen=True, tag="response.completed"):
    """The response ended well. Its ``output`` may be empty although items were sent."""

    response: dict[str, Any]
    error: Any = None  # beside the response; a precaution, seen at no server


class Incomplete(_Event, frozen=True, tag="response.incomplete"):
    """The response was cut short by a limit or a filter."""

    response: dict[str, Any]


class ResponseDone(_Event, frozen=True, tag="response.done"):
    """The response ended, its status says how. Sent by the Codex WebSocket and OpenRouter (seen 2026)."""

    response: dict[str, Any] | None = None


class Failed(_Event, frozen=True, tag="response.failed"):
    """The response failed, after HTTP status 200. Gateways put the error beside the response."""

    response: dict[str, Any] | None = None
    error: Any = None
    code: Any = None
    message: Any = None
    headers: Any = None


class Cancelled(_Event, frozen=True, tag="response.cancelled"):
    """The response was cancelled by the service."""

    response: dict[str, Any] | None = None
    error: Any = None


class ErrorEvent(_Event, frozen=True, tag="error"):
    """An error; it may precede or replace ``response.failed``. Its details are nested or flat.

    Over a WebSocket it stands for an HTTP response, with ``status`` (the Codex backend also sends
    ``status_code``), ``headers`` and the body.
    """

    error: Any = None
    code: Any = None
    message: Any = None
    status: Any = None
    status_code: Any = None
    headers: Any = None
    response: Any = None

    @property
    def details(self) -> Any:
        """The fields of the error; flat ones fill in what the nested object lacks."""
        inner = self.response.get("error") if isinstance(self.response, dict) else None
        nested, flat = self.error or inner, {"code": self.code, "message": self.message}
        if not isinstance(nested, dict):
            return {**flat, "type": nested} if nested and any(flat.values()) else nested or flat
        return {**flat, **{name: value for name, value in nested.items() if value is not None}}


class ResponseError(ErrorEvent, frozen=True, tag="response.error"):
    """``ErrorEvent`` under another name (seen 2026 at gateways; tests/responses/test_ends.py)."""


class RateLimits(_Event, frozen=True, tag="codex.rate_limits"):
    """How much of the plan's limits is used; over HTTP, headers say this."""

    plan_type: Any = None
    rate_limits: Any = None
    credits: Any = None
    metered_limit_name: Any = None
    limit_name: Any = None


class Document(msgspec.Struct, frozen=True):
    """A payload that is not an event: a whole answer of a server that does not stream, or an error.

    Attributes:
        payload: the bytes.
        fields: the JSON object in them; None if they are not one.
    """

    payload: bytes
    fields: dict[str, Any] | None


class Metadata(_Event, frozen=True, tag="response.metadata"):
    """Headers, for a stream that came over a WebSocket."""

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
    | CustomInputDelta
    | CustomInputDone
    | ItemAdded
    | ItemDone
    | Created
    | Completed
    | Incomplete
    | ResponseDone
    | Failed
    | Cancelled
    | ErrorEvent
    | ResponseError
    | RateLimits
    | Metadata
)


class _Envelope(msgspec.Struct):
    type: Any = None


# Events of every answer that say nothing more than others do. An unknown type takes the decoder three times
# as long as a known one.
_SKIPPED_TYPES = (
    "response.in_progress",
    "response.queued",
    "response.content_part.added",
    "response.content_part.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
)


class Skipped(_Event, frozen=True):
    """An event to skip, whatever its fields are."""


SKIPPED = [
    msgspec.defstruct("Skipped", (), bases=(Skipped,), tag=name, frozen=True, gc=False)
    for name in _SKIPPED_TYPES
]
decode_known: Callable[[bytes], Event | Skipped] = msgspec.json.Decoder(Union[Event, *SKIPPED]).decode
"""The event in a payload. Raises one of ``JSON_ERRORS`` for what ``decode_event`` looks at more closely."""
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_KNOWN = frozenset(kind.__struct_config__.tag for kind in get_args(Event))
# Fields that make an object without a type an answer or an error. Others, such as {}, are keep-alives.
_MEANINGFUL = frozenset({"object", "error", "errors", "detail", "base_resp"})


def decode_event(payload: bytes) -> Event | Skipped | Document | None:
    """The event in ``payload``; None if its type is unknown, or it is not a JSON object (``[DONE]``).

    Raises:
        StreamCorruptError: invalid JSON, or a known event without a required field. Skipping it could lose a
            part of the answer.
    """
    try:
        return decode_known(payload)
    except JSON_ERRORS:
        pass
    if type(payload) is Body:
        return Document(payload, _object(decode_json(payload)))
    start = payload.lstrip()[:1]
    if start == b"[":  # Gemini sends errors inside a list
        fields = _object(decode_json(payload))
        return Document(payload, fields) if fields and "error" in fields else None
    if start != b"{":
        return None
    try:
        kind = _ENVELOPE.decode(payload).type
        if kind is None:
            fields = msgspec.json.decode(payload)
            return None if _MEANINGFUL.isdisjoint(fields) else Document(payload, fields)
    except JSON_ERRORS:
        raise StreamCorruptError("An event of the stream is not valid JSON.") from None
    if isinstance(kind, str) and kind in _KNOWN:
        raise StreamCorruptError(f"A {kind} event of the stream is malformed.")
    return None


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None


def name_of(event: Event | Skipped | Document | None) -> str:
    """The event's type, for error messages."""
    return str(event.__struct_config__.tag or "nameless") if event is not None else "nameless"


def ids_of(event: Event | Skipped | Document) -> list[str]:
    """The ids in an event: the ``item_id``, and the ids of its item and call."""
    item = getattr(event, "item", None) or {}
    ids = (getattr(event, "item_id", None), item.get("id"), item.get("call_id"))
    return [name for name in ids if isinstance(name, str) and name]
