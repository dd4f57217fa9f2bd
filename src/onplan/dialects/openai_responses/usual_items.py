"""The events and items of a stream that comes as the backend usually sends it (``usual_stream``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from onplan.dialects.openai_responses.event_writer import Place, beginning_of
from onplan.responses.items import CALL_KINDS

_NOTHING = msgspec.Raw()
_UNSET = msgspec.UNSET


class UsualEvent(Place, gc=False):
    """An event of any type; what it is about is not decoded with it."""

    text: Any = None
    input: Any = None
    part: msgspec.Raw = _NOTHING
    item: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING
    error: Any = None


class _Named(msgspec.Struct, gc=False):
    """A response, or whatever has an id."""

    id: str


decode_named = msgspec.json.Decoder(_Named).decode
decode_event = msgspec.json.Decoder(UsualEvent).decode


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str
    annotations: list[msgspec.Raw] | msgspec.UnsetType = _UNSET
    logprobs: list[msgspec.Raw] | msgspec.UnsetType = _UNSET


class _Item(msgspec.Struct, gc=False):
    """An item of any type. What clients need of it must not be null where it is given."""

    id: str
    type: str
    status: str | None = None
    role: str | None = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    call_id: str | msgspec.UnsetType = _UNSET
    name: str | msgspec.UnsetType = _UNSET
    arguments: str | msgspec.UnsetType = _UNSET
    input: str | msgspec.UnsetType = _UNSET
    error: None = None


_decode_item = msgspec.json.Decoder(_Item).decode
_decode_part = msgspec.json.Decoder(_Part).decode


class Kind(NamedTuple):
    """What is usual for one type of item; the first four are types of events.

    Attributes:
        delta: more of a text.
        text_done: its end.
        part_added: the beginning of the part that the text is; empty if it is no part.
        part_done: its end.
        index_of: the index of a text in an event about it.
        text_field: the field of ``text_done`` with the text.
        part_type: of its parts.
        has_logprobs: whether clients need ``logprobs`` in the events of a text.
    """

    delta: str
    text_done: str
    part_added: str
    part_done: str
    index_of: Callable[[UsualEvent], int | None]
    text_field: str
    part_type: str = ""
    has_logprobs: bool = False

    def indexes_of(self, index: int) -> tuple[int | None, int | None]:
        """The two indexes of a text in its deltas: ``content_index`` and ``summary_index``."""
        if not self.part_type:
            return None, None
        return (index, None) if self.has_logprobs else (None, index)


def _only_one(_: UsualEvent) -> int:
    """The index of the only text of an item."""
    return 0


KINDS: Mapping[str, Kind] = {
    "message": Kind(
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.added",
        "response.content_part.done",
        attrgetter("content_index"),
        "text",
        "output_text",
        has_logprobs=True,
    ),
    "reasoning": Kind(
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        attrgetter("summary_index"),
        "text",
        "summary_text",
    ),
    "function_call": Kind(
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "",
        "",
        _only_one,
        "arguments",
    ),
    "custom_tool_call": Kind(
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "",
        "",
        _only_one,
        "input",
    ),
}


class UsualText:
    """A text that arrives in deltas.

    Attributes:
        kind: the type of its deltas.
        item_id, output_index, content_index, summary_index: as its deltas usually have them.
        beginning: that of the frame of a delta.
        has_logprobs: whether clients need ``logprobs`` in them.
        whole: all of it, once it has ended.
        is_over: whether its part has ended, too.
        write: adds to it.
    """

    __slots__ = (
        "_buffer",
        "_index",
        "_index_of",
        "beginning",
        "content_index",
        "has_logprobs",
        "is_over",
        "item_id",
        "kind",
        "output_index",
        "summary_index",
        "whole",
        "write",
    )

    def __init__(self, kind: Kind, item_id: str, output_index: int, index: int) -> None:
        self.kind, self.has_logprobs = kind.delta, kind.has_logprobs
        self.beginning = beginning_of(kind.delta)
        self.content_index, self.summary_index = kind.indexes_of(index)
        self.whole: str | None = None
        self.is_over = False
        self.item_id, self.output_index = item_id, output_index
        self._index, self._index_of = index, kind.index_of
        self._buffer = StringIO(newline="")
        self.write = self._buffer.write

    def goes_on_with(self, event: UsualEvent) -> bool:
        """Whether a delta belongs to this text, and clients can read it as it is."""
        delta = event.delta
        return bool(
            event.item_id == self.item_id
            and event.output_index == self.output_index
            and self._index_of(event) == self._index
            and self.whole is None
            and type(delta) is str
            and delta
            and type(event.arguments) is str
            and (event.logprobs is not _UNSET or not self.has_logprobs)
        )

    def end(self) -> str:
        """All of it."""
        self.whole = self._buffer.getvalue()
        return self.whole

    def payload(self) -> bytes | None:
        """One delta with all of it; None if there was none."""
        if not (text := self._buffer.getvalue()):
            return None
        fields = {"item_id": self.item_id, "output_index": self.output_index, "delta": text, "logprobs": []}
        indexes = dict.fromkeys(("content_index", "summary_index"), self._index)
        return msgspec.json.encode({"type": self.kind, **fields, **indexes})


NO_TEXT = UsualText(Kind("", "", "", "", _only_one, ""), "", 0, 0)
"""To which no delta belongs, and no end."""
NO_TEXT.end()
NO_TEXT.is_over = True


class UsualItem:
    """An item that begins, has its texts one after another, and ends as they were streamed.

    Attributes:
        id: its id.
        is_call: whether it is a call.
        ids: its id, and that of the call.
        texts: as far as they have begun.
        done: the item as it ended; None before.
        has_content: whether a message says something, or it is a call.
    """

    __slots__ = ("_as_begun", "_kind", "done", "has_content", "id", "ids", "index", "is_call", "texts")

    def __init__(self, item: _Item, index: int) -> None:
        self._as_begun, self._kind = item, KINDS[item.type]
        self.id, self.index = item.id, index
        self.is_call = item.type in CALL_KINDS
        self.ids = {item.id, str(item.call_id)} if self.is_call else {item.id}
        self.texts: list[UsualText] = []
        self.done: msgspec.Raw | None = None
        self.has_content = self.is_call

    @classmethod
    def begun_by(cls, event: UsualEvent, index: int) -> UsualItem | None:
        """The item that ``event`` announces as the one at ``index``; None if that is not as usual."""
        item = _decode_item(event.item)
        match item.type:
            case "message":
                is_usual = item.role == "assistant" and item.content == [] and item.status == "in_progress"
            case "reasoning":
                is_usual = item.summary == [] and not item.content
            case "function_call":
                is_usual = item.arguments == "" and item.status == "in_progress"
            case "custom_tool_call":
                is_usual = item.input == "" and item.status == "in_progress"
            case _:
                return None
        is_named = bool(item.id and (item.type not in CALL_KINDS or (item.call_id and item.name)))
        return cls(item, index) if is_usual and is_named and event.output_index == index else None

    def begin_text(self) -> UsualText:
        """The next text begins."""
        text = UsualText(self._kind, self.id, self.index, len(self.texts))
        self.texts.append(text)
        return text

    def begins_part(self, event: UsualEvent) -> bool:
        """Whether its next part, which has no text yet, begins with ``event``."""
        is_next = not self.texts or self.texts[-1].whole is not None
        return is_next and self._is_part(event, self._kind.part_added, len(self.texts), "")

    def ends_part(self, event: UsualEvent) -> bool:
        """Whether its latest part ends with ``event``, after its text and once. If so, it has ended."""
        text = self.texts[-1] if self.texts else NO_TEXT
        if text.whole is None or text.is_over:
            return False
        text.is_over = self._is_part(event, self._kind.part_done, len(self.texts) - 1, text.whole)
        return text.is_over

    def _is_part(self, event: UsualEvent, event_type: str, index: int, text: str) -> bool:
        if event.type != event_type or self._kind.index_of(event) != index:
            return False
        part = _decode_part(event.part)
        return part.type == self._kind.part_type and part.text == text and type(event.arguments) is str

    def ends_text(self, event: UsualEvent) -> bool:
        """Whether its latest text ends with ``event``. If so, it has ended."""
        if not self.texts:
            return False
        text, kind = self.texts[-1], self._kind
        is_last = (
            event.type == kind.text_done
            and kind.index_of(event) == len(self.texts) - 1
            and text.whole is None
            and type(event.arguments) is str
            and (event.logprobs is not _UNSET or not kind.has_logprobs)
        )
        return is_last and getattr(event, kind.text_field) == text.end()

    def end(self, event: UsualEvent) -> bool:
        """Whether ``event`` ends it as it was streamed, and as clients can read it. If so, it has ended."""
        item, begun = _decode_item(event.item), self._as_begun
        if (item.id, item.type) != (begun.id, begun.type) or event.output_index != self.index:
            return False
        if item.type != "reasoning" and item.status != "completed":
            return False
        told = [text.whole for text in self.texts]
        match item.type:
            case "message":
                is_same = _told_in(item.content) == told and _are_readable(item.content)
                self.has_content = any(told)
            case "reasoning":
                is_same = _told_in(item.summary, "summary_text") == told and not item.content
            case "function_call":
                is_same = [item.arguments] == told
            case _:
                is_same = [item.input] == told
        if is_same and (item.call_id, item.name) == (begun.call_id, begun.name):
            self.done = event.item
        return self.done is not None


def _told_in(parts: list[_Part] | None, kind: str = "output_text") -> list[str] | None:
    """The texts of parts that are all of one kind."""
    if parts is None or any(part.type != kind for part in parts):
        return None
    return [part.text for part in parts]


def _are_readable(parts: list[_Part] | None) -> bool:
    """Whether parts have the lists that clients index into."""
    return all(part.annotations is not _UNSET and part.logprobs is not _UNSET for part in parts or ())
