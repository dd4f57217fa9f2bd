"""Hands a stream of the Responses API on to a client: the events as they came, but for what clients need.

Each event is read as well, so that a stream is whole or an error here as everywhere. The bytes of an event go
out unchanged unless it opens or ends the response, or an item lacks something that clients need. Nothing is
handed on before the backend has begun to answer: until then a failure has an HTTP status of its own, and the
request can be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from onplan.answers.cutoff import Cutoff
from onplan.dialects.openai_errors import error_fields
from onplan.dialects.openai_responses.cut import Ending
from onplan.dialects.openai_responses.event_order import Event, EventOrder, Place
from onplan.dialects.openai_responses.response_object import output_item, output_of, response_object
from onplan.errors import OnplanError
from onplan.parameters import CutAt, Reports
from onplan.responses.continuation import TURN_STATE
from onplan.responses.items import Item
from onplan.responses.stream import ResponseStream
from onplan.types import FinishReason, Usage

_place = msgspec.json.Decoder(Place).decode
_OPENING = frozenset(("response.created", "response.in_progress", "response.queued"))
_TERMINAL = frozenset(
    ("response.completed", "response.incomplete", "response.done", "response.cancelled", "response.failed")
)
_OWN = ("codex.", "response.metadata")  # the Codex backend's own events, which only its client reads
_NUMBER = b'"sequence_number":'


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """What a client wants of the stream.

    Attributes:
        echo: fields of its request that the response repeats.
        cut_at: where the answer is to end.
        is_codex: whether it reads the Codex backend's own events.
        framed: whether events are framed as server-sent events; else each is one bare payload.
    """

    echo: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cut_at: CutAt | None = None
    is_codex: bool = False
    framed: bool = True


class RelayStream(ResponseStream):
    """Takes the payloads of one stream and returns what the client gets: bytes.

    Attributes:
        final: the whole ``response`` object, once the answer is complete.
        output: the finished items, with their indexes.
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
        self.final: dict[str, Any] | None = None
        self.output: list[tuple[int, Item]] = []
        self._options = options
        self._cutoff = Cutoff(options.cut_at) if options.cut_at else None
        self._ending = Ending() if options.cut_at else None
        self._order = EventOrder()
        self._held: list[bytes] = []  # the events before the first of an item
        self._begun = False
        self._opened: dict[str, Any] = {}  # the response object of the first event
        self._next = 0  # our next sequence number
        self._renumbers: bool | None = None  # whether it differs from the backend's; None before the first

    @property
    def model(self) -> str:
        """The model that answers."""
        return self._model

    @property
    def usage(self) -> Usage | None:
        """The tokens that the answer took, once it is complete."""
        return self.response.usage if self.response else None

    def headers(self) -> dict[str, str]:
        """What the reply says beside its body: what the plan has left, what became of the request."""
        told = {**self.limit_headers, **self._limits}
        headers = {name: value for name, value in told.items() if name.startswith("x-codex-")}
        if not self._options.is_codex:
            headers.pop(TURN_STATE, None)
        if self._reports.ignored:
            headers["x-onplan-ignored-parameters"] = ", ".join(self._reports.ignored)
        if self._reports.emulated:
            headers["x-onplan-emulated-parameters"] = ", ".join(self._reports.emulated)
        if self._repairs:
            headers["x-onplan-history-repairs"] = " ".join(dict.fromkeys(self._repairs))
        return headers

    def feed(self, payloads: Iterable[bytes]) -> list[Any]:
        """What the client gets for ``payloads``: framed events, or bare payloads."""
        sent: list[bytes] = []
        for payload in payloads:
            if self.finished or self.is_cut:
                break
            chunks = super().feed((payload,))
            if self.failure:
                break  # it is told by ``failure_events``, or as an HTTP status
            if self._cutoff:
                passed = self._cutoff.passed(chunks)
                if self._cutoff.reason:
                    sent += self._cut(payload, passed)
                    break
            self._take(payload, sent)
        return sent

    def close(self) -> list[Any]:
        """Note the end of the events. Raises StreamTruncatedError unless the stream is finished."""
        if self.is_cut:
            self.finished = True
            return []
        return super().close()

    def failure_events(self, error: OnplanError) -> bytes:
        """The events that end a stream which fails after it has begun: an ``error``, and ``response.failed``.

        Clients differ in which of the two they look at (docs/protocol.md). The first has its fields twice:
        flat, as in OpenAI's reference, and under ``error``, for only an event with that makes OpenAI's Python
        SDK raise. Programs that look at neither event (llm 0.36) would take the end for a success.
        """
        told = error_fields(error)
        sent: list[bytes] = []
        fields = {"code": told["code"], "message": told["message"], "param": told["param"], "error": told}
        self._emit({"type": "error", **fields}, sent)
        return b"".join([*sent, self.failed_event(error)])

    def failed_event(self, error: OnplanError) -> bytes:
        """The event ``response.failed``."""
        told = error_fields(error)
        failed = {"code": told["code"], "message": told["message"]}
        output = output_of(None, self.output)
        fields: dict[str, Any] = {"status": "failed", "error": failed, "output": output}
        sent: list[bytes] = []
        response = response_object(self._opened, self._options.echo, **fields)
        self._emit({"type": "response.failed", "response": response}, sent)
        return sent[0]

    # --- events -------------------------------------------------------------------------------------

    def _take(self, payload: bytes, sent: list[bytes]) -> None:
        try:
            place = _place(payload)
        except msgspec.MsgspecError:
            return  # no event: a keep-alive, or a whole answer that came in place of a stream
        kind = place.type
        if kind in _OPENING:
            self._open(kind, payload, sent if self._begun else self._held)
        elif kind in _TERMINAL or self.finished:
            self._finish_response(payload, sent)
        elif self._is_left_out(place):
            self._renumbers = self._renumbers or _NUMBER in payload
        elif kind.startswith(_OWN):
            self._pass(kind, payload, sent if self._begun else self._held)
        else:
            self._release(sent)
            for event in self._order.missing(place, payload):
                self._emit(event, sent)
                self._renumbers = True
            if kind in ("response.output_item.added", "response.output_item.done"):
                self._item(place, payload, sent)
            else:
                self._pass(kind, payload, sent)

    def _is_left_out(self, place: Place) -> bool:
        """Whether the client does not get the event: the backend's own kinds, and repeated announcements."""
        return (place.type.startswith(_OWN) and not self._options.is_codex) or self._order.is_repeated(place)

    def _open(self, kind: str, payload: bytes, sent: list[bytes]) -> None:
        """An opening event; it is held until there is more, for until then the request can be sent again."""
        response = msgspec.json.decode(payload).get("response") or {}
        if not self._opened:
            self._opened = response
        elif kind == "response.created":
            return
        event = {"type": kind, "response": response_object(response, self._options.echo, output=[])}
        self._emit(event, sent)

    def _release(self, sent: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            if not self._held:  # a backend that does not announce its response
                event = {"type": "response.created", "response": self._announcement()}
                self._emit(event, self._held)
                self._renumbers = True
            sent += self._held

    def _announcement(self) -> dict[str, Any]:
        self._opened = {"id": self._response_id or "resp_0", "model": self._model, "status": "in_progress"}
        return response_object(self._opened, self._options.echo)

    def _item(self, place: Place, payload: bytes, sent: list[bytes]) -> None:
        event = msgspec.json.decode(payload)
        item, is_done = event.get("item"), place.type.endswith("done")
        index = place.output_index if place.output_index is not None else len(self.output)
        if not isinstance(item, dict):
            return
        whole = output_item(item, index, "completed" if is_done else "in_progress")
        if is_done:
            self.output.append((index, whole))
        if self._ending:
            self._ending.item(index, whole, is_done=is_done)
        if whole == item:
            self._pass(place.type, payload, sent)
        else:
            self._emit({**event, "item": whole}, sent)

    def _finish_response(self, payload: bytes, sent: list[bytes]) -> None:
        event = msgspec.json.decode(payload)
        response = event.get("response") or (event if event.get("object") == "response" else {})
        self._release(sent)
        output = output_of(response.get("output"), self.output)
        self._rest(output, sent)
        is_cut = response.get("status") == "incomplete" or bool(response.get("incomplete_details"))
        fields: dict[str, Any] = {"status": "incomplete" if is_cut else "completed", "output": output}
        if not response.get("id"):
            fields["id"] = self._opened["id"]
        self.final = response_object({**self._opened, **response}, self._options.echo, **fields)
        self._emit({"type": f"response.{fields['status']}", "response": self.final}, sent)

    def _rest(self, output: list[Item], sent: list[bytes]) -> None:
        """The items that only the last event has."""
        if len(self.output) >= len(output):
            return
        for index, item in enumerate(output[len(self.output) :], len(self.output)):
            event = {"type": "response.output_item.done", "output_index": index, "item": item}
            payload = msgspec.json.encode(event)
            for missing in self._order.missing(_place(payload), payload):
                self._emit(missing, sent)
            self.output.append((index, item))
            self._emit(event, sent)

    def _cut(self, payload: bytes, passed: list[Any]) -> list[bytes]:
        """End the answer here: what was said before the cut, and the ends of what is open."""
        sent: list[bytes] = []
        self._release(sent)
        assert self._ending is not None  # noqa: S101 - there is one where there is a cutoff
        for event in self._ending.events(_place(payload), passed):
            self._emit(event, sent)
        output = [*self.output, *self._ending.open_items()]
        details = {"reason": "max_output_tokens"}
        self.final = response_object(
            self._opened,
            self._options.echo,
            status="incomplete",
            incomplete_details=details,
            output=output_of(None, output),
        )
        self._emit({"type": "response.incomplete", "response": self.final}, sent)
        self.is_cut, self.grace = True, 0.0  # the connection is closed without reading on
        self.response = self.answer_of(
            self._cutoff.parts if self._cutoff else [], Usage(), FinishReason.LENGTH
        )
        return sent

    # --- bytes --------------------------------------------------------------------------------------

    def _emit(self, event: Event, sent: list[bytes]) -> None:
        """One of our own events, with our number."""
        numbered = {"type": event["type"], **event, "sequence_number": self._next}
        self._next += 1
        sent.append(self._framed(event["type"], msgspec.json.encode(numbered)))

    def _pass(self, kind: str, payload: bytes, sent: list[bytes]) -> None:
        """An event as it came; with our number if events were added or left out."""
        number = self._next
        self._next += 1
        if self._ending:
            self._ending.note(payload)
        if self._renumbers is not False:
            before = payload
            payload = _renumbered(payload, number)
            self._renumbers = self._renumbers or before != payload
        sent.append(self._framed(kind, payload))

    def _framed(self, kind: str, payload: bytes) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload) if self._options.framed else payload


def _renumbered(payload: bytes, number: int) -> bytes:
    """The event with this ``sequence_number``. Inside a JSON text the name would have escaped quotes."""
    start = payload.find(_NUMBER)
    if start < 0:
        return b'%b,"sequence_number":%d}' % (payload.rstrip()[:-1], number)
    start += len(_NUMBER)
    end = start
    while payload[end : end + 1].isdigit() or payload[end : end + 1] == b" ":
        end += 1
    return b"%b%d%b" % (payload[:start], number, payload[end:])
