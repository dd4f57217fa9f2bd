"""What a client has been told of an answer's items, and the events that tell it the rest.

The SDKs raise errors at a delta for an item, or a part of one, that was never announced, and at indexes with
gaps; they take arguments from deltas alone, and Codex CLI takes items from ``output_item.done`` alone
(docs/protocol.md). The backend sends all of it, gateways not always.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
_ARGUMENTS: Section = ("arguments", 0)
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
        id: the same in all events.
        arrival: the item as it arrives.
        index: among the items that the client knows of, without gaps; None before it does.
        done: the item as it was finished.
        parts: the indexes of its parts, in the order in which they were announced.
        sent: how many characters of each section were sent.
        ended: sections whose end was told.
    """

    id: str
    arrival: Arrival
    index: int | None = None
    done: Item | None = None
    parts: dict[Section, int] = field(default_factory=dict)
    sent: dict[Section, int] = field(default_factory=dict)
    ended: set[Section] = field(default_factory=set)
    _kind: str = ""
    _counts: dict[str, int] = field(default_factory=dict)  # of the parts of each kind of event

    @property
    def kind(self) -> str:
        """Its type; that with which it was announced."""
        return self._kind or self.arrival.kind

    def begin(self, index: int) -> None:
        """It gets to be known to the client."""
        self.index, self._kind = index, self.arrival.kind

    def announcement(self, item: Item) -> Event:
        """The event that it begins, without any of its content: that follows."""
        begun = {**item, "type": self.kind, **_EMPTY.get(self.kind, {})}
        begun = output_item(begun, self.id, "in_progress")
        return {"type": "response.output_item.added", "output_index": self.index, "item": begun}

    def part_added(self, section: Section) -> Event:
        """The event that a part begins."""
        return self._part_event(section, "added", "")

    def lacks_part(self, section: Section) -> bool:
        """Whether a section is to be announced as a part. If so, it counts as announced. Raises as below."""
        if section in self.parts or section[0] not in _PARTS:
            return False
        self.note_part(section)
        return True

    def note_part(self, section: Section) -> None:
        """A part begins.

        Raises:
            StreamCorruptError: the item has too many of them.
        """
        if len(self.parts) >= MAXIMUM_SECTIONS:
            raise StreamCorruptError(f"An item of the answer has more than {MAXIMUM_SECTIONS:,} parts.")
        events = _PARTS.get(section[0], "response.content_part")
        self.parts[section] = self._counts.get(events, 0)
        self._counts[events] = self.parts[section] + 1

    @property
    def can_be_announced(self) -> bool:
        """Whether enough is known of it: clients take its type, and a call's id and name, when it begins."""
        if self.index is not None:
            return True
        known = self.arrival.item
        return bool(known.get("call_id") and known.get("name") if self.kind in CALL_KINDS else self.kind)

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

    def section_end(self, section: Section) -> Event:
        """The event that a section ends, with the text that was sent of it."""
        self.ended.add(section)
        name = _NAMES[section[0], self.kind]
        text = self.sent_text(section)
        event = {"type": f"{name}.done", **self._at(section), SECTION_EVENTS[name].text_field: text}
        return {**event, "logprobs": []} if section[0] == "output_text" else event

    def ends(self) -> Iterator[Event]:
        """The events that sections and their parts end, as far as they were not told."""
        for section in self.sent:
            if section not in self.ended and self._name(section) is not None:
                yield self.section_end(section)
                if section in self.parts:
                    yield self._part_event(section, "done", self.sent_text(section))

    def sent_text(self, section: Section) -> str:
        """What was sent of a section."""
        sent = self.sent.get(section, 0)
        return self.arrival.text(section).getvalue()[:sent] if sent else ""

    def end(self, item: Item) -> Event:
        """The event that it is finished, as ``item``."""
        self.done = item
        return {"type": "response.output_item.done", "output_index": self.index, "item": item}

    def whole(self, item: Item, status: str) -> Item:
        """``item`` as the backend finished it, with its id; where it is not what was sent, with that."""
        typed = {**item, "type": self.kind}
        if self.kind in CONTENT_KINDS:
            if not self._is_as_sent(typed):
                typed |= self._content()
            if self.kind != "reasoning" and typed.get("status") not in ("completed", "incomplete"):
                typed["status"] = status
        return output_item(typed, self.id, status)

    def _is_as_sent(self, item: Item) -> bool:
        """Whether a finished item has the text that was sent of it, in parts that clients can read."""
        said = sections_of(item)
        if self.kind in CALL_KINDS:
            field_name = "arguments" if self.kind == "function_call" else "input"
            return field_name in item and (bool(said[_ARGUMENTS]) or not self.sent.get(_ARGUMENTS))
        parts = item.get("summary" if self.kind == "reasoning" else "content")
        kinds = ("summary_text",) if self.kind == "reasoning" else ("output_text", "refusal")
        if not isinstance(parts, list):
            return False
        if any(not isinstance(part, dict) or part.get("type") not in kinds for part in parts):
            return False
        return self._told() == [each for each in said.items() if each[1] and each[0] in self.parts]

    def as_sent(self, status: str) -> Item:
        """The item with the text that was sent of it."""
        item = {**self.arrival.item, "type": self.kind, **self._content(), "status": status}
        return output_item(item, self.id, status)

    def _content(self) -> Item:
        match self.kind:
            case "message":
                return {"role": "assistant", "content": [_part(*each) for each in self._told()]}
            case "reasoning":
                return {"summary": [_part(*each) for each in self._told() if each[0][0] == "summary"]}
            case "function_call":
                return {"arguments": self.sent_text(_ARGUMENTS)}
            case "custom_tool_call":
                return {"input": self.sent_text(_ARGUMENTS)}
        return {}

    def _told(self) -> list[tuple[Section, str]]:
        """The texts of its parts that were sent, in the order of the parts."""
        return [(section, text) for section in self.parts if (text := self.sent_text(section))]

    def as_arrived(self, status: str) -> Item:
        """The item as far as the backend has told it."""
        return {**self.arrival.item, "type": self.kind, "status": status}

    def place(self, section: Section | None) -> Event:
        """Where an event of the item, or of a section of it, belongs."""
        return self._at(section) if section else {"item_id": self.id, "output_index": self.index}

    def has(self, section: Section) -> bool:
        """Whether items of its kind have such a section."""
        return self._name(section) is not None

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


_PART_TYPES = {"output_text": "text", "refusal": "refusal", "summary_text": "text", "reasoning_text": "text"}
_PART_SECTIONS = {"refusal": "refusal", "summary_text": "summary", "reasoning_text": "reasoning"}


def section_of_part(place: Place, part: Any) -> Section | None:
    """The section that an event about a part belongs to; None if it is a part of a new kind."""
    if place.type.startswith("response.reasoning_summary_part."):
        return "summary", place.summary_index or 0
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind not in _PART_TYPES:
        return None
    return _PART_SECTIONS.get(str(kind), "output_text"), place.content_index or 0


def is_part(part: Any, section: Section) -> bool:
    """Whether clients can read ``part`` as one of this kind of section."""
    if not isinstance(part, dict) or not isinstance(kind := part.get("type"), str):
        return False
    is_kind = _PART_SECTIONS.get(kind, "output_text") == section[0]
    return is_kind and isinstance(part.get(_PART_TYPES.get(kind, "")), str)


class OutgoingItems:
    """The items of one answer."""

    def __init__(self) -> None:
        self._all: dict[Arrival, OutgoingItem] = {}
        self._ids: dict[str, OutgoingItem] = {}
        self._at: dict[int | None, OutgoingItem] = {}  # by the backend's index
        self._announced: list[OutgoingItem] = []

    def __iter__(self) -> Iterator[OutgoingItem]:
        """Those that the client knows of, in their order."""
        return iter(self._announced)

    def unannounced(self) -> list[OutgoingItem]:
        """Those that the client does not know of."""
        return [item for item in self._all.values() if item.index is None]

    def of(self, arrival: Arrival, place: Place, name: str) -> OutgoingItem:
        """The item that arrives as ``arrival``.

        Args:
            arrival: as the assembler found it.
            place: where the event says that it belongs.
            name: of the response, for the id of an item that has none of its own.
        """
        found = self._all.get(arrival)
        if found is None:
            item_id = arrival.item.get("id") or place.item_id
            if not isinstance(item_id, str) or item_id in self._ids:
                item_id = f"item_{name.removeprefix('resp_')}_{len(self._all)}"
            found = self._all[arrival] = self._ids[item_id] = OutgoingItem(item_id, arrival)
            self._at[place.output_index] = found
        return found

    def announce(self, item: OutgoingItem) -> None:
        """Give an item its index: the client gets to know of it."""
        item.begin(len(self._announced))
        self._announced.append(item)

    def named(self, place: Place) -> OutgoingItem | None:
        """The item that an event belongs to which the assembler does not read, if that is clear."""
        if place.item_id is not None and (found := self._ids.get(place.item_id)):
            return found
        return self._at.get(place.output_index) if place.output_index is not None else None
