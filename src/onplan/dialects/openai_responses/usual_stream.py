"""Hands on a stream that comes as the backend usually sends it: each event is decoded once.

The response is announced; then each item begins, has its texts, each of them announced, streamed and ended,
and ends as it was streamed; then the response is completed (docs/protocol.md). ``careful_relay`` would write
the same for such events, but it would also assemble the answer for a program, and look everything up that may
be missing or mixed up. It reads what was noted here once an event is not as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from onplan.answers.usage import usage_of
from onplan.dialects.openai_responses.event_writer import (
    CARRIAGE_RETURN,
    LINE_FEED,
    MOST_HELD,
    EventWriter,
    Place,
    is_text,
)
from onplan.dialects.openai_responses.relay_options import RelayOptions
from onplan.dialects.openai_responses.response_object import NULL, response_object, told_usage
from onplan.dialects.openai_responses.usual_items import (
    KINDS,
    NO_TEXT,
    UsualEvent,
    UsualItem,
    UsualText,
    decode_event,
    decode_named,
)
from onplan.responses.items import parts_in
from onplan.types import ContentPart, Usage

# What decoding raises, and reading a value of a wrong shape: then an event is not as usual.
_UNUSUAL = (msgspec.MsgspecError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
_Response = dict[str, msgspec.Raw]
_decode_response = msgspec.json.Decoder(_Response).decode
_decode = msgspec.json.decode
_decode_text = msgspec.json.Decoder(str).decode
_COMPLETED = msgspec.Raw(b'"completed"')
_UNSET = msgspec.UNSET


class UsualStream:
    """Takes the payloads of one stream as long as they are as usual.

    Args:
        model: that was asked.
        began_at: when the answer began, Unix seconds.
        earlier: ids of earlier responses on the same connection, and of their items.
        options: what the client wants of the stream.

    Attributes:
        model: that answers.
        response_id: its id for the response.
        begun: whether the client gets what was written.
        final: the whole ``response`` object, once the answer is complete.
        usage: the tokens that it took, then.
        writer: writes the events.
    """

    def __init__(
        self, model: str, began_at: float | None, earlier: Collection[str], options: RelayOptions
    ) -> None:
        self.model = model
        self.response_id: str | None = None
        self.begun = False
        self.final: msgspec.Raw | None = None
        self.usage: Usage | None = None
        self.writer = EventWriter(framed=options.framed)
        self._began_at, self._earlier, self._options = began_at, earlier, options
        self._own = 0  # how many events of the backend's own there were
        self._noted: list[bytes | UsualText] = []
        self._opened: dict[str, Any] = {}  # the response of the first event
        self._same: dict[str, Any] = {}  # what all events say of the response
        self._begun_response = b""
        self._latest_opening = ""
        self._ids: set[str] = set()
        self._items: list[UsualItem] = []
        self._text = NO_TEXT  # to which the latest delta belongs

    def taken(self) -> list[bytes]:
        """What was written since it was taken last; nothing before the client is to get any of it."""
        return self.writer.taken() if self.begun else []

    @property
    def ids(self) -> set[str]:
        """The ids of the response and of its items."""
        return self._ids | ({self.response_id} if self.response_id else set())

    @property
    def parts(self) -> list[ContentPart]:
        """The content parts of the items that have ended, in order."""
        ended = [item.done for item in self._items if item.done is not None]
        return [part for item in ended for part in parts_in(_decode(item))]

    def payloads(self) -> Iterator[bytes]:
        """Payloads that say what all those said which were taken."""
        for noted in self._noted:
            payload = noted if isinstance(noted, bytes) else noted.payload()
            if payload is not None:
                yield payload

    def take(self, payloads: Sequence[bytes], at: int = 0) -> int:
        """Take ``payloads`` from the place ``at`` on. Return the place of the first one that is not as usual.

        Nothing has happened to that one. Returns how many there are if all are, or if the answer is complete.
        """
        text, writer = self._text, self.writer
        for place, payload in enumerate(payloads[at:], at):
            if not payload.isascii() and not is_text(payload):
                return place
            try:
                event = decode_event(payload)
                # Nearly every event is more text of the same item as the event before. What is asked here is
                # asked by ``goes_on_with``, too: calling that would take half as long as decoding.
                if (
                    event.item_id == text.item_id
                    and event.type == text.kind
                    and event.output_index == text.output_index
                    and event.content_index == text.content_index
                    and event.summary_index == text.summary_index
                    and text.whole is None
                    and type(delta := event.delta) is str
                    and delta
                    and type(event.arguments) is str
                    and (event.logprobs is not _UNSET or not text.has_logprobs)
                ):
                    if not writer.hand_on_next(event.sequence_number, text.beginning, payload):
                        writer.hand_on(event, payload)
                    text.write(delta)
                    continue
                # Pieces of it become part of our own events, which are one line each.
                if LINE_FEED in payload or CARRIAGE_RETURN in payload:
                    return place
                if not _TAKES[event.type](self, event, payload):
                    return place
            except _UNUSUAL:
                return place
            if self.final is not None:
                break
            text = self._text
        return len(payloads)

    def take_own(self, place: Place, payload: bytes) -> bool:
        """Take an event of the Codex backend's own, which begins nothing. Return whether it is as usual."""
        self._own += 1
        if self._own > MOST_HELD:
            return False
        if self._options.is_codex:
            self.writer.hand_on(place, payload)
        self._noted.append(payload)
        return True

    # --- the response -------------------------------------------------------------------------------

    def _created(self, event: UsualEvent, payload: bytes) -> bool:
        response = _decode_response(event.response)
        response_id, model = _text_in(response, "id"), _text_in(response, "model", self.model)
        if self._opened or not (response_id and model) or response_id in self._earlier:
            return False
        if response.get("usage", NULL) != NULL:
            return False
        created_at = _decode(response.get("created_at", NULL))
        self._same = {
            "id": response_id,
            "created_at": created_at if type(created_at) is int else int(self._began_at or 0),
            "object": "response",
        }
        self._opened = {**response, "status": "in_progress"}
        fields = {**self._same, "model": model, "output": [], "usage": None}
        begun = response_object(self._opened, self._options.echo, **fields)
        self.model, self.response_id, self._latest_opening = model, response_id, event.type
        self._begun_response = msgspec.json.encode(begun)
        self.writer.write_response(event.type, self._begun_response)
        self._noted.append(payload)
        return True

    def _in_progress(self, event: UsualEvent, payload: bytes) -> bool:
        if self._latest_opening != "response.created" or self.begun:
            return False
        if decode_named(event.response).id != self.response_id:
            return False
        self._latest_opening = event.type
        self.writer.write_response(event.type, self._begun_response)
        self._noted.append(payload)
        return True

    def _completed(self, event: UsualEvent, payload: bytes) -> bool:
        response = _decode_response(event.response)
        model = _text_in(response, "model", self.model)
        is_whole = (
            any(item.has_content for item in self._items)
            and all(item.done is not None for item in self._items)
            and response.get("status") == _COMPLETED
            and event.error is None
            and all(response.get(name, NULL) == NULL for name in ("error", "incomplete_details"))
            and _text_in(response, "id") == self.response_id
            and self._is_output(response.get("output", NULL))
        )
        if not is_whole or not model or "usage" not in response:
            return False
        given = _decode(response["usage"])
        usage = usage_of(given)
        fields = {
            **self._same,
            "model": model,
            "status": "completed",
            "output": [item.done for item in self._items],
            "incomplete_details": None,
            "usage": told_usage(given, usage),
        }
        final = response_object({**self._opened, **response}, self._options.echo, **fields)
        encoded = msgspec.json.encode(final)
        self.model, self.usage, self.final = model, usage, msgspec.Raw(encoded)
        self.writer.write_response(event.type, encoded)
        self._noted.append(payload)
        return True

    def _is_output(self, output: msgspec.Raw) -> bool:
        """Whether the ``output`` of the last event is that of the events before, or left out."""
        if output in (NULL, _NO_OUTPUT):
            return True
        items = [item.done for item in self._items if item.done is not None]
        return bytes(output) == msgspec.json.encode(items) or _decode(output) == list(map(_decode, items))

    # --- items --------------------------------------------------------------------------------------

    def _item_added(self, event: UsualEvent, payload: bytes) -> bool:
        item = UsualItem.begun_by(event, len(self._items))
        if item is None or not self._opened:
            return False
        if not (self._ids.isdisjoint(item.ids) and item.ids.isdisjoint(self._earlier)):
            return False
        # Calls may arrive at once. The texts of other items would have to be brought into an order.
        if not all(each.done is not None or (each.is_call and item.is_call) for each in self._items):
            return False
        self._ids |= item.ids
        self._items.append(item)
        self._hand_on(event, payload)
        if item.is_call:
            self._begin_text(item)
        return True

    def _item_done(self, event: UsualEvent, payload: bytes) -> bool:
        item = self._open_item(event)
        if item is None or not item.end(event):
            return False
        self._hand_on(event, payload)
        return True

    def _part_added(self, event: UsualEvent, payload: bytes) -> bool:
        item = self._open_item(event)
        if item is None or event.item_id != item.id or not item.begins_part(event):
            return False
        self._hand_on(event, payload)
        self._begin_text(item)
        return True

    def _part_done(self, event: UsualEvent, payload: bytes) -> bool:
        item = self._open_item(event)
        if item is None or event.item_id != item.id or not item.ends_part(event):
            return False
        self._hand_on(event, payload)
        return True

    def _delta(self, event: UsualEvent, payload: bytes) -> bool:
        """More of another text than the latest delta: calls may arrive at once."""
        item = self._open_item(event)
        text = item.texts[-1] if item is not None and item.texts else NO_TEXT
        if event.type != text.kind or not text.goes_on_with(event):
            return False
        self.writer.hand_on(event, payload)
        text.write(event.delta)
        self._text = text
        return True

    def _text_done(self, event: UsualEvent, payload: bytes) -> bool:
        item = self._open_item(event)
        if item is None or event.item_id != item.id or not item.ends_text(event):
            return False
        self._hand_on(event, payload)
        return True

    def _open_item(self, event: UsualEvent) -> UsualItem | None:
        """The item at the index of an event, if it has begun and not ended."""
        index = event.output_index
        if index is None or not 0 <= index < len(self._items):
            return None
        return self._items[index] if self._items[index].done is None else None

    def _begin_text(self, item: UsualItem) -> None:
        self._text = item.begin_text()
        self._noted.append(self._text)

    def _hand_on(self, event: UsualEvent, payload: bytes) -> None:
        """Hand on an event as it came. From now on the client gets what is written."""
        self.writer.hand_on(event, payload)
        self.begun = True
        self._noted.append(payload)


_NO_OUTPUT = msgspec.Raw(b"[]")


def _text_in(response: _Response, name: str, otherwise: str = "") -> str:
    """A field that is a text. Raises one of ``_UNUSUAL`` if it is something else."""
    value = response.get(name, NULL)
    return otherwise if value == NULL else _decode_text(value)


_Take: TypeAlias = Callable[[UsualStream, UsualEvent, bytes], bool]
_TAKES: Mapping[str, _Take] = {
    "response.created": UsualStream._created,
    "response.in_progress": UsualStream._in_progress,
    "response.completed": UsualStream._completed,
    "response.output_item.added": UsualStream._item_added,
    "response.output_item.done": UsualStream._item_done,
    **{kind.part_added: UsualStream._part_added for kind in KINDS.values() if kind.part_added},
    **{kind.part_done: UsualStream._part_done for kind in KINDS.values() if kind.part_done},
    **{kind.delta: UsualStream._delta for kind in KINDS.values()},
    **{kind.text_done: UsualStream._text_done for kind in KINDS.values()},
}
