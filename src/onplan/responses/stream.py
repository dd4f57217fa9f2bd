"""Assembles a Responses API stream: event payloads in; chunks and the whole answer, or an error, out.

SSE and WebSocket both deliver one JSON payload per event, so nothing here depends on the transport.
``arrival`` assembles one item, ``arrivals`` finds the item of an event; here is what each event does::

    (nothing) --added, or a first delta--> arriving --deltas, …done--> arriving --output_item.done--> finished
    a completed response finishes items that are still arriving; an incomplete one keeps their text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeAlias

from onplan.answers.error_body import http_status, read_error
from onplan.answers.failures import Complaint, complaint_of_body, failure_of_complaint, words_in
from onplan.answers.finish_reasons import finish_of
from onplan.answers.limits import headers_of_event, limits_of_headers
from onplan.answers.sse import Body
from onplan.answers.usage import usage_of
from onplan.errors import (
    OnplanError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
)
from onplan.flow import JSON_ERRORS, NOTHING
from onplan.parameters import NOTHING_REPORTED, Reports
from onplan.responses import events
from onplan.responses.arrival import ARGUMENTS, Arrival, Chunks
from onplan.responses.arrivals import Arrivals
from onplan.responses.continuation import TURN_STATE
from onplan.responses.events import OutputTextDelta, decode_event, decode_known
from onplan.responses.items import CALL_KINDS, COMPACTIONS, CONTENT_KINDS, Item, text_of
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Done,
    FinishReason,
    Limits,
    Message,
    Refusal,
    Role,
    StreamChunk,
    TextDelta,
    ToolCall,
    Usage,
)

_Run: TypeAlias = tuple[tuple[str | None, int | None, int | None] | None, Callable[[str], object]]
_NO_RUN: _Run = (None, str)


class ResponseStream:
    """Takes the payloads of one stream and returns chunks.

    Attributes:
        finished: whether the terminal event came, or the stream failed.
        grace: always None: nothing follows the terminal event. (``ChatStream`` has seconds here.)
        is_whole: always False: no answer is whole before its terminal event.
        failure: the error inside the stream; the chunks before it have been returned.
        failure_codes: the backend's codes for that error.
        complaint: the error as the backend reported it, if it did.
        turn_state: a token of the backend's that goes into later messages of the same turn.
        response: the whole answer, once it is complete.
        parts: the finished content parts, in the order of their items; ``kept`` come first.
        earlier: ids of earlier responses on the same connection, and of their items.
        is_mixed: whether an event came that belongs to one of those.
        is_cut: whether onplan has ended the answer, while the backend goes on.
        limit_headers: the headers with which the answer began, for what they say about limits.
        began_at: when that was, Unix seconds.
    """

    grace: float | None = None
    is_whole = False

    def __init__(
        self,
        model: str,
        reports: Reports = NOTHING_REPORTED,
        request_id: str | None = None,
        kept: Iterable[ContentPart] = (),
        history_repairs: Iterable[str] = (),
    ) -> None:
        self.finished = False
        self.failure: OnplanError | None = None
        self.failure_codes: tuple[str, ...] = ()
        self.complaint: Complaint | None = None
        self.turn_state: str | None = None
        self.response: CompletionResponse | None = None
        self.earlier: Collection[str] = ()
        self.is_mixed = self.is_cut = False
        self.limit_headers: Mapping[str, str] = NOTHING
        self.began_at: float | None = None
        self._model = model
        self._reports = reports
        self._repairs = list(history_repairs)
        self._request_id = request_id
        self._kept = list(kept)
        self._response_id: str | None = None
        self._words = ""  # plain text that came in place of an event
        self._limits: dict[str, str] = {}  # the plan's limits from events, as headers
        # Consecutive deltas of one text: the ids and indexes that they share, and what writes their text.
        self._run: _Run = _NO_RUN

    @cached_property
    def _arrivals(self) -> Arrivals:
        return Arrivals()

    @property
    def parts(self) -> list[ContentPart]:
        """The finished parts, in order."""
        return [*self._kept, *(part for arrival in self._arrivals for part in arrival.parts)]

    @property
    def compactions(self) -> list[Item]:
        """The finished items in which a conversation was compacted."""
        return [
            arrival.item for arrival in self._arrivals if arrival.kind in COMPACTIONS and arrival.finished
        ]

    @property
    def limits(self) -> Limits | None:
        """What the plan has left, as far as headers and events have said so."""
        return limits_of_headers({**self.limit_headers, **self._limits}, self.began_at)

    @property
    def limits_in_events(self) -> Mapping[str, str]:
        """What the events have said so far of what the plan has left, as headers."""
        return self._limits

    def feed(self, payloads: Sequence[bytes]) -> list[StreamChunk]:
        """The chunks for ``payloads``. After ``failure`` or the terminal event, the rest is ignored."""
        chunks: list[StreamChunk] = []
        event: events.Event | events.Skipped | events.Document | None = None
        text, write = self._run
        try:
            for payload in payloads:
                if self.finished:
                    break
                try:
                    event = decode_known(payload)
                except JSON_ERRORS:
                    event = decode_event(payload)
                # Nearly every event is more text of the same item as the event before.
                if (
                    type(event) is OutputTextDelta
                    and (event.item_id, event.output_index, event.content_index) == text
                    and (delta := event.delta)  # an empty one is ignored
                ):
                    write(delta)
                    chunks.append(TextDelta(delta))
                elif event is not None:
                    self._run = _NO_RUN
                    if self.earlier and self._is_late(event):
                        continue
                    _HANDLERS[type(event)](self, event, chunks)
                    text, write = self._run
                elif payload[:1] != b"{":
                    self._words = words_in(payload) or self._words
        except OnplanError as error:
            self.failure, self.finished = error, True
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
            # Items and responses are not declared as types, since they get new fields; one of a wrong shape
            # ends up here.
            malformed = f"A {events.name_of(event)} event of the stream is malformed."
            self.failure, self.finished = StreamCorruptError(malformed, request_id=self._request_id), True
        if self.finished:
            self._arrivals.end_all()
        return chunks

    @property
    def ids(self) -> set[str]:
        """The ids of the response and of its items."""
        return self._arrivals.ids | ({self._response_id} if self._response_id else set())

    def _is_late(self, event: events.Event | events.Skipped | events.Document) -> bool:
        """Whether an event is a late one of an earlier response on this connection, to be skipped.

        Raises:
            StreamCorruptError: it may belong to either response, because its ids are those of both. That is a
                precaution, for servers that number the items of each response from the start.
        """
        item_id = getattr(event, "item_id", None)
        if item_id and item_id not in self.earlier:  # nearly every event
            return False
        has_begun = self._response_id is not None or bool(self._arrivals)
        response = getattr(event, "response", None)
        response_id = response.get("id") if isinstance(response, dict) else None
        is_late = isinstance(response_id, str) and response_id in self.earlier
        if is_late and has_begun and type(event) is not events.Created:
            return self._response_id not in (None, response_id)
        if type(event) is not events.ItemAdded or not has_begun:
            names = events.ids_of(event)
            is_late = is_late or any(
                name in self.earlier and not self._arrivals.knows(name) for name in names
            )
        if is_late:
            self.is_mixed = True
            raise StreamCorruptError("Events of an earlier answer came in the place of this one's.")
        return False

    def close(self) -> list[StreamChunk]:
        """Note the end of the events. Raises StreamTruncatedError unless the stream is finished."""
        if not self.finished:
            said = f": {self._words}" if self._words else "."
            raise StreamTruncatedError(
                f"The answer ended before it was complete{said}", request_id=self._request_id
            )
        return []

    # --- deltas and their ends ----------------------------------------------------------------------

    def _text_delta(self, event: events.OutputTextDelta, chunks: Chunks) -> None:
        section = ("output_text", event.content_index or 0)
        arrival = self._arrivals.of_delta(event.item_id, event.output_index, "message")
        arrival.add(section, event.delta, chunks)
        if arrival.emits(section):
            text = event.item_id, event.output_index, event.content_index
            self._run = text, arrival.text(section).write

    def _arguments_delta(self, event: events.ArgumentsDelta, chunks: Chunks) -> None:
        delta = event.delta if type(event.delta) is str else text_of(event.delta)
        arrival = self._arrivals.of_delta(event.item_id, event.output_index, "function_call")
        arrival.add(ARGUMENTS, delta, chunks)

    def _arguments_done(self, event: events.ArgumentsDone, chunks: Chunks) -> None:
        self._arrivals.of_delta(event.item_id, event.output_index, "function_call").complete(
            ARGUMENTS, text_of(event.arguments), chunks
        )

    def _input_delta(self, event: events.CustomInputDelta, chunks: Chunks) -> None:
        arrival = self._arrivals.of_delta(event.item_id, event.output_index, "custom_tool_call")
        arrival.add(ARGUMENTS, event.delta, chunks)

    def _input_done(self, event: events.CustomInputDone, chunks: Chunks) -> None:
        arrival = self._arrivals.of_delta(event.item_id, event.output_index, "custom_tool_call")
        arrival.complete(ARGUMENTS, event.input, chunks)

    # --- items --------------------------------------------------------------------------------------

    def _item_added(self, event: events.ItemAdded, chunks: Chunks) -> None:
        self._arrivals.of_item(event.item, event.output_index).announce(event.item, chunks)

    def _item_done(self, event: events.ItemDone, chunks: Chunks) -> None:
        self._finish(self._arrivals.of_item(event.item, event.output_index), event.item, chunks)

    def _finish(self, arrival: Arrival, item: Item, chunks: Chunks) -> None:
        """Finish an item, unless it reports an error. An error of a hosted tool does not fail the answer."""
        if arrival.kind in CONTENT_KINDS and (item.get("error") or item.get("status") == "failed"):
            raise self._failed(Complaint(item.get("error") or {}))
        if not arrival.finished:
            arrival.finish(item, chunks)
        else:
            arrival.check_repeated(item)

    # --- the end ------------------------------------------------------------------------------------

    def _document(self, event: events.Document, chunks: Chunks) -> None:
        """Handle a whole answer, or an error, that came instead of a stream."""
        body = event.fields or {}
        if body.get("object") == "response" and body.get("status") in _SEVERITY:
            self._end(events.Completed(body), chunks)
        elif body.get("error"):
            raise self._failed(Complaint(body))
        elif type(event.payload) is Body or body.get("object") or body.get("detail") or body.get("errors"):
            raise self._failed(complaint_of_body(event.payload))

    def _skip(self, event: events.Skipped, chunks: Chunks) -> None:
        pass

    def _created(self, event: events.Created, chunks: Chunks) -> None:
        self._note(event.response)

    def _end(self, event: _Ending, chunks: Chunks) -> None:
        """Handle a terminal event. Its name and the status inside say how it ended; the worse one counts."""
        response = event.response or {}
        self._note(response)
        inside = response.get("status")
        status = _ENDINGS[type(event)]
        if isinstance(inside, str) and _SEVERITY.get(inside, 0) > _SEVERITY[status]:
            status = inside
        error = response.get("error") or getattr(event, "error", None)
        if status == "failed" and not error:
            error = {"code": getattr(event, "code", None), "message": getattr(event, "message", None)}
        if error:
            raise self._failed(Complaint(error, headers=_lower(getattr(event, "headers", None))))
        if status == "cancelled":
            raise StreamFailedError("The answer was cancelled.", request_id=self._request_id)
        if status == "incomplete" or _cut(response):
            self._incomplete(response, chunks)
        else:
            self._completed(response, chunks)

    def _completed(self, response: Mapping[str, Any], chunks: Chunks) -> None:
        for arrival, item in self._arrivals.of_outputs(response):
            self._finish(arrival, item, chunks)
        for arrival in self._arrivals:
            if not arrival.finished:
                arrival.finish_as_it_is(chunks)
        usage, parts = usage_of(response.get("usage")), self.parts
        self._check_nothing_is_missing(usage)
        self._done(parts, usage, reason_of(parts), chunks)

    def _check_nothing_is_missing(self, usage: Usage) -> None:
        silent = True
        for arrival in self._arrivals:
            if arrival.parts or arrival.kind not in CONTENT_KINDS:
                silent = False
            elif arrival.kind in CALL_KINDS:
                raise StreamCorruptError("A tool call was cut off.")
        if silent and usage.completion_tokens > usage.reasoning_tokens:
            raise StreamCorruptError("The answer was produced, but none of it was sent.")

    def _incomplete(self, response: Mapping[str, Any], chunks: Chunks) -> None:
        reason = _cut(response)
        if reason is None:
            why = _why(response) or "no reason given"
            raise StreamFailedError(f"The answer was interrupted ({why}).", request_id=self._request_id)
        for arrival, item in self._arrivals.of_outputs(response):
            if not arrival.finished and arrival.kind not in CALL_KINDS:
                arrival.finish(item, chunks)
        for arrival in self._arrivals:
            # A call whose arguments were cut must not be carried out, even if its status is "completed".
            if arrival.kind in CALL_KINDS:
                arrival.forget_unless_whole(is_last=arrival is self._arrivals.last)
            elif not arrival.finished:
                arrival.finish_as_it_is(chunks)
        self._done(self.parts, usage_of(response.get("usage")), reason, chunks)

    def _error(self, event: events.ErrorEvent, chunks: Chunks) -> None:
        status = http_status(event.status) or http_status(event.status_code)
        raise self._failed(Complaint(event.details, status, _lower(event.headers)))

    def _failed(self, complaint: Complaint) -> OnplanError:
        """The error for what the backend reported."""
        self.failure_codes = read_error(complaint.error).codes
        self.complaint = replace(complaint, headers={**self._limits, **complaint.headers})
        return failure_of_complaint(self.complaint, request_id=self._request_id)

    def _rate_limits(self, event: events.RateLimits, chunks: Chunks) -> None:
        self._limits |= headers_of_event(
            event.metered_limit_name or event.limit_name, event.plan_type, event.rate_limits, event.credits
        )

    def _metadata(self, event: events.Metadata, chunks: Chunks) -> None:
        state = event.headers.get(TURN_STATE) if isinstance(event.headers, dict) else None
        self.turn_state = state if isinstance(state, str) else self.turn_state

    def _note(self, response: Any) -> None:
        if not isinstance(response, dict):
            return
        self._response_id = str(response.get("id") or "") or self._response_id
        self._model = str(response.get("model") or self._model)

    def _done(self, parts: list[ContentPart], usage: Usage, reason: FinishReason, chunks: Chunks) -> None:
        self.finished = True
        response = self.response = self.answer_of(parts, usage, reason)
        chunks.append(Done(usage, reason, response))

    def answer_of(self, parts: list[ContentPart], usage: Usage, reason: FinishReason) -> CompletionResponse:
        """The answer with these parts, and with what else is known of it."""
        return CompletionResponse(
            message=Message(Role.ASSISTANT, parts),
            usage=usage,
            finish_reason=reason,
            model=self._model,
            response_id=self._response_id,
            ignored_parameters=list(self._reports.ignored),
            history_repairs=self._repairs,
            limits=self.limits,
            request_id=self._request_id,
            emulated_parameters=list(self._reports.emulated),
        )


def _lower(headers: Any) -> dict[str, str]:
    """The headers in an event, with names in lower case."""
    given = headers if isinstance(headers, dict) else {}
    return {str(name).lower(): str(value) for name, value in given.items()}


def _why(response: Mapping[str, Any]) -> Any:
    """The reason why the response is incomplete, if it has one."""
    details = response.get("incomplete_details")
    return details.get("reason") if isinstance(details, dict) else details


def _cut(response: Mapping[str, Any]) -> FinishReason | None:
    """Why the answer was cut, if it was; gateways may call such an answer completed."""
    why = _why(response)
    finish = finish_of(why) if isinstance(why, str) else None
    reason = finish.reason if finish else None
    return reason if reason in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER) else None


_Handler: TypeAlias = Callable[[ResponseStream, Any, Chunks], None]


def _delta(section: str, kind: str, index: str) -> _Handler:
    """The handler for a delta of ``section`` in an item of type ``kind``; ``index``: a field's name."""
    index_of = attrgetter(index)

    def handle(stream: ResponseStream, event: Any, chunks: Chunks) -> None:
        arrival = stream._arrivals.of_delta(event.item_id, event.output_index, kind)
        arrival.add((section, index_of(event) or 0), event.delta, chunks)

    return handle


def _done(section: str, kind: str, index: str, text: str = "text") -> _Handler:
    """The handler for the end of a section; ``text``: the field with the whole text."""
    index_of, text_in = attrgetter(index), attrgetter(text)

    def handle(stream: ResponseStream, event: Any, chunks: Chunks) -> None:
        arrival = stream._arrivals.of_delta(event.item_id, event.output_index, kind)
        arrival.complete((section, index_of(event) or 0), text_in(event), chunks)

    return handle


def reason_of(parts: Iterable[ContentPart]) -> FinishReason:
    """Why a whole answer ended."""
    kinds = {type(part) for part in parts}
    if Refusal in kinds:
        return FinishReason.CONTENT_FILTER
    return FinishReason.TOOL_CALLS if ToolCall in kinds else FinishReason.STOP


_Ending: TypeAlias = (
    events.Completed | events.ResponseDone | events.Incomplete | events.Cancelled | events.Failed
)
_ENDINGS: Mapping[type, str] = {
    events.Completed: "completed",
    events.ResponseDone: "completed",
    events.Incomplete: "incomplete",
    events.Cancelled: "cancelled",
    events.Failed: "failed",
}
_SEVERITY = {"completed": 0, "incomplete": 1, "cancelled": 2, "failed": 3}

_HANDLERS: Mapping[type, _Handler] = {
    events.OutputTextDelta: ResponseStream._text_delta,
    events.OutputTextDone: _done("output_text", "message", "content_index"),
    events.RefusalDelta: _delta("refusal", "message", "content_index"),
    events.RefusalDone: _done("refusal", "message", "content_index", "refusal"),
    events.SummaryTextDelta: _delta("summary", "reasoning", "summary_index"),
    events.SummaryTextDone: _done("summary", "reasoning", "summary_index"),
    events.ReasoningTextDelta: _delta("reasoning", "reasoning", "content_index"),
    events.ReasoningTextDone: _done("reasoning", "reasoning", "content_index"),
    events.ArgumentsDelta: ResponseStream._arguments_delta,
    events.ArgumentsDone: ResponseStream._arguments_done,
    events.CustomInputDelta: ResponseStream._input_delta,
    events.CustomInputDone: ResponseStream._input_done,
    events.ItemAdded: ResponseStream._item_added,
    events.ItemDone: ResponseStream._item_done,
    events.Created: ResponseStream._created,
    **dict.fromkeys(_ENDINGS, ResponseStream._end),
    events.ErrorEvent: ResponseStream._error,
    events.ResponseError: ResponseStream._error,
    events.RateLimits: ResponseStream._rate_limits,
    events.Metadata: ResponseStream._metadata,
    events.Document: ResponseStream._document,
    **dict.fromkeys(events.SKIPPED, ResponseStream._skip),
}
