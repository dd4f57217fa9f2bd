"""From events to chunks: the assembler that makes a stream whole, or an error.

Knows nothing of where events come from: SSE and WebSocket both hand over one JSON payload per event. What
arrives of one item is in arrival.py; here is which item an event belongs to, and how a stream ends::

    (nothing) --added, or a first delta--> arriving --deltas, …done--> arriving --output_item.done--> finished
    response.completed finishes what is still arriving; response.incomplete keeps what is text of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from onplan.errors import (
    OnplanError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
    UnexpectedReplyError,
)
from onplan.responses import events
from onplan.responses.arrival import ARGUMENTS, Arrival, Chunks
from onplan.responses.continuation import TURN_STATE
from onplan.responses.events import OutputTextDelta, decode_event
from onplan.responses.failures import failure_of_event, refusal_of_event
from onplan.responses.finish_reasons import finish_of
from onplan.responses.items import Item, parts_of, sections_of
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Done,
    FinishReason,
    Message,
    Refusal,
    Role,
    StreamChunk,
    TextDelta,
    ToolCall,
    Usage,
)
from onplan.wire import Response

_Run: TypeAlias = tuple[tuple[str | None, int | None, int | None] | None, Callable[[str], object]]
_NO_RUN: _Run = (None, str)


class ResponseStream:
    """Feed it payloads; it gives back chunks. ``finished`` after the terminal event.

    Attributes:
        grace: None: nothing that belongs to an answer follows its terminal event.
        failure: what went wrong inside the stream; the chunks before it have been given back.
        failure_code: the backend's own word for it.
        refusal: the HTTP response that the failure stands for, if it came with a status.
        turn_state: what the backend wants to hear again in the same turn.
        response: the whole answer, once it is.
        parts: the content parts that are finished so far, in the order of their items; ``kept`` comes first.
    """

    grace: float | None = None

    def __init__(
        self,
        model: str,
        ignored_parameters: Iterable[str] = (),
        request_id: str | None = None,
        kept: Iterable[ContentPart] = (),
    ) -> None:
        self.finished = False
        self.failure: OnplanError | None = None
        self.failure_code: str | None = None
        self.refusal: Response | None = None
        self.turn_state: str | None = None
        self.response: CompletionResponse | None = None
        self._model = model
        self._ignored = list(ignored_parameters)
        self._request_id = request_id
        self._kept = list(kept)
        self._response_id: str | None = None
        self._arrivals: list[Arrival] = []
        self._by_id: dict[str, Arrival] = {}
        self._by_index: dict[int, Arrival] = {}
        # Deltas of one text with nothing between them: what they have in common, and where they go.
        self._run: _Run = _NO_RUN

    @property
    def parts(self) -> list[ContentPart]:
        """The finished parts, in order."""
        return [*self._kept, *(part for arrival in self._arrivals for part in arrival.parts)]

    def feed(self, payloads: Iterable[bytes]) -> list[StreamChunk]:
        """The chunks that ``payloads`` amount to. After ``failure`` or the end, the rest is left unread."""
        chunks: list[StreamChunk] = []
        event = None
        text, write = self._run
        try:
            for payload in payloads:
                if self.finished:
                    break
                event = decode_event(payload)
                # Nearly every event is more text of the item that the one before was of.
                if (
                    type(event) is OutputTextDelta
                    and (event.item_id, event.output_index, event.content_index) == text
                    and (delta := event.delta)  # an empty one says nothing
                ):
                    write(delta)
                    chunks.append(TextDelta(delta))
                elif event is not None:
                    self._run = _NO_RUN
                    _HANDLERS[type(event)](self, event, chunks)
                    text, write = self._run
        except OnplanError as error:
            self.failure, self.finished = error, True
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            # Items and responses are read as they come, for they grow; one that has another shape
            # altogether ends up here.
            malformed = f"A {events.name_of(event)} event of the stream is malformed."
            self.failure, self.finished = StreamCorruptError(malformed, request_id=self._request_id), True
        return chunks

    def close(self) -> list[StreamChunk]:
        """The events have ended. Raises StreamTruncatedError unless the stream is finished."""
        if not self.finished:
            raise StreamTruncatedError(
                "The answer ended before it was complete.", request_id=self._request_id
            )
        return []

    # --- which item an event belongs to -------------------------------------------------------------

    def _find(self, item_id: str | None, index: int | None, kind: str) -> Arrival | None:
        """By id; else by index, for some servers give an item another id in every event; else by kind.

        Some servers number every item 0: a finished item is not meant where the id is another one.
        """
        found = self._by_id.get(item_id) if item_id else None
        if found is None and index is not None:
            found = self._by_index.get(index)
            if found and (found.kind != kind or (found.finished and item_id and found.item.get("id"))):
                found = None
        if found is None:
            unnamed = not item_id and index is None
            found = next(
                (
                    arrival
                    for arrival in reversed(self._arrivals)
                    if not arrival.finished and arrival.kind == kind and (unnamed or arrival.anonymous)
                ),
                None,
            )
        return found

    def _open(self, item: Item, index: int | None) -> Arrival:
        arrival = Arrival(item, anonymous=not item.get("id") and index is None)
        self._arrivals.append(arrival)
        self._name(arrival, item.get("id"), index)
        return arrival

    def _name(self, arrival: Arrival, item_id: str | None, index: int | None) -> None:
        if item_id:
            self._by_id[item_id] = arrival
        if index is not None:
            self._by_index[index] = arrival

    def _arrival(self, event: Any, kind: str) -> Arrival:
        """The item of a delta, opened if its beginning was not announced."""
        return self._find(event.item_id, event.output_index, kind) or self._open(
            {"type": kind, "id": event.item_id}, event.output_index
        )

    # --- deltas and their ends ----------------------------------------------------------------------

    def _text_delta(self, event: events.OutputTextDelta, chunks: Chunks) -> None:
        section = ("output_text", event.content_index or 0)
        arrival = self._arrival(event, "message")
        arrival.add(section, event.delta, chunks)
        text = event.item_id, event.output_index, event.content_index
        self._run = text, arrival.text(section).write

    def _text_done(self, event: events.OutputTextDone, chunks: Chunks) -> None:
        section = ("output_text", event.content_index or 0)
        self._arrival(event, "message").complete(section, event.text, chunks)

    def _refusal_delta(self, event: events.RefusalDelta, chunks: Chunks) -> None:
        section = ("refusal", event.content_index or 0)
        self._arrival(event, "message").add(section, event.delta, chunks)

    def _refusal_done(self, event: events.RefusalDone, chunks: Chunks) -> None:
        section = ("refusal", event.content_index or 0)
        self._arrival(event, "message").complete(section, event.refusal, chunks)

    def _summary_delta(self, event: events.SummaryTextDelta, chunks: Chunks) -> None:
        section = ("summary", event.summary_index or 0)
        self._arrival(event, "reasoning").add(section, event.delta, chunks)

    def _summary_done(self, event: events.SummaryTextDone, chunks: Chunks) -> None:
        section = ("summary", event.summary_index or 0)
        self._arrival(event, "reasoning").complete(section, event.text, chunks)

    def _reasoning_delta(self, event: events.ReasoningTextDelta, chunks: Chunks) -> None:
        section = ("reasoning", event.content_index or 0)
        self._arrival(event, "reasoning").add(section, event.delta, chunks)

    def _reasoning_done(self, event: events.ReasoningTextDone, chunks: Chunks) -> None:
        section = ("reasoning", event.content_index or 0)
        self._arrival(event, "reasoning").complete(section, event.text, chunks)

    def _arguments_delta(self, event: events.ArgumentsDelta, chunks: Chunks) -> None:
        self._arrival(event, "function_call").add(ARGUMENTS, event.delta, chunks)

    def _arguments_done(self, event: events.ArgumentsDone, chunks: Chunks) -> None:
        self._arrival(event, "function_call").complete(ARGUMENTS, event.arguments, chunks)

    # --- items --------------------------------------------------------------------------------------

    def _item_added(self, event: events.ItemAdded, chunks: Chunks) -> None:
        self._of_item(event.item, event.output_index).announce(event.item, chunks)

    def _item_done(self, event: events.ItemDone, chunks: Chunks) -> None:
        arrival = self._of_item(event.item, event.output_index)
        if not arrival.finished:
            arrival.finish(event.item, chunks)

    def _of_item(self, item: Item, index: int | None) -> Arrival:
        arrival = self._find(item.get("id"), index, str(item.get("type")))
        if arrival is None:
            return self._open(item, index)
        arrival.anonymous = False
        self._name(arrival, item.get("id"), index)
        return arrival

    def _of_outputs(self, response: Mapping[str, Any]) -> Iterator[tuple[Arrival, Item]]:
        """The items of a response's ``output``, which may leave out items that were streamed."""
        found: list[Arrival] = []
        for index, item in enumerate(response.get("output") or ()):
            found.append(self._of_output(item, index, found))
            yield found[-1], item

    def _of_output(self, item: Item, index: int, others: list[Arrival]) -> Arrival:
        """The item at ``index``, which is none of ``others``."""
        if item.get("id") in self._by_id:
            return self._by_id[item["id"]]
        arrival = self._by_index.get(index)
        if arrival is None or arrival.kind != item.get("type"):
            return self._said_already(item, others) or self._open(item, None)
        # Another id at the same place: the same item where it says the same, for some servers renumber.
        if arrival.finished and item.get("id") and parts_of(item, sections_of(item)) != arrival.parts:
            return self._open(item, None)
        return arrival

    def _said_already(self, item: Item, others: list[Arrival]) -> Arrival | None:
        """Without an id, and at another place: the item that was finished with the same words."""
        parts = parts_of(item, sections_of(item))
        same = (
            arrival
            for arrival in self._arrivals
            if arrival.finished and arrival.kind == item.get("type") and arrival.parts == parts
        )
        return None if item.get("id") else next((found for found in same if found not in others), None)

    # --- the end ------------------------------------------------------------------------------------

    def _document(self, event: events.Document, chunks: Chunks) -> None:
        """No stream but one answer, whole, although a stream was asked for."""
        body = event.fields
        if body.get("object") == "response" and body.get("status") in _ENDS:
            self._completed(events.Completed(body), chunks)
        elif body.get("error"):
            raise failure_of_event(body["error"], None, self._request_id)
        elif body.get("detail") or body.get("object"):
            said = f": {str(body['detail'])[:300]}" if body.get("detail") else ""
            raise UnexpectedReplyError(f"The answer is no stream{said}.", request_id=self._request_id)

    def _created(self, event: events.Created, chunks: Chunks) -> None:
        self._note(event.response)

    def _completed(self, event: events.Completed, chunks: Chunks) -> None:
        response = event.response
        self._note(response)
        if response.get("error") or response.get("status") in ("failed", "cancelled"):
            raise failure_of_event(response.get("error"), None, self._request_id)
        if response.get("status") == "incomplete":  # some servers have no event of that name
            self._incomplete(event, chunks)
            return
        for arrival, item in self._of_outputs(response):
            if not arrival.finished:
                arrival.finish(item, chunks)
        for arrival in self._arrivals:
            if not arrival.finished:
                arrival.finish_as_it_is(chunks)
        self._check_nothing_is_missing(usage := usage_of(response.get("usage")))
        self._done(usage, self._reason(), chunks)

    def _check_nothing_is_missing(self, usage: Usage) -> None:
        if any(arrival.kind == "function_call" and not arrival.parts for arrival in self._arrivals):
            raise StreamCorruptError("A tool call was cut off.")
        silent = all(not arrival.parts and arrival.kind in _SPEAKING for arrival in self._arrivals)
        if silent and usage.completion_tokens > usage.reasoning_tokens:
            raise StreamCorruptError("The answer was produced, but none of it was sent.")

    def _reason(self) -> FinishReason:
        kinds = {type(part) for part in self.parts}
        if Refusal in kinds:
            return FinishReason.CONTENT_FILTER
        return FinishReason.TOOL_CALLS if ToolCall in kinds else FinishReason.STOP

    def _incomplete(self, event: events.Incomplete | events.Completed, chunks: Chunks) -> None:
        response = event.response
        self._note(response)
        why = (response.get("incomplete_details") or {}).get("reason")
        finish = finish_of(why) if isinstance(why, str) else None
        if finish is None or finish.reason not in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER):
            raise StreamFailedError(
                f"The answer was interrupted ({why or 'no reason given'}).", request_id=self._request_id
            )
        for arrival, item in self._of_outputs(response):
            if not arrival.finished and arrival.kind != "function_call":
                arrival.finish(item, chunks)
        for arrival in self._arrivals:
            # A call whose arguments were cut must not be carried out; some servers call it completed.
            if arrival.kind == "function_call":
                arrival.forget_unless_whole()
            elif not arrival.finished:
                arrival.finish_as_it_is(chunks)
        self._done(usage_of(response.get("usage")), finish.reason, chunks)

    def _failed(self, event: events.Failed, chunks: Chunks) -> None:
        self._note(event.response)
        raise failure_of_event(event.response.get("error"), None, self._request_id)

    def _error(self, event: events.ErrorEvent, chunks: Chunks) -> None:
        error = event.error or {"code": event.code, "message": event.message}
        if isinstance(error, dict):
            self.failure_code = error.get("code")
        if isinstance(event.status, int):
            self.refusal = refusal_of_event(error, event.status, event.headers, self._request_id)
        raise failure_of_event(error, event.status, self._request_id)

    def _metadata(self, event: events.Metadata, chunks: Chunks) -> None:
        state = event.headers.get(TURN_STATE) if isinstance(event.headers, dict) else None
        self.turn_state = state if isinstance(state, str) else self.turn_state

    def _note(self, response: Mapping[str, Any]) -> None:
        self._response_id = str(response.get("id") or "") or self._response_id
        self._model = str(response.get("model") or self._model)

    def _done(self, usage: Usage, reason: FinishReason, chunks: Chunks) -> None:
        self.finished = True
        response = self.response = CompletionResponse(
            message=Message(Role.ASSISTANT, self.parts),
            usage=usage,
            finish_reason=reason,
            model=self._model,
            response_id=self._response_id,
            ignored_parameters=self._ignored,
        )
        chunks.append(Done(usage, reason, response))


# The items that an answer is made of; others, such as a web search, may be all there is.
_SPEAKING = frozenset({"message", "reasoning", "function_call"})

_ENDS = frozenset({"completed", "incomplete", "failed", "cancelled"})

_HANDLERS: Mapping[type, Callable[[ResponseStream, Any, Chunks], None]] = {
    events.OutputTextDelta: ResponseStream._text_delta,
    events.OutputTextDone: ResponseStream._text_done,
    events.RefusalDelta: ResponseStream._refusal_delta,
    events.RefusalDone: ResponseStream._refusal_done,
    events.SummaryTextDelta: ResponseStream._summary_delta,
    events.SummaryTextDone: ResponseStream._summary_done,
    events.ReasoningTextDelta: ResponseStream._reasoning_delta,
    events.ReasoningTextDone: ResponseStream._reasoning_done,
    events.ArgumentsDelta: ResponseStream._arguments_delta,
    events.ArgumentsDone: ResponseStream._arguments_done,
    events.ItemAdded: ResponseStream._item_added,
    events.ItemDone: ResponseStream._item_done,
    events.Created: ResponseStream._created,
    events.Completed: ResponseStream._completed,
    events.Incomplete: ResponseStream._incomplete,
    events.Failed: ResponseStream._failed,
    events.ErrorEvent: ResponseStream._error,
    events.Metadata: ResponseStream._metadata,
    events.Document: ResponseStream._document,
}


def usage_of(usage: Mapping[str, Any] | None) -> Usage:
    """Token counts; whatever is null or missing counts as 0."""
    usage = usage or {}
    prompt = usage.get("input_tokens") or 0
    completion = usage.get("output_tokens") or 0
    prompt_details = usage.get("input_tokens_details") or {}
    completion_details = usage.get("output_tokens_details") or {}
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=usage.get("total_tokens") or prompt + completion,
        cache_read_tokens=prompt_details.get("cached_tokens") or 0,
        cache_write_tokens=prompt_details.get("cache_write_tokens") or 0,
        reasoning_tokens=completion_details.get("reasoning_tokens") or 0,
    )
