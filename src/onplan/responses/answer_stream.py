"""Reads an answer that comes as the backend usually sends it: each event is decoded once.

The response is announced; then each item begins, has its texts, each of them streamed and ended, and ends as
it was streamed; then the response is completed (docs/protocol.md). ``stream`` would make the same chunks of
such events, but it would also look everything up that may be missing, doubled or mixed up. From the first
event on that is not as usual, it does: it reads what came before as well, and all that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from onplan.answers.usage import usage_of
from onplan.errors import OnplanError
from onplan.flow import JSON_ERRORS
from onplan.parameters import NOTHING_REPORTED, Reports
from onplan.responses import events
from onplan.responses.arrival import Chunks
from onplan.responses.events import OutputTextDelta
from onplan.responses.items import SUMMARY_SEPARATOR
from onplan.responses.stream import ResponseStream, reason_of
from onplan.responses.usual_answer import (
    TOLD,
    USUAL_KINDS,
    Completed,
    Created,
    ItemAdded,
    ItemDone,
    UsualItem,
    decode_event,
    is_output,
)
from onplan.types import (
    ContentPart,
    PartDone,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)

# What decoding raises, and reading a value of a wrong shape: then an event is not as usual.
_UNUSUAL = (*JSON_ERRORS, OnplanError, AttributeError, KeyError, OverflowError, TypeError, ValueError)
_MOST_ITEMS = 1_000  # more are not usual

# Consecutive deltas of one text: the id and index that they share, and what writes their text.
_Run: TypeAlias = tuple[object, int | None, Callable[[str], object]]
_NO_RUN: _Run = (object(), None, str)


class AnswerStream(ResponseStream):
    """Takes the payloads of one stream and returns chunks, as ``ResponseStream`` does."""

    def __init__(
        self,
        model: str,
        reports: Reports = NOTHING_REPORTED,
        request_id: str | None = None,
        kept: Iterable[ContentPart] = (),
        history_repairs: Iterable[str] = (),
    ) -> None:
        super().__init__(model, reports, request_id, kept, history_repairs)
        self._is_careful = False
        self._created_by = b""  # the payload that announced the response
        self._items: list[UsualItem] = []
        self._open: dict[str | None, UsualItem] = {}  # those that have not ended, by their ids
        self._ids: set[str] = set()  # of all items
        self._text = _NO_RUN

    @property
    def parts(self) -> list[ContentPart]:
        """The finished parts, in order."""
        if self._is_careful:
            return super().parts
        return [*self._kept, *(part for item in self._items for part in item.parts)]

    @property
    def ids(self) -> set[str]:
        """The ids of the response and of its items."""
        return super().ids | self._ids

    def feed(self, payloads: Sequence[bytes]) -> list[StreamChunk]:
        """The chunks for ``payloads``. After ``failure`` or the terminal event, the rest is ignored."""
        if self._is_careful:
            return super().feed(payloads)
        chunks: list[StreamChunk] = []
        if self.finished:
            return chunks
        at = self._take(payloads, chunks)
        if at < len(payloads):
            self._read_carefully()
            chunks += super().feed(payloads[at:])
        return chunks

    def _take(self, payloads: Sequence[bytes], chunks: Chunks) -> int:
        """Take payloads. Return the place of the first that is not as usual, to which nothing has happened.

        Returns how many there are if all are, or if the answer is complete.
        """
        at = 0
        text_id, index, write = self._text
        try:
            for payload in payloads:
                event = decode_event(payload)
                # Nearly every event is more text of the same item as the event before.
                if (
                    type(event) is OutputTextDelta
                    and event.item_id == text_id
                    and event.content_index == index
                    and (delta := event.delta)  # an empty one is ignored
                ):
                    write(delta)
                    chunks.append(TextDelta(delta))
                else:
                    if not _TAKES[type(event)](self, event, payload, chunks):
                        return at
                    if self.finished:
                        return len(payloads)
                    text_id, index, write = self._text
                at += 1
        except _UNUSUAL:
            self.finished = False
        return at

    def _read_carefully(self) -> None:
        """Read what came until now once more, as ``ResponseStream`` does. Its chunks have been returned."""
        payloads = [self._created_by] if self._created_by else []
        for item in self._items:
            payloads += item.payloads()
        self._is_careful = True
        self._items, self._open, self._ids, self._text = [], {}, set(), _NO_RUN
        super().feed(payloads)

    # --- the response -------------------------------------------------------------------------------

    def _usual_created(self, event: Created, payload: bytes, chunks: Chunks) -> bool:
        response = event.response
        if self._created_by or self._items or not response.id or response.id in self.earlier:
            return False
        self._created_by = payload
        self._response_id, self._model = response.id, response.model or self._model
        return True

    def _usual_end(self, event: Completed, payload: bytes, chunks: Chunks) -> bool:
        response, parts = event.response, self.parts
        is_whole = (
            response.id == self._response_id
            and response.status == "completed"
            and not self._open
            and len(parts) > len(self._kept)
            and is_output(response.output, self._items)
        )
        if is_whole:
            usage = usage_of(response.usage)
            self._model = response.model or self._model
            self._done(parts, usage, reason_of(parts), chunks)
        return is_whole

    # --- items --------------------------------------------------------------------------------------

    def _usual_item(self, event: ItemAdded, payload: bytes, chunks: Chunks) -> bool:
        item = UsualItem(event.item, len(self._items), payload)
        ids = item.ids
        is_usual = (
            self._created_by
            and item.kind in USUAL_KINDS
            and event.output_index == len(self._items) < _MOST_ITEMS
            and all(ids)
            and self._ids.isdisjoint(ids)
            # Calls may arrive at once. The texts of other items would have to be brought into an order.
            and (not self._open or (item.is_call and next(iter(self._open.values())).is_call))
        )
        if not is_usual or (item.is_call and not item.name):
            return False
        self._ids |= ids
        self._items.append(item)
        self._open[item.id] = item
        if item.is_call:
            chunks.append(ToolCallStart(item.call_id, item.name, is_custom=item.is_custom))
        return True

    def _usual_item_end(self, event: ItemDone, payload: bytes, chunks: Chunks) -> bool:
        index = event.output_index
        item = self._items[index] if index is not None and 0 <= index < len(self._items) else None
        if item is None or item.done is not None or not item.ends(event.item):
            return False
        del self._open[item.id]
        for part in item.parts:
            if type(part) is ToolCall:
                chunks.append(ToolCallEnd(part.id))
            chunks.append(PartDone(part))
        return True

    # --- texts --------------------------------------------------------------------------------------

    def _usual_text(self, event: OutputTextDelta, payload: bytes, chunks: Chunks) -> bool:
        item = self._open.get(event.item_id)
        if item is None or item.kind != "message":
            return False
        if event.delta:
            write = item.writes(event.content_index or 0)
            if write is None:
                return False
            write(event.delta)
            chunks.append(TextDelta(event.delta))
            self._text = event.item_id, event.content_index, write
        return True

    def _usual_thought(self, event: events.SummaryTextDelta, payload: bytes, chunks: Chunks) -> bool:
        item = self._open.get(event.item_id)
        if item is None or item.kind != "reasoning":
            return False
        if event.delta:
            is_another = item.write is None and bool(item.texts)  # a paragraph of the same part
            write = item.writes(event.summary_index or 0)
            if write is None:
                return False
            write(event.delta)
            if is_another:
                chunks.append(ThinkingDelta(SUMMARY_SEPARATOR))
            chunks.append(ThinkingDelta(event.delta))
        return True

    def _usual_arguments(
        self, event: events.ArgumentsDelta | events.CustomInputDelta, payload: bytes, chunks: Chunks
    ) -> bool:
        item, delta = self._open.get(event.item_id), event.delta
        if item is None or item.kind != _CALL_KIND_OF[type(event)] or type(delta) is not str:
            return False
        if delta:
            write = item.writes(0)
            if write is None:
                return False
            write(delta)
            chunks.append(ToolCallDelta(item.call_id, delta))
        return True

    def _usual_text_end(self, event: Any, payload: bytes, chunks: Chunks) -> bool:
        kind, index, text = _TEXT_ENDS[type(event)](event)
        item = self._open.get(event.item_id)
        if item is None or item.kind != kind or not item.ends_text(index, text):
            return False
        self._text = _NO_RUN
        return True

    def _usual_told(self, event: Any, payload: bytes, chunks: Chunks) -> bool:
        """Skip what other events say, too."""
        return True

    def _usual_limits(self, event: events.RateLimits, payload: bytes, chunks: Chunks) -> bool:
        self._rate_limits(event, chunks)
        return True

    def _usual_metadata(self, event: events.Metadata, payload: bytes, chunks: Chunks) -> bool:
        self._metadata(event, chunks)
        return True


_CALL_KIND_OF: Mapping[type, str] = {
    events.ArgumentsDelta: "function_call",
    events.CustomInputDelta: "custom_tool_call",
}

# The type of item that the end of a text belongs to, its index, and the whole text.
_TEXT_ENDS: Mapping[type, Callable[[Any], tuple[str, int, Any]]] = {
    events.OutputTextDone: lambda event: ("message", event.content_index or 0, event.text),
    events.SummaryTextDone: lambda event: ("reasoning", event.summary_index or 0, event.text),
    events.ArgumentsDone: lambda event: ("function_call", 0, event.arguments),
    events.CustomInputDone: lambda event: ("custom_tool_call", 0, event.input),
}

_Take: TypeAlias = Callable[[AnswerStream, Any, bytes, Chunks], bool]
_TAKES: Mapping[type, _Take] = {
    Created: AnswerStream._usual_created,
    ItemAdded: AnswerStream._usual_item,
    ItemDone: AnswerStream._usual_item_end,
    Completed: AnswerStream._usual_end,
    OutputTextDelta: AnswerStream._usual_text,
    events.SummaryTextDelta: AnswerStream._usual_thought,
    **dict.fromkeys(_CALL_KIND_OF, AnswerStream._usual_arguments),
    **dict.fromkeys(_TEXT_ENDS, AnswerStream._usual_text_end),
    **dict.fromkeys(TOLD, AnswerStream._usual_told),
    events.RateLimits: AnswerStream._usual_limits,
    events.Metadata: AnswerStream._usual_metadata,
}
