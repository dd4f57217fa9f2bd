"""One output item while it arrives: what was streamed of it, completed by whatever comes later.

Text, summaries and arguments come as deltas, only in a ``…done`` event, or only in the finished item. What
came earlier must be the beginning of what comes later; a contradiction is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from typing import TypeAlias

from onplan.errors import StreamCorruptError
from onplan.flow import decode_json
from onplan.responses.items import (
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


class InOrder:
    """Hands out the deltas of one kind, text or thinking, in the order of the finished parts.

    One item speaks at a time, and one of its sections. What comes of another one meanwhile waits until that
    item is finished, or the section is whole.

    Args:
        delta: makes a chunk of a text.
        positions: the next places among the items.
    """

    def __init__(self, delta: Callable[[str], StreamChunk], positions: Iterator[int]) -> None:
        self._delta, self._positions = delta, positions
        self._speaking: _Voice | None = None
        self._last: _Voice | None = None
        self._waiting: dict[Arrival, dict[Section, None]] = {}
        self._spoken: set[_Voice] = set()
        self._whole: set[_Voice] = set()

    def add(self, voice: _Voice, text: str, chunks: Chunks) -> None:
        """More of a section. Raises StreamCorruptError if no order of the parts can be that of the deltas."""
        if voice != self._speaking:
            if voice in self._spoken and voice != self._last:
                raise StreamCorruptError(_MIXED_UP)
            self._whole.discard(voice)
            arrival, section = voice
            if self._speaking is not None or self._next() not in (None, arrival):
                self._waiting.setdefault(arrival, {})[section] = None
                return
            self._begin(voice, chunks)
        chunks.append(self._delta(text))

    def speaks(self, voice: _Voice) -> bool:
        """Whether more of this section is handed out at once."""
        return voice == self._speaking

    def end(self, voice: _Voice, chunks: Chunks) -> None:
        """A section is whole."""
        self._whole.add(voice)
        self.go_on(chunks)

    def go_on(self, chunks: Chunks) -> None:
        """If what spoke is whole or finished, the next one speaks, with all that has come of it."""
        while self._speaking is None or self._speaking in self._whole:
            self._speaking = None
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
        """The stream has ended. Items and orders hold each other: without this only gc would free them."""
        self._speaking = self._last = None
        self._waiting, self._spoken, self._whole = {}, set(), set()

    def _next(self) -> Arrival | None:
        """Which item speaks next; None if it may be any."""
        last = self._last[0] if self._last else None
        if last is None or (last.finished and last not in self._waiting):
            return next(iter(self._waiting), None)
        return last

    def _begin(self, voice: _Voice, chunks: Chunks) -> None:
        if voice != self._last:
            arrival, last = voice[0], self._last[0] if self._last else None
            if last is not None and arrival.position < last.position:
                if arrival.has_spoken:
                    raise StreamCorruptError(_MIXED_UP)
                arrival.position = next(self._positions)
            if last is arrival and arrival.kind == "reasoning":  # whose sections are paragraphs of one part
                chunks.append(self._delta(SUMMARY_SEPARATOR))
            arrival.has_spoken = True
            self._spoken.add(voice)
        self._speaking = self._last = voice


_MIXED_UP = "The parts of the answer came mixed up."


class Arrival:
    """An output item that is arriving.

    Attributes:
        item: as it was last announced.
        position: its place among the items, which is behind those that spoke before it did.
        has_spoken: whether text or thinking of it has been handed out.
        kind: its type; empty if it has said none yet.
        anonymous: whether it was opened by an event that named neither its id nor its index.
        finished: whether its parts have been given away, or it was cut.
        whole: whether something said that its text is complete.
        parts: what it amounts to, once it is finished.
    """

    __slots__ = (
        "_call_id",
        "_orders",
        "_sections",
        "anonymous",
        "finished",
        "has_spoken",
        "item",
        "kind",
        "parts",
        "position",
        "whole",
    )

    def __init__(self, item: Item, position: int, orders: Mapping[str, InOrder], *, anonymous: bool) -> None:
        self.item = dict(item)
        self.kind = kind_of(item)
        self.anonymous = anonymous
        self.finished = self.whole = self.has_spoken = False
        self.parts: list[ContentPart] = []
        self._sections: dict[Section, StringIO] = {}
        self.position = position
        self._orders = orders
        self._call_id = ""  # once its tool_call_start was emitted

    def add(self, section: Section, text: str, chunks: Chunks) -> None:
        """A delta of ``section``. Raises StreamCorruptError if the item is finished already."""
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
        # A refusal is handed out whole, so that it is never taken for an answer's text.
        streamed.write(text)

    def speaks(self, section: Section) -> bool:
        """Whether more of ``section`` is handed out at once."""
        order = self._orders.get(section[0])
        return order is not None and order.speaks((self, section))

    def text(self, section: Section) -> StringIO:
        """What was streamed of ``section`` so far, which grows as more comes.

        One buffer: a list of a million short strings takes ten times what they say.
        """
        text = self._sections.get(section)
        if text is None:
            if len(self._sections) >= MAXIMUM_SECTIONS:
                raise StreamCorruptError(f"An item of the answer has more than {MAXIMUM_SECTIONS:,} parts.")
            text = self._sections[section] = StringIO(newline="")
        return text

    def complete(self, section: Section, text: str, chunks: Chunks) -> None:
        """``section`` is whole: emit what of it was not streamed yet. An empty ``text`` says nothing.

        Arguments may be written in another way than they were streamed: they are the same as JSON.
        """
        if not text:
            return
        self.whole = True
        streamed = self._sections[section].getvalue() if section in self._sections else ""
        if not text.startswith(streamed):
            if section == ARGUMENTS and _is_same_json(text, streamed):
                return
            raise StreamCorruptError(f"What was streamed of the {section[0]} contradicts the finished item.")
        if text != streamed:
            self.add(section, text[len(streamed) :], chunks)
        self._end(section, chunks)

    def announce(self, item: Item, chunks: Chunks) -> None:
        """``output_item.added``; a delta may have overtaken it."""
        self.item.update(item)
        self._start(str(item.get("call_id") or ""), chunks)

    def finish(self, item: Item, chunks: Chunks) -> None:
        """The item is whole: complete every section, then give its parts away.

        A call that was cut gives none: it must not be carried out.

        Raises:
            StreamCorruptError: the item contradicts what was streamed, or a call cannot be carried out.
        """
        self._check_same_call(item)
        self.item = item
        if self.kind not in CONTENT_KINDS:
            self.kind = kind_of(item)
        if self.kind == "function_call" and item.get("status") == "incomplete":
            self.finished = True
            return
        self.whole = True
        self._give_away(chunks, sections_of(self._typed()))

    def check_repeated(self, item: Item) -> None:
        """The finished item comes once more. Raises StreamCorruptError if it is a call and differs.

        Which of the two was meant, or whether both were, is unknown, and a result would name them both.
        """
        if self.kind != "function_call":
            return
        repeated = parts_of({**item, "type": self.kind}, sections_of({**item, "type": self.kind}))
        for call, again in zip(self.parts, repeated, strict=False):
            if isinstance(call, ToolCall) and isinstance(again, ToolCall):
                same = again.arguments in ("", call.arguments) or _is_same_json(
                    again.arguments, call.arguments
                )
                if not same or (again.name or call.name) != call.name:
                    raise StreamCorruptError("Two tool calls have the same id and say something else.")

    def finish_as_it_is(self, chunks: Chunks) -> None:
        """The response is complete, so this item must be. Raises StreamCorruptError if it is not."""
        announced = {} if self._sections else sections_of(self._typed())
        if self.kind == "function_call" and not self._sections and not any(announced.values()):
            raise StreamCorruptError("A tool call arrived without its arguments.")
        self._give_away(chunks, announced)

    def forget_unless_whole(self) -> None:
        """The answer was cut: a call whose arguments are not whole gives nothing."""
        self.finished = True
        self.parts = [part for part in self.parts if not isinstance(part, ToolCall) or _is_whole(part)]

    def _typed(self) -> Item:
        """The item, of the type that it began as: some servers leave it out at its end, or change it."""
        return self.item if self.item.get("type") == self.kind else {**self.item, "type": self.kind}

    def _give_away(self, chunks: Chunks, announced: Mapping[Section, str]) -> None:
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
            order.go_on(chunks)

    def _end(self, section: Section, chunks: Chunks) -> None:
        if order := self._orders.get(section[0]):
            order.end((self, section), chunks)

    def _start(self, call_id: str, chunks: Chunks) -> None:
        name = self.item.get("name")
        if self.kind == "function_call" and not self._call_id and call_id and name:
            self._call_id = call_id
            chunks.append(ToolCallStart(call_id, str(name)))
            if (arguments := self._sections.get(ARGUMENTS)) and (early := arguments.getvalue()):
                chunks.append(ToolCallDelta(call_id, early))

    def _check_same_call(self, item: Item) -> None:
        same_id = not self._call_id or self._call_id == call_id_of(item)
        if not same_id or (self.item.get("name") or item.get("name")) != item.get("name"):
            raise StreamCorruptError("A tool call changed its id or name while it arrived.")

    def _check_call(self, call: ToolCall) -> None:
        """A call is only finished if it can be carried out.

        Bad JSON that the server called whole is what the model wrote, and the program's to answer.
        """
        if not call.id or not call.name:
            raise StreamCorruptError("A tool call arrived without its id or name.")
        if not self.whole and not _is_whole(call):
            raise StreamCorruptError(f"The arguments of the call to {call.name} are not whole.")


def _is_whole(call: ToolCall) -> bool:
    return decode_json(call.arguments.encode()) is not None


def _is_same_json(one: str, other: str) -> bool:
    value = decode_json(one.encode())
    return value is not None and value == decode_json(other.encode())


_Voice: TypeAlias = tuple[Arrival, Section]
