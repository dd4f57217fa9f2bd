"""The events and items of an answer that comes as the backend usually sends it (``answer_stream``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, TypeAlias, get_args

import msgspec

from onplan.responses.events import (
    ArgumentsDelta,
    ArgumentsDone,
    CustomInputDelta,
    CustomInputDone,
    Metadata,
    OutputTextDelta,
    OutputTextDone,
    RateLimits,
    SummaryTextDelta,
    SummaryTextDone,
)
from onplan.responses.items import CALL_KINDS, SUMMARY_SEPARATOR, string_of
from onplan.types import ContentPart, Text, Thinking, ToolCall

_NOTHING = msgspec.Raw()


class _Event(msgspec.Struct, tag_field="type", gc=False):
    """An event. Only what is read of its item or response is decoded."""


class _Entry(msgspec.Struct, gc=False):
    """A part of a message, or of a summary."""

    text: str
    type: str = ""
    annotations: list[dict[str, Any]] | None = None


class Item(msgspec.Struct, gc=False):
    """An item of any type."""

    id: str
    type: str
    status: str | None = None
    content: list[_Entry] | None = None
    summary: list[_Entry] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    phase: Any = None
    namespace: Any = None
    encrypted_content: Any = None
    error: None = None


class Response(msgspec.Struct, gc=False):
    """The response, as far as it is read."""

    id: str
    model: str | None = None
    status: str | None = None
    output: msgspec.Raw = _NOTHING
    usage: Any = None
    error: None = None
    incomplete_details: None = None


class Created(_Event, tag="response.created"):
    """The response begins."""

    response: Response


class ItemAdded(_Event, tag="response.output_item.added"):
    """An output item begins."""

    item: Item
    output_index: int | None = None


class ItemDone(_Event, tag="response.output_item.done"):
    """An output item, whole."""

    item: msgspec.Raw
    output_index: int | None = None


class Completed(_Event, tag="response.completed"):
    """The response ended well."""

    response: Response
    error: None = None


class InProgress(_Event, tag="response.in_progress"):
    """The response goes on."""


class PartAdded(_Event, tag="response.content_part.added"):
    """A part of a message begins. Its text says that, too."""


class PartDone(_Event, tag="response.content_part.done"):
    """A part of a message, whole. Its text and the item say that, too."""


class SummaryPartAdded(_Event, tag="response.reasoning_summary_part.added"):
    """A part of a summary begins."""


class SummaryPartDone(_Event, tag="response.reasoning_summary_part.done"):
    """A part of a summary, whole."""


Delta: TypeAlias = OutputTextDelta | SummaryTextDelta | ArgumentsDelta | CustomInputDelta
TextDone: TypeAlias = OutputTextDone | SummaryTextDone | ArgumentsDone | CustomInputDone
Told: TypeAlias = InProgress | PartAdded | PartDone | SummaryPartAdded | SummaryPartDone
"""What other events say, too."""
TOLD = get_args(Told)
Event: TypeAlias = (
    Delta | TextDone | Told | Created | ItemAdded | ItemDone | Completed | RateLimits | Metadata
)

decode_event: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_items = msgspec.json.Decoder(list[Item]).decode

# Of an item of each type: the name of the events about its text, the field of the last one with the text, the
# field of the indexes.
_NAMES = {
    "message": ("output_text", "text", "content_index"),
    "reasoning": ("reasoning_summary_text", "text", "summary_index"),
    "function_call": ("function_call_arguments", "arguments", ""),
    "custom_tool_call": ("custom_tool_call_input", "input", ""),
}


class UsualItem:
    """An item that begins, has its texts one after another, and ends as they were streamed.

    Attributes:
        id: its id.
        kind: its type.
        call_id: of a call.
        name: of what it calls.
        is_call: whether it is a call.
        texts: those that have ended, by their index; an empty one is none.
        index: of the text that arrives, or arrived last.
        write: adds to that text; None once it has ended.
        done: the item as it ended; None before.
        parts: its content parts, once it has ended.
    """

    __slots__ = (
        "_begun",
        "_buffer",
        "_place",
        "call_id",
        "done",
        "id",
        "index",
        "is_call",
        "kind",
        "name",
        "parts",
        "texts",
        "write",
    )

    def __init__(self, item: Item, place: int, begun: bytes) -> None:
        self.id, self.kind = item.id, item.type
        self.call_id, self.name = item.call_id or "", item.name or ""
        self.is_call = item.type in CALL_KINDS
        self.texts: dict[int, str] = {}
        self.index = -1
        self.write: Callable[[str], object] | None = None
        self.done: msgspec.Raw | None = None
        self.parts: list[ContentPart] = []
        self._place, self._begun = place, begun

    @property
    def is_custom(self) -> bool:
        """Whether it calls a custom tool."""
        return self.kind == "custom_tool_call"

    @property
    def ids(self) -> set[str]:
        """Its id, and that of the call."""
        return {self.id, self.call_id} if self.is_call else {self.id}

    def writes(self, index: int) -> Callable[[str], object] | None:
        """What adds to the text at ``index``, which may begin with that; None if that is not usual."""
        if self.write is None or index != self.index:
            if self.write is not None or index <= self.index or len(self.texts) == _MOST_TEXTS:
                return None
            self._buffer, self.index = StringIO(newline=""), index
            self.write = self._buffer.write
        return self.write

    def ends_text(self, index: int, text: str) -> bool:
        """Whether the text at ``index`` is ``text``, as it was streamed. If so, it has ended."""
        if self.write is None:
            return not text and index not in self.texts  # an empty one is not streamed
        if index != self.index or self._buffer.getvalue() != text:
            return False
        self.texts[index], self.write = text, None
        return True

    def ends(self, raw: msgspec.Raw) -> bool:
        """Whether it ends as it was streamed. If so, it has ended."""
        item = _decode_item(raw)
        is_same = (
            self.write is None
            and item.id == self.id
            and item.type == self.kind
            and item.status in ("completed", None)
            and (item.call_id or "", item.name or "") == (self.call_id, self.name)
            and _ENDS[self.kind](self, item)
        )
        if is_same:
            self.done = raw
        return is_same

    def _ends_message(self, item: Item) -> bool:
        content = item.content or []
        texts = {index: entry.text for index, entry in enumerate(content) if entry.text}
        if texts != self.texts or item.summary or any(entry.type != "output_text" for entry in content):
            return False
        phase = string_of(item.phase)
        self.parts = [
            Text(text, phase, tuple(content[index].annotations or ())) for index, text in texts.items()
        ]
        return True

    def _ends_reasoning(self, item: Item) -> bool:
        texts = {index: entry.text for index, entry in enumerate(item.summary or ()) if entry.text}
        if texts != self.texts or item.content:
            return False
        text, encrypted = SUMMARY_SEPARATOR.join(texts.values()), string_of(item.encrypted_content)
        self.parts = [Thinking(text, encrypted)] if text or encrypted else []
        return True

    def _ends_call(self, item: Item) -> bool:
        text, is_custom = self.texts.get(0, ""), self.is_custom
        if text != (item.input if is_custom else item.arguments):
            return False
        namespace = string_of(item.namespace)
        self.parts = [ToolCall(self.call_id, self.name, text, namespace, is_custom=is_custom)]
        return True

    def payloads(self) -> list[bytes]:
        """Events that say what those said which came about it."""
        name, field, index_field = _NAMES[self.kind]
        told = [self._begun]
        streamed = dict(self.texts)
        if self.write is not None:
            streamed[self.index] = self._buffer.getvalue()
        for index, text in streamed.items():
            place = {"item_id": self.id, **({index_field: index} if index_field else {})}
            told.append(_encode({"type": f"response.{name}.delta", **place, "delta": text}))
            if index in self.texts:
                told.append(_encode({"type": f"response.{name}.done", **place, field: text}))
        if self.done is not None:
            end = {"type": "response.output_item.done", "output_index": self._place, "item": self.done}
            told.append(_encode(end))
        return told


_MOST_TEXTS = 100  # of one item; more are not usual
_encode = msgspec.json.encode
USUAL_KINDS = frozenset(_NAMES)
_ENDS: dict[str, Callable[[UsualItem, Item], bool]] = {
    "message": UsualItem._ends_message,
    "reasoning": UsualItem._ends_reasoning,
    "function_call": UsualItem._ends_call,
    "custom_tool_call": UsualItem._ends_call,
}


def is_output(output: msgspec.Raw, items: Sequence[UsualItem]) -> bool:
    """Whether the ``output`` of the last event is that of the items, which have ended; or left out."""
    if output in (_NOTHING, _NULL, _NO_OUTPUT):
        return True
    ended = [item.done for item in items if item.done is not None]
    return bytes(output) == b"[%b]" % b",".join(ended) or _decode_items(output) == list(
        map(_decode_item, ended)
    )


_NULL, _NO_OUTPUT = msgspec.Raw(b"null"), msgspec.Raw(b"[]")
