"""Assembles one output item of the Responses API from its deltas and its finished form.

Text, summaries and arguments come as deltas, or only in a ``…done`` event, or only in the finished item. What
came earlier must be the beginning of what comes later; a contradiction is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from io import StringIO
from typing import TypeAlias

from onplan.errors import StreamCorruptError
from onplan.flow import decode_json
from onplan.responses.items import (
    CALL_KINDS,
    CONTENT_KINDS,
    SUMMARY_SEPARATOR,
    Item,
    Section,
    call_id_of,
    kind_of,
    parts_of,
    sections_of,
)
from onplan.types import (
    ContentPart,
    PartDone,
    StreamChunk,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)

Chunks: TypeAlias = list[StreamChunk]

ARGUMENTS: Section = ("arguments", 0)
MAXIMUM_SECTIONS = 10_000


class EmissionOrder:
    """Emits the deltas of one kind, text or thinking, in the order in which the finished parts will stand.

    Only one section of one item is emitted at a time. The text of another section is held back until the
    item is finished or the section is whole.

    Args:
        delta: makes a chunk from a text.
        positions: yields the next position among the items.
    """

    def __init__(self, delta: Callable[[str], StreamChunk], positions: Iterator[int]) -> None:
        self._delta, self._positions = delta, positions
        self._current: _Place | None = None
        self._last: _Place | None = None
        self._waiting: dict[Arrival, dict[Section, None]] = {}
        self._emitted: set[_Place] = set()
        self._whole: set[_Place] = set()

    def add(self, place: _Place, text: str, chunks: Chunks) -> None:
        """Emit more text of a section, or hold it back.

        Raises:
            StreamCorruptError: no order of the finished parts could match the order of the deltas.
        """
        if place != self._current:
            if place in self._emitted and place != self._last:
                raise StreamCorruptError(_MIXED_UP)
            self._whole.discard(place)
            arrival, section = place
            if self._current is not None or self._next() not in (None, arrival):
                self._waiting.setdefault(arrival, {})[section] = None
                return
            self._begin(place, chunks)
        chunks.append(self._delta(text))

    def emits(self, place: _Place) -> bool:
        """Whether more text of this section is emitted at once."""
        return place == self._current

    def end(self, place: _Place, chunks: Chunks) -> None:
        """Note that a section is whole, and emit what waited for it."""
        self._whole.add(place)
        self.advance(chunks)

    def advance(self, chunks: Chunks) -> None:
        """If the current section is whole or its item finished, emit what the next one held back."""
        if not self._waiting:  # nearly always
            if self._current in self._whole:
                self._current = None
            return
        while self._current is None or self._current in self._whole:
            self._current = None
            arrival = self._next()
            sections = self._waiting.get(arrival) if arrival else None
            if arrival is None or not sections:
                return
            section = next(iter(sections))
            del sections[section]
            if not sections:
                del self._waiting[arrival]
            self._begin((arrival, section), chunks)
            chunks.append(self._delta(arrival.text(section).getvalue()))

    def end_all(self) -> None:
        """Drop all references to items: they refer to this object, and only gc would free the cycle."""
        self._current = self._last = None
        self._waiting, self._emitted, self._whole = {}, set(), set()

    def _next(self) -> Arrival | None:
        """The item whose text is emitted next; None if it may be any item."""
        last = self._last[0] if self._last else None
        if last is None or last.finished:
            return next(iter(self._waiting), None)
        return last

    def _begin(self, place: _Place, chunks: Chunks) -> None:
        if place != self._last:
            arrival, last = place[0], self._last[0] if self._last else None
            if last is not None and arrival.position < last.position:
                if arrival.has_emitted:
                    raise StreamCorruptError(_MIXED_UP)
                arrival.position = next(self._positions)
            if last is arrival and arrival.kind == "reasoning":  # its sections become paragraphs of one part
                chunks.append(self._delta(SUMMARY_SEPARATOR))
            arrival.has_emitted = True
            self._emitted.add(place)
        self._current = self._last = place


_MIXED_UP = "The parts of the answer arrived interleaved."


class Arrival:
    """An output item that is still arriving.

    Attributes:
        item: its fields, as they were last sent.
        position: its place among the items; those whose text was emitted earlier come before it.
        has_emitted: whether any of its text or thinking has been emitted.
        kind: its type; empty if it is not known yet.
        anonymous: whether the event that began it had neither an id nor an index.
        finished: whether its parts have been emitted, or it was cut.
        whole: whether an event said that its text is complete.
        parts: its content parts, once it is finished.
    """

    __slots__ = (
        "_call_id",
        "_orders",
        "_sections",
        "anonymous",
        "finished",
        "has_emitted",
        "item",
        "kind",
        "parts",
        "position",
        "whole",
    )

    def __init__(
        self, item: Item, position: int, orders: Mapping[str, EmissionOrder], *, anonymous: bool
    ) -> None:
        self.item = dict(item)
        self.kind = kind_of(item)
        self.anonymous = anonymous
        self.finished = self.whole = self.has_emitted = False
        self.parts: list[ContentPart] = []
        self._sections: dict[Section, StringIO] = {}
        self.position = position
        self._orders = orders
        self._call_id = ""  # set when its ToolCallStart is emitted

    def add(self, section: Section, text: str, chunks: Chunks) -> None:
        """Add a delta to ``section``. Raises StreamCorruptError if the item is already finished."""
        if self.finished:
            raise StreamCorruptError(f"More of the {section[0]} came after its item was finished.")
        if not text:
            return
        streamed = self._sections.get(section)
        if streamed is None:
            streamed = self.text(section)
        if order := self._orders.get(section[0]):
            order.add((self, section), text, chunks)
        elif section == ARGUMENTS and self._call_id:
            chunks.append(ToolCallDelta(self._call_id, text))
        # A refusal is emitted whole, so that no program takes it for the text of the answer.
        streamed.write(text)

    @property
    def sections(self) -> Collection[Section]:
        """The sections that have begun."""
        return self._sections.keys()

    def emits(self, section: Section) -> bool:
        """Whether more text of ``section``, which is text or thinking, is emitted at once."""
        return self._orders[section[0]].emits((self, section))

    def text(self, section: Section) -> StringIO:
        """The buffer with the text of ``section`` so far.

        A ``StringIO``, since a list of a million short strings takes ten times the memory of their text.

        Raises:
            StreamCorruptError: the item has too many sections.
        """
        text = self._sections.get(section)
        if text is None:
            if len(self._sections) >= MAXIMUM_SECTIONS:
                raise StreamCorruptError(f"An item of the answer has more than {MAXIMUM_SECTIONS:,} parts.")
            text = self._sections[section] = StringIO(newline="")
        return text

    def complete(self, section: Section, text: str, chunks: Chunks) -> None:
        """Note the whole text of ``section``, and emit what was not streamed of it. Empty text is ignored.

        Arguments of a function may be spelled differently from what was streamed, if they are the same JSON.

        Raises:
            StreamCorruptError: ``text`` contradicts what was streamed.
        """
        if not text:
            return
        self.whole = True
        streamed = self._sections[section].getvalue() if section in self._sections else ""
        if not text.startswith(streamed):
            if section == ARGUMENTS and self._is_same_call(text, streamed):
                return
            raise StreamCorruptError(f"What was streamed of the {section[0]} contradicts the finished item.")
        if text != streamed:
            self.add(section, text[len(streamed) :], chunks)
        self._end(section, chunks)

    def announce(self, item: Item, chunks: Chunks) -> None:
        """Handle ``output_item.added``, which may come after the item's first delta."""
        self.item.update(item)
        self._start(str(item.get("call_id") or ""), chunks)

    def finish(self, item: Item, chunks: Chunks) -> None:
        """Handle the finished item: complete every section, then emit its parts.

        A call that was cut has no part: it must not be carried out.

        Raises:
            StreamCorruptError: the item contradicts what was streamed, or a call cannot be carried out.
        """
        self._check_same_call(item)
        self.item = item
        if self.kind not in CONTENT_KINDS:
            self.kind = kind_of(item)
        if self._is_custom and item.get("input") is None and not self._sections:
            raise StreamCorruptError("A tool call arrived without its input.")
        if self.kind in CALL_KINDS and item.get("status") == "incomplete":
            self.finished = True
            return
        self.whole = True
        self._emit_parts(chunks, sections_of(self._typed()))

    def check_repeated(self, item: Item) -> None:
        """Check a finished item that came again. Raises StreamCorruptError if it is a call and differs.

        It is unknown which of the two calls was meant, and a tool result could not name just one of them.
        """
        if self.kind not in CALL_KINDS:
            return
        self._check_same_kind(item)
        repeated = parts_of({**item, "type": self.kind}, sections_of({**item, "type": self.kind}))
        for call, again in zip(self.parts, repeated, strict=False):
            if isinstance(call, ToolCall) and isinstance(again, ToolCall):
                same = again.arguments in ("", call.arguments) or self._is_same_call(
                    again.arguments, call.arguments
                )
                if not same or (again.name or call.name) != call.name:
                    raise StreamCorruptError("Two tool calls have the same id and differ.")

    def finish_as_it_is(self, chunks: Chunks) -> None:
        """Finish an item that the response left open. Raises StreamCorruptError if it is not whole."""
        announced = {} if self._sections else sections_of(self._typed())
        if self.kind in CALL_KINDS and not self._sections and not any(announced.values()):
            raise StreamCorruptError("A tool call arrived without its arguments.")
        self._emit_parts(chunks, announced)

    def forget_unless_whole(self, *, is_last: bool) -> None:
        """The answer was cut: drop the call if its arguments are not whole.

        Nothing shows that of free text but another item after it (``is_last``).
        """
        self.finished = True
        self.parts = [
            part
            for part in self.parts
            if not isinstance(part, ToolCall) or (not is_last if part.is_custom else _is_whole(part))
        ]

    def _typed(self) -> Item:
        """The item with the type that it began with.

        Servers change it in the finished item, or leave it out (tests/responses/test_emitted_text.py).
        """
        return {**self.item, "type": self.kind}

    def _emit_parts(self, chunks: Chunks, announced: Mapping[Section, str]) -> None:
        self._start(call_id_of(self.item), chunks)
        for section, text in announced.items():
            self.complete(section, text, chunks)
        for section in self._sections:
            self._end(section, chunks)
        parts = parts_of(
            self._typed(), {section: text.getvalue() for section, text in self._sections.items()}
        )
        for part in parts:
            if isinstance(part, ToolCall):
                self._check_call(part)
                chunks.append(ToolCallEnd(part.id))
            chunks.append(PartDone(part))
        self.finished, self.parts = True, parts
        for order in self._orders.values():
            order.advance(chunks)

    def _end(self, section: Section, chunks: Chunks) -> None:
        if order := self._orders.get(section[0]):
            order.end((self, section), chunks)

    def _start(self, call_id: str, chunks: Chunks) -> None:
        name = self.item.get("name")
        if self.kind in CALL_KINDS and not self._call_id and call_id and name:
            self._call_id = call_id
            chunks.append(ToolCallStart(call_id, str(name), is_custom=self._is_custom))
            if (arguments := self._sections.get(ARGUMENTS)) and (early := arguments.getvalue()):
                chunks.append(ToolCallDelta(call_id, early))

    @property
    def _is_custom(self) -> bool:
        return self.kind == "custom_tool_call"

    def _is_same_call(self, one: str, other: str) -> bool:
        """Whether two texts of arguments mean the same; free text means what it says."""
        return not self._is_custom and _is_same_json(one, other)

    def _check_same_call(self, item: Item) -> None:
        self._check_same_kind(item)
        same_id = not self._call_id or self._call_id == call_id_of(item)
        if not same_id or (self.item.get("name") or item.get("name")) != item.get("name"):
            raise StreamCorruptError("A tool call changed its id or name while it arrived.")

    def _check_same_kind(self, item: Item) -> None:
        if {self.kind, kind_of(item)} == CALL_KINDS:
            raise StreamCorruptError("A tool call changed its type while it arrived.")

    def _check_call(self, call: ToolCall) -> None:
        """Check that the call can be carried out. Raises StreamCorruptError if not.

        Invalid JSON in arguments that the server called complete is accepted: the model wrote it, and the
        program can answer it with an error as the tool's result.
        """
        if not call.id or not call.name:
            raise StreamCorruptError("A tool call arrived without its id or name.")
        if not self.whole and (call.is_custom or not _is_whole(call)):
            raise StreamCorruptError(f"The arguments of the call to {call.name} are not whole.")


def _is_whole(call: ToolCall) -> bool:
    """Whether the arguments of a function are JSON."""
    return decode_json(call.arguments.encode()) is not None


def _is_same_json(one: str, other: str) -> bool:
    value = decode_json(one.encode())
    return value is not None and value == decode_json(other.encode())


_Place: TypeAlias = tuple[Arrival, Section]
