"""Hands on a stream of any kind: one that lacks what clients need, is out of order, damaged, or fails.

Each event is read by the assembler (``responses.stream``) as well, so that a stream is whole or an error here
as everywhere, and each belongs to one item (``responses.arrivals``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from onplan.answers.cutoff import Cutoff
from onplan.dialects.openai_responses.event_writer import MOST_HELD, EventWriter, Place, is_text, place_of
from onplan.dialects.openai_responses.noted_arrivals import NotedArrivals
from onplan.dialects.openai_responses.outgoing import (
    PART_EVENTS,
    SECTION_EVENTS,
    OutgoingItem,
    OutgoingItems,
    is_part,
    section_of_part,
)
from onplan.dialects.openai_responses.relay_options import RelayOptions
from onplan.dialects.openai_responses.response_object import response_object
from onplan.errors import OnplanError, StreamCorruptError
from onplan.parameters import Reports
from onplan.responses.items import Item, Section, parts_in
from onplan.responses.stream import ResponseStream
from onplan.types import FinishReason, StreamChunk, Usage

_TEXT_DELTA = "response.output_text.delta"
_ITEM_EVENTS = ("response.output_item.added", "response.output_item.done")
_OPENING = frozenset(("response.created", "response.in_progress", "response.queued"))
_TERMINAL = frozenset(
    ("response.completed", "response.incomplete", "response.done", "response.cancelled", "response.failed")
)
# Items and parts are not declared as types, since they get new fields; one of a wrong shape ends up here.
_MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
_MALFORMED_EVENT = "An event of the stream is malformed."
_OWN = ("codex.", "response.metadata")  # the Codex backend's own events, which only its client reads


class _Text(NamedTuple):
    """Consecutive deltas of one text that are handed on as they are."""

    at: tuple[str | None, int | None, int | None]
    write: Callable[[str], object]
    item: OutgoingItem
    section: Section


class _LongEnoughError(Exception):
    """The answer is as long as the client wants it."""


class CarefulRelay(ResponseStream):
    """Takes the payloads of one stream and returns what the client gets: bytes.

    Attributes:
        final: the whole ``response`` object as JSON, once the answer is complete.
    """

    def __init__(
        self,
        model: str,
        reports: Reports,
        request_id: str | None,
        options: RelayOptions,
        history_repairs: Iterable[str] = (),
    ) -> None:
        super().__init__(model, reports, request_id, history_repairs=history_repairs)
        self.final: msgspec.Raw | None = None
        self._options = options
        self._writer = EventWriter(framed=options.framed)
        self._cutoff = Cutoff(options.cut_at) if options.cut_at else None
        self._begun = False
        self._opened: dict[str, Any] = {}  # the response object of the first event
        self._begun_response = msgspec.Raw()
        self._openings: set[str] = set()
        self._held = 0  # how many of the backend's own events were written
        self._text: _Text | None = None
        self._of_text: OutgoingItem | None = None  # the item of the latest text

    @cached_property
    def _arrivals(self) -> NotedArrivals:
        return NotedArrivals()

    @cached_property
    def _items(self) -> OutgoingItems:
        return OutgoingItems()

    def feed(self, payloads: Sequence[bytes]) -> list[Any]:
        """What the client gets for ``payloads``: framed events, or bare payloads."""
        hand_on = self._writer.hand_on
        for payload in payloads:
            if self.finished or self.is_cut:
                break
            if not is_text(payload):
                self._fail("An event of the stream is not UTF-8.")
                break
            place, text = place_of(payload), self._text
            # Nearly every event is more text of the same item as the event before.
            if (
                text is not None
                and place is not None
                and place.type == _TEXT_DELTA
                and (place.item_id, place.output_index, place.content_index) == text.at
                and type(place.delta) is str
                and place.logprobs is not msgspec.UNSET
            ):
                try:
                    hand_on(place, payload)
                except _MALFORMED:
                    self._fail(_MALFORMED_EVENT)
                else:
                    text.write(place.delta)
            else:
                self._take(place, payload)
        return self._writer.taken() if self._begun else []

    def close(self) -> list[StreamChunk]:
        """Note the end of the events. Raises StreamTruncatedError unless the stream is finished."""
        if self.is_cut:
            self.finished = True
            return []
        return super().close()

    # --- events -------------------------------------------------------------------------------------

    def _take(self, place: Place | None, payload: bytes) -> None:
        """An event that is more than text of the same item as the event before."""
        if text := self._text:
            text.item.sent[text.section] = text.item.arrival.text(text.section).tell()
            self._text = None
        self._arrivals.latest = None
        super().feed((payload,))
        if self.failure or (place is None and not self.finished):
            return  # told by ``failure_events``, or as an HTTP status; or no event: a keep-alive
        try:
            if self.finished:
                self._finish_response(payload)
            elif place is not None and place.type in _OPENING:
                self._open(place.type, payload)
            elif place is not None and place.type.startswith(_OWN):
                self._own(place, payload)
            elif place is not None and self._is_handed_on(place):
                self._begin({})
                self._event(place, payload)
        except _LongEnoughError:
            self._cut()
        except OnplanError as error:
            self.failure, self.finished = error, True
        except _MALFORMED:
            self._fail(_MALFORMED_EVENT)

    def _fail(self, why: str) -> None:
        self.failure, self.finished = StreamCorruptError(why, request_id=self._request_id), True

    def _own(self, place: Place, payload: bytes) -> None:
        """An event of the Codex backend's own. It begins nothing: the request can still be sent again."""
        if self._options.is_codex and place.type.isprintable() and (self._begun or self._held < MOST_HELD):
            self._held += 1
            self._writer.hand_on(place, payload)

    def _is_handed_on(self, place: Place) -> bool:
        """Whether the client gets the event: not if it is an earlier answer's."""
        if not place.type or place.type in _TERMINAL or not place.type.isprintable():
            return False
        return not (self.earlier and place.item_id in self.earlier and not self._items.named(place))

    def _open(self, kind: str, payload: bytes) -> None:
        """Write an opening event. It is held: the request can be sent again until there is more."""
        response = msgspec.json.decode(payload).get("response")
        if not isinstance(response, dict):
            response = {}
        if kind in self._openings or self._begun or response.get("id") in self.earlier:
            return
        self._openings.add(kind)
        if kind == "response.created" or not self._opened:
            self._announce_response(response)
        if kind != "response.created":
            self._writer.write({"type": kind, "response": self._begun_response})

    def _announce_response(self, response: Mapping[str, Any]) -> None:
        """Write the first event of all, once."""
        if self._opened:
            return
        created_at = response.get("created_at")
        self._opened = {
            **response,
            "created_at": created_at if type(created_at) is int else int(self.began_at or 0),
            "status": "in_progress",
            "id": self._response_id or self._options.response_id,
            "model": self._model,
        }
        self._begun_response = msgspec.Raw(msgspec.json.encode(self._response({}, output=[])))
        self._writer.write({"type": "response.created", "response": self._begun_response})

    def _begin(self, response: Mapping[str, Any]) -> None:
        """From now on the client gets what is written. Backends that announce no response are helped out."""
        self._announce_response(response)
        self._begun = True

    def _event(self, place: Place, payload: bytes) -> None:
        name, _, what = place.type.rpartition(".")
        events = SECTION_EVENTS.get(name)
        if events is None and place.type not in _ITEM_EVENTS:
            self._other(place, payload)
            return
        item = self._item_of(place)
        if item is None:
            return
        if events is None:
            self._item(item, place, payload)
            return
        section = events.section_at(place)
        if what == "delta":
            self._delta(item, section, place, payload)
        else:
            self._section_end(item, section, place, payload)

    def _item_of(self, place: Place) -> OutgoingItem | None:
        """The item that an event belongs to; None if that was an earlier answer's."""
        if arrival := self._arrivals.latest:
            return self._items.of(arrival, place, self._opened["id"])
        return self._of_text if place.type == _TEXT_DELTA and self._run[0] is not None else None

    def _delta(self, item: OutgoingItem, section: Section, place: Place, payload: bytes) -> None:
        if not item.can_be_announced or not item.has(section):
            return  # its text is told once the client can be told what it is
        self._announce(item, section)
        delta, unsent = place.delta, item.count_unsent(section)
        if self._cutoff is not None or type(delta) is not str or unsent != len(delta):
            self._tell_rest(item, section)
            return
        item.sent[section] = item.sent.get(section, 0) + unsent
        is_as_it_came = self._writer.hand_on_at(item.place(section), place, payload)
        if place.type == _TEXT_DELTA:
            self._of_text = item
            at = (place.item_id, place.output_index, place.content_index)
            if is_as_it_came and self._run[0] == at:
                self._text = _Text(at, self._run[1], item, section)

    def _section_end(self, item: OutgoingItem, section: Section, place: Place, payload: bytes) -> None:
        if item.done is not None or section in item.ended or not item.can_be_announced:
            return
        if not item.has(section):
            return
        self._tell_rest(item, section)
        said = msgspec.json.decode(payload).get(SECTION_EVENTS[place.type.rpartition(".")[0]].text_field)
        event = item.section_end(section)
        if said == item.sent_text(section):
            self._writer.hand_on_at(item.place(section), place, payload)
        else:
            self._writer.write(event)

    def _other(self, place: Place, payload: bytes) -> None:
        """An event that the assembler does not read: a part of an item, or a kind of its own."""
        name, _, what = place.type.rpartition(".")
        item = self._items.named(place)
        is_part_event = name in PART_EVENTS
        part = msgspec.json.decode(payload).get("part") if is_part_event else None
        section = section_of_part(place, part) if is_part_event else None
        if item is None:
            if not is_part_event:
                self._writer.hand_on(place, payload)
        elif item.done is not None or not item.can_be_announced:
            return
        elif section is None:
            self._announce(item)
            self._writer.hand_on_at(item.place(None), place, payload)
        elif what == "added":
            self._part_added(item, section, part, place, payload)
        elif section in item.parts and is_part(part, section):
            self._writer.hand_on_at(item.place(section), place, payload)

    def _part_added(
        self, item: OutgoingItem, section: Section, part: Any, place: Place, payload: bytes
    ) -> None:
        if section in item.parts:
            return
        self._announce(item)
        item.note_part(section)
        if is_part(part, section) and "" in (part.get("text"), part.get("refusal")):
            self._writer.hand_on_at(item.place(section), place, payload)
        else:
            self._writer.write(item.part_added(section))

    # --- items --------------------------------------------------------------------------------------

    def _item(self, item: OutgoingItem, place: Place, payload: bytes) -> None:
        is_end = place.type.endswith("done")
        is_known = item.index is not None
        if item.done is not None or not item.can_be_announced or (is_known and not is_end):
            return
        given = msgspec.json.decode(payload)["item"]
        if is_end:
            event = self._ending(item, given)
        else:
            self._items.announce(item)
            event = item.announcement(given)
        if event["item"] == given and place.output_index == item.index:
            self._writer.hand_on(place, payload)
        else:
            self._writer.write(event)

    def _ending(self, item: OutgoingItem, given: Item) -> dict[str, Any]:
        """Tell what is missing of an item; return the event that it is finished."""
        self._announce(item)
        for section in list(item.arrival.sections):
            if item.has(section):
                self._tell_rest(item, section)
        for event in item.ends():
            self._writer.write(event)
        return item.end(item.whole(given, "completed"))

    def _announce(self, item: OutgoingItem, section: Section | None = None) -> None:
        """Tell that an item, and a section of it, begins."""
        if item.index is None:
            self._items.announce(item)
            self._writer.write(item.announcement(item.arrival.item))
        if section is not None and item.lacks_part(section):
            self._writer.write(item.part_added(section))

    def _tell_rest(self, item: OutgoingItem, section: Section) -> None:
        """Tell the text of a section that came otherwise than in deltas, as one delta."""
        self._announce(item, section)
        if text := item.unsent(section):
            self._tell(item, section, text)

    def _tell(self, item: OutgoingItem, section: Section, text: str) -> None:
        """Tell more text of a section, as far as the answer may go on."""
        fits = len(text)
        if self._cutoff is not None and section[0] in ("output_text", "arguments"):
            fits = self._cutoff.fitting(text)
        if fits:
            self._writer.write(item.delta(section, text[:fits]))
        if fits < len(text):
            raise _LongEnoughError

    # --- the end ------------------------------------------------------------------------------------

    def _finish_response(self, payload: bytes) -> None:
        event = msgspec.json.decode(payload)
        response = event.get("response") or (event if event.get("object") == "response" else {})
        self._begin(response)
        details = response.get("incomplete_details")
        status = "incomplete" if response.get("status") == "incomplete" or details else "completed"
        for arrival, given in self._arrivals.outputs:
            item = self._items.of(arrival, Place(), self._opened["id"])
            if item.done is None and item.can_be_announced:
                self._writer.write(self._ending(item, given))
        for item in (*self._items, *self._items.unannounced()):
            if item.done is None and item.can_be_announced:
                self._writer.write(self._ending(item, item.as_arrived(status)))
        self._write_end(response, status, details)

    def _cut(self) -> None:
        """End the answer here: what was told of it, and the ends of what is open."""
        for item in self._items:
            if item.done is None:
                for event in item.ends():
                    self._writer.write(event)
                self._writer.write(item.end(item.as_sent("incomplete")))
        usage = self.response.usage if self.response else self._estimated_usage()
        parts = [part for item in self._items for part in parts_in(item.done or {})]
        self.response = self.answer_of(parts, usage, FinishReason.LENGTH)
        self.is_cut, self.grace = True, 0.0  # the connection is closed without reading on
        counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
        counts["total_tokens"] = usage.total_tokens
        self._write_end({"usage": counts}, "incomplete", {"reason": "max_output_tokens"})

    def _estimated_usage(self) -> Usage:
        """The tokens of an answer that is as long as the client wants it: the backend does not say them."""
        limit = self._options.cut_at.max_tokens if self._options.cut_at else None
        return Usage(prompt_tokens=self._options.input_tokens(), completion_tokens=limit or 0)

    def _write_end(self, response: Mapping[str, Any], status: str, details: Any) -> None:
        output = [item.done for item in self._items]
        final = self._response(response, status=status, output=output, incomplete_details=details)
        self.final = msgspec.Raw(msgspec.json.encode(final))
        self._writer.write({"type": f"response.{status}", "response": self.final})

    def _response(self, response: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """The response object; its id and its beginning are those of the first event."""
        same = {name: self._opened[name] for name in ("id", "created_at")}
        fields |= {**same, "model": self._model, "object": "response"}
        return response_object({**self._opened, **response}, self._options.echo, **fields)
