"""What a client has been told of an answer's items, and the events that tell it the rest.

The SDKs raise errors at a delta for an item, or a part of one, that was never announced, and at indexes with
gaps; they take arguments from deltas alone, and Codex CLI takes items from ``output_item.done`` alone
(docs/protocol.md). The backend sends all of it, gateways not always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from onplan.dialects.openai_responses.event_writer import Event, Place
from onplan.dialects.openai_responses.response_object import output_item
from onplan.errors import StreamCorruptError
from onplan.responses.arrival import MAXIMUM_SECTIONS, Arrival
from onplan.responses.items import CALL_KINDS, CONTENT_KINDS, Item, Section, sections_of


class SectionEvents(NamedTuple):
    """The events of one kind of section.

    Attributes:
        section: its kind.
        item: the kind of item that has it.
        index_field: the field with its index in the item; empty if there is only one.
        text_field: the field of the last event with its text.
    """

    section: str
    item: str
    index_field: str
    text_field: str = "text"

    def section_at(self, place: Place) -> Section:
        """The section that an event belongs to."""
        return self.section, (getattr(place, self.index_field) or 0) if self.index_field else 0


SECTION_EVENTS = {
    "response.output_text": SectionEvents("output_text", "message", "content_index"),
    "response.refusal": SectionEvents("refusal", "message", "content_index", "refusal"),
    "response.reasoning_summary_text": SectionEvents("summary", "reasoning", "summary_index"),
    "response.reasoning_text": SectionEvents("reasoning", "reasoning", "content_index"),
    "response.function_call_arguments": SectionEvents("arguments", "function_call", "", "arguments"),
    "response.custom_tool_call_input": SectionEvents("arguments", "custom_tool_call", "", "input"),
}
_NAMES = {(events.section, events.item): name for name, events in SECTION_EVENTS.items()}
# Sections that are announced as parts of their item.
_PARTS = {
    "output_text": "response.content_part",
    "refusal": "response.content_part",
    "summary": "response.reasoning_summary_part",
}
PART_EVENTS = frozenset(_PARTS.values())
_EMPTY: dict[str, Item] = {
    "message": {"role": "assistant", "content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": "", "status": "in_progress"},
    "reasoning": {"summary": []},
}


@dataclass(slots=True, eq=False)
class OutgoingItem:
    """One item.

    Attributes:
        index: among the items of the answer, without gaps where the backend leaves none.
        id: the same in all events.
        arrival: the item as it arrives.
        is_announced: whether the client knows of it.
        done: the item as it was finished.
        parts: the indexes of its parts, in the order in which they were announced.
        sent: how many characters of each section were sent.
        ended: sections whose end was told.
    """

    index: int
    id: str
    arrival: Arrival
    is_announced: bool = False
    done: Item | None = None
    parts: dict[Section, int] = field(default_factory=dict)
    sent: dict[Section, int] = field(default_factory=dict)
    ended: set[Section] = field(default_factory=set)
    _counts: Counter[str] = field(default_factory=Counter)  # of the parts of each kind of event

    @property
    def kind(self) -> str:
        """Its type."""
        return self.arrival.kind

    def announcement(self, item: Item) -> Event:
        """The event that it begins, without any of its content: that follows."""
        self.is_announced = True
        begun = output_item({**item, **_EMPTY.get(self.kind, {})}, self.id, "in_progress")
        if self.kind in _EMPTY:
            begun["type"] = self.kind
        return {"type": "response.output_item.added", "output_index": self.index, "item": begun}

    def missing_part(self, section: Section) -> Iterator[Event]:
        """The event that a part begins, if the client does not know of it. Raises StreamCorruptError."""
        if section in self.parts or section[0] not in _PARTS:
            return
        self.note_part(section)
        yield self._part_event(section, "added", "")

    def note_part(self, section: Section) -> None:
        """A part begins.

        Raises:
            StreamCorruptError: the item has too many of them.
        """
        if len(self.parts) >= MAXIMUM_SECTIONS:
            raise StreamCorruptError(f"An item of the answer has more than {MAXIMUM_SECTIONS:,} parts.")
        events = _PARTS.get(section[0], "response.content_part")
        self.parts[section] = self._counts[events]
        self._counts[events] += 1

    @property
    def can_be_announced(self) -> bool:
        """Whether enough is known of it: clients take a call's id and name when it begins."""
        known = self.arrival.item
        is_known = bool(known.get("call_id") and known.get("name"))
        return is_known or self.is_announced or self.kind not in CALL_KINDS

    def count_unsent(self, section: Section) -> int:
        """How many characters of a section have arrived and were not sent."""
        if section not in self.arrival.sections:
            return 0
        return self.arrival.text(section).tell() - self.sent.get(section, 0)

    def unsent(self, section: Section) -> str:
        """The text of a section that has arrived and was not sent."""
        if self.count_unsent(section) <= 0:
            return ""
        return self.arrival.text(section).getvalue()[self.sent.get(section, 0) :]

    def delta(self, section: Section, text: str) -> Event:
        """More text of a section."""
        self.sent[section] = self.sent.get(section, 0) + len(text)
        event = {"type": f"{self._name(section)}.delta", **self._at(section), "delta": text}
        return {**event, "logprobs": []} if section[0] == "output_text" else event

    def ends(self) -> Iterator[Event]:
        """The events that sections and their parts end, as far as they were not told."""
        for section, length in self.sent.items():
            if section in self.ended or (name := self._name(section)) is None:
                continue
            self.ended.add(section)
            text = self.arrival.text(section).getvalue()[:length]
            event = {"type": f"{name}.done", **self._at(section), SECTION_EVENTS[name].text_field: text}
            yield {**event, "logprobs": []} if section[0] == "output_text" else event
            if section in self.parts:
                yield self._part_event(section, "done", text)

    def end(self, item: Item) -> Event:
        """The event that it is finished, as ``item``."""
        self.done = item
        return {"type": "response.output_item.done", "output_index": self.index, "item": item}

    def whole(self, item: Item, status: str) -> Item:
        """``item`` as the backend finished it, with its id, and and with the text that it lacks."""
        said = sections_of({**item, "type": self.kind}) if self.kind in CONTENT_KINDS else {}
        lacks = any(length and not said.get(section) for section, length in self.sent.items())
        return output_item({**item, **self._content()} if lacks else item, self.id, status)

    def as_sent(self, status: str) -> Item:
        """The item with the text that was sent of it."""
        item = {**self.arrival.item, "type": self.kind, **self._content(), "status": status}
        return output_item(item, self.id, status)

    def _content(self) -> Item:
        texts = {section: self.arrival.text(section).getvalue()[:n] for section, n in self.sent.items()}
        match self.kind:
            case "message":
                return {"role": "assistant", "content": [_part(*each) for each in texts.items()]}
            case "reasoning":
                parts = [_part(*each) for each in texts.items() if each[0][0] == "summary"]
                return {"summary": parts}
            case "function_call":
                return {"arguments": texts.get(("arguments", 0), "")}
            case "custom_tool_call":
                return {"input": texts.get(("arguments", 0), "")}
        return {}

    def as_arrived(self, status: str) -> Item:
        """The item as far as the backend has told it."""
        return {**self.arrival.item, "type": self.kind, "status": status}

    def place(self, section: Section | None) -> Event:
        """Where an event of the item, or of a section of it, belongs."""
        return self._at(section) if section else {"item_id": self.id, "output_index": self.index}

    def _name(self, section: Section) -> str | None:
        return _NAMES.get((section[0], self.kind))

    def _at(self, section: Section) -> Event:
        """Where an event of a section belongs."""
        at: Event = {"item_id": self.id, "output_index": self.index}
        if (name := self._name(section)) and (index := SECTION_EVENTS[name].index_field):
            at[index] = self.parts.get(section, section[1])
        return at

    def _part_event(self, section: Section, what: str, text: str) -> Event:
        return {"type": f"{_PARTS[section[0]]}.{what}", **self._at(section), "part": _part(section, text)}


def _part(section: Section, text: str) -> Item:
    match section[0]:
        case "output_text":
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        case "refusal":
            return {"type": "refusal", "refusal": text}
    return {"type": "summary_text", "text": text}


def section_of_part(place: Place, payload: bytes) -> Section:
    """The section that an event about a part belongs to."""
    if place.type.startswith("response.reasoning_summary_part."):
        return "summary", place.summary_index or 0
    part = msgspec.json.decode(payload).get("part")
    kind = part.get("type") if isinstance(part, dict) else None
    names = {"refusal": "refusal", "reasoning_text": "reasoning"}
    return names.get(str(kind), "output_text"), place.content_index or 0


class OutgoingItems:
    """The items of one answer."""

    def __init__(self) -> None:
        self._all: dict[Arrival, OutgoingItem] = {}
        self._ids: dict[str, OutgoingItem] = {}
        self._indexes: dict[int, OutgoingItem] = {}
        self._next = 0

    def __iter__(self) -> Iterator[OutgoingItem]:
        """All of them, by their index."""
        return (self._indexes[index] for index in sorted(self._indexes))

    def of(self, arrival: Arrival, place: Place, name: str) -> OutgoingItem:
        """The item that arrives as ``arrival``.

        Args:
            arrival: as the assembler found it.
            place: where its first event says that it belongs; another item may have that index already.
            name: of the response, for the id of an item that has none of its own.
        """
        found = self._all.get(arrival)
        if found is None:
            index = place.output_index
            if index is None or not 0 <= index <= self._next or index in self._indexes:
                index = self._next
            self._next = max(self._next, index + 1)
            item_id = arrival.item.get("id") or place.item_id
            if not isinstance(item_id, str) or item_id in self._ids:
                item_id = f"item_{name.removeprefix('resp_')}_{index}"
            found = self._all[arrival] = self._ids[item_id] = OutgoingItem(index, item_id, arrival)
            self._indexes[index] = found
        return found

    def named(self, place: Place) -> OutgoingItem | None:
        """The item that an event belongs to which the assembler does not read, if that is clear."""
        if place.item_id is not None:
            return self._ids.get(place.item_id)
        return self._indexes.get(place.output_index) if place.output_index is not None else None
