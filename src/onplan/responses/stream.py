"""From events to chunks: the assembler that makes a stream whole, or an error.

Text, summaries and arguments may come as deltas, only in a ``…done`` event, or only in the finished item;
whatever came earlier is completed by whatever comes later, and a contradiction is an error. Knows nothing
of bytes' origin: SSE and WebSocket both hand over one JSON payload per event.

An item opens at its first event and closes at ``response.output_item.done``::

    (none) --added / first delta--> open --deltas, …done--> open --output_item.done--> finished
    response.completed finishes what is still open; response.incomplete keeps what is text of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from onplan.errors import OnplanError, StreamCorruptError, StreamFailedError, StreamTruncatedError
from onplan.responses import events
from onplan.responses.failures import failure_of_event
from onplan.responses.items import SUMMARY_SEPARATOR, Item, Section, call_id_of, parts_of, sections_of
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Done,
    FinishReason,
    Message,
    PartDone,
    Refusal,
    Role,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)


class _OpenItem:
    """An output item that is arriving."""

    __slots__ = ("call_id", "finished", "item", "sections", "started")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.sections: dict[Section, list[str]] = {}
        self.started = False  # whether its tool_call_start was emitted
        self.finished = False
        self.call_id = ""


class ResponseStream:
    """Feed it payloads; it gives back chunks. ``finished`` after the terminal event.

    Attributes:
        failure: what went wrong inside the stream; the chunks before it have been given back.
        parts: the content parts that are finished so far, in the order of their items.
    """

    def __init__(
        self, model: str, ignored_parameters: Iterable[str] = (), request_id: str | None = None
    ) -> None:
        self.finished = False
        self.failure: OnplanError | None = None
        self._model = model
        self._ignored = list(ignored_parameters)
        self._request_id = request_id
        self._response_id: str | None = None
        self._by_id: dict[str, _OpenItem] = {}
        self._by_index: dict[int, _OpenItem] = {}
        self._items: list[_OpenItem] = []
        self._parts: dict[int, list[ContentPart]] = {}  # by the item's position in _items

    @property
    def parts(self) -> list[ContentPart]:
        """The finished parts, in order."""
        return [part for position in sorted(self._parts) for part in self._parts[position]]

    def feed(self, payloads: Iterable[bytes]) -> list[StreamChunk]:
        """The chunks that ``payloads`` amount to. After ``failure`` or the end, the rest is left unread."""
        chunks: list[StreamChunk] = []
        try:
            for payload in payloads:
                if self.finished:
                    break
                event = events.decode_event(payload)
                if event is not None:
                    _HANDLERS[type(event)](self, event, chunks)
        except OnplanError as error:
            self.failure, self.finished = error, True
        return chunks

    def close(self) -> None:
        """The events have ended. Raises StreamTruncatedError unless the stream is finished."""
        if not self.finished:
            raise StreamTruncatedError(
                "The answer ended before it was complete.", request_id=self._request_id
            )

    # --- deltas -------------------------------------------------------------------------------------

    def _section(
        self, event: Any, kind: str, index: int | None, item_type: str
    ) -> tuple[_OpenItem, list[str]]:
        open_item = self._find(event.item_id, event.output_index)
        if open_item is None:
            open_item = self._open({"type": item_type, "id": event.item_id}, event.output_index)
        return open_item, open_item.sections.setdefault((kind, index or 0), [])

    def _text_delta(self, event: events.OutputTextDelta, chunks: list[StreamChunk]) -> None:
        _, texts = self._section(event, "output_text", event.content_index, "message")
        texts.append(event.delta)
        chunks.append(TextDelta(event.delta))

    def _refusal_delta(self, event: events.RefusalDelta, chunks: list[StreamChunk]) -> None:
        _, texts = self._section(event, "refusal", event.content_index, "message")
        texts.append(event.delta)

    def _text_done(self, event: events.OutputTextDone, chunks: list[StreamChunk]) -> None:
        open_item, _ = self._section(event, "output_text", event.content_index, "message")
        self._complete(open_item, ("output_text", event.content_index or 0), event.text, chunks)

    def _summary_delta(self, event: events.SummaryTextDelta, chunks: list[StreamChunk]) -> None:
        self._thinking_delta(event, ("summary", event.summary_index or 0), chunks)

    def _reasoning_delta(self, event: events.ReasoningTextDelta, chunks: list[StreamChunk]) -> None:
        self._thinking_delta(event, ("reasoning", event.content_index or 0), chunks)

    def _thinking_delta(self, event: Any, section: Section, chunks: list[StreamChunk]) -> None:
        open_item, texts = self._section(event, *section, "reasoning")
        self._emit(open_item, section, event.delta, chunks)
        texts.append(event.delta)

    def _arguments_delta(self, event: events.ArgumentsDelta, chunks: list[StreamChunk]) -> None:
        open_item, texts = self._section(event, "arguments", 0, "function_call")
        self._emit(open_item, ("arguments", 0), event.delta, chunks)
        texts.append(event.delta)

    def _arguments_done(self, event: events.ArgumentsDone, chunks: list[StreamChunk]) -> None:
        open_item, _ = self._section(event, "arguments", 0, "function_call")
        self._complete(open_item, ("arguments", 0), event.arguments, chunks)

    # --- items --------------------------------------------------------------------------------------

    def _item_added(self, event: events.ItemAdded, chunks: list[StreamChunk]) -> None:
        open_item = self._find(event.item.get("id"), event.output_index)
        if open_item is None:
            open_item = self._open(event.item, event.output_index)
        else:  # a delta overtook it
            open_item.item = event.item
        self._start_call(open_item, chunks)

    def _item_done(self, event: events.ItemDone, chunks: list[StreamChunk]) -> None:
        open_item = self._find(event.item.get("id"), event.output_index)
        if open_item is None:
            open_item = self._open(event.item, event.output_index)
        self._finish(open_item, event.item, chunks)

    def _find(self, item_id: str | None, output_index: int | None) -> _OpenItem | None:
        """By id where both sides have one; some servers give an item another id in every event."""
        found = self._by_id.get(item_id) if item_id else None
        if found is None and output_index is not None:
            found = self._by_index.get(output_index)
        return found

    def _open(self, item: Item, output_index: int | None) -> _OpenItem:
        open_item = _OpenItem(item)
        self._items.append(open_item)
        if item.get("id"):
            self._by_id[item["id"]] = open_item
        if output_index is not None:
            self._by_index[output_index] = open_item
        return open_item

    def _start_call(self, open_item: _OpenItem, chunks: list[StreamChunk]) -> None:
        item = open_item.item
        if item.get("type") != "function_call" or open_item.started:
            return
        call_id, name = call_id_of(item), item.get("name")
        if call_id and name:
            open_item.started, open_item.call_id = True, call_id
            chunks.append(ToolCallStart(call_id, name))
            for text in open_item.sections.get(("arguments", 0), ()):
                chunks.append(ToolCallDelta(call_id, text))  # noqa: PERF401 - rare, and reads as it acts

    def _finish(self, open_item: _OpenItem, item: Item, chunks: list[StreamChunk]) -> None:
        """Complete every section from the finished item, then give its parts away."""
        if open_item.finished:
            return
        open_item.finished, open_item.item = True, item
        self._start_call(open_item, chunks)
        for section, text in sections_of(item).items():
            self._complete(open_item, section, text, chunks)
        sections = {section: "".join(texts) for section, texts in open_item.sections.items()}
        parts = parts_of(item, sections)
        for part in parts:
            if isinstance(part, ToolCall):
                _check_call(part)
                chunks.append(ToolCallEnd(part.id))
            chunks.append(PartDone(part))
        if parts:
            self._parts[self._items.index(open_item)] = parts

    def _complete(self, open_item: _OpenItem, section: Section, text: str, chunks: list[StreamChunk]) -> None:
        """Emit what of ``text`` was not streamed yet. An empty ``text`` says nothing and changes nothing."""
        texts = open_item.sections.setdefault(section, [])
        streamed = "".join(texts)
        if not text or text == streamed:
            return
        if not text.startswith(streamed):
            raise StreamCorruptError(f"What was streamed of the {section[0]} contradicts the finished item.")
        rest = text[len(streamed) :]
        self._emit(open_item, section, rest, chunks)
        texts.append(rest)

    def _emit(self, open_item: _OpenItem, section: Section, text: str, chunks: list[StreamChunk]) -> None:
        kind = section[0]
        if kind == "output_text":
            chunks.append(TextDelta(text))
        elif kind == "arguments":
            if open_item.started:
                chunks.append(ToolCallDelta(open_item.call_id, text))
        elif kind != "refusal":
            # Summary parts are paragraphs; joined deltas must equal the finished part's text.
            if (
                text
                and not open_item.sections.get(section)
                and any(texts for other, texts in open_item.sections.items() if other != section)
            ):
                chunks.append(ThinkingDelta(SUMMARY_SEPARATOR))
            chunks.append(ThinkingDelta(text))

    # --- the end ------------------------------------------------------------------------------------

    def _created(self, event: events.Created, chunks: list[StreamChunk]) -> None:
        self._note(event.response)

    def _completed(self, event: events.Completed, chunks: list[StreamChunk]) -> None:
        response = event.response
        self._note(response)
        for index, item in enumerate(response.get("output") or ()):
            open_item = self._find(item.get("id"), index) or self._open(item, index)
            self._finish(open_item, item, chunks)
        for open_item in self._items:
            self._finish(open_item, open_item.item, chunks)
        usage = usage_of(response.get("usage"))
        if usage.completion_tokens > usage.reasoning_tokens and not self._items:
            raise StreamCorruptError("The answer was produced, but none of it was sent.")
        parts = self.parts
        if any(isinstance(part, Refusal) for part in parts):
            reason = FinishReason.CONTENT_FILTER
        elif any(isinstance(part, ToolCall) for part in parts):
            reason = FinishReason.TOOL_CALLS
        else:
            reason = FinishReason.STOP
        self._done(usage, reason, chunks)

    def _incomplete(self, event: events.Incomplete, chunks: list[StreamChunk]) -> None:
        response = event.response
        self._note(response)
        details = response.get("incomplete_details") or {}
        reason = _INCOMPLETE.get(details.get("reason", ""))
        if reason is None:
            raise StreamFailedError(
                f"The answer was interrupted ({details.get('reason') or 'no reason given'}).",
                request_id=self._request_id,
            )
        for open_item in self._items:
            # A call whose arguments were cut must not be carried out.
            if open_item.item.get("type") != "function_call":
                self._finish(open_item, open_item.item, chunks)
        self._done(usage_of(response.get("usage")), reason, chunks)

    def _failed(self, event: events.Failed, chunks: list[StreamChunk]) -> None:
        self._note(event.response)
        raise failure_of_event(event.response.get("error"), None, self._request_id)

    def _error(self, event: events.ErrorEvent, chunks: list[StreamChunk]) -> None:
        error = event.error or {"code": event.code, "message": event.message}
        raise failure_of_event(error, event.status, self._request_id)

    def _note(self, response: Mapping[str, Any]) -> None:
        self._response_id = response.get("id") or self._response_id
        self._model = response.get("model") or self._model

    def _done(self, usage: Usage, reason: FinishReason, chunks: list[StreamChunk]) -> None:
        self.finished = True
        response = CompletionResponse(
            message=Message(Role.ASSISTANT, self.parts),
            usage=usage,
            finish_reason=reason,
            model=self._model,
            response_id=self._response_id,
            ignored_parameters=self._ignored,
        )
        chunks.append(Done(usage, reason, response))


_INCOMPLETE = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}

_HANDLERS: Mapping[type, Callable[[ResponseStream, Any, list[StreamChunk]], None]] = {
    events.OutputTextDelta: ResponseStream._text_delta,
    events.OutputTextDone: ResponseStream._text_done,
    events.RefusalDelta: ResponseStream._refusal_delta,
    events.SummaryTextDelta: ResponseStream._summary_delta,
    events.ReasoningTextDelta: ResponseStream._reasoning_delta,
    events.ArgumentsDelta: ResponseStream._arguments_delta,
    events.ArgumentsDone: ResponseStream._arguments_done,
    events.ItemAdded: ResponseStream._item_added,
    events.ItemDone: ResponseStream._item_done,
    events.Created: ResponseStream._created,
    events.Completed: ResponseStream._completed,
    events.Incomplete: ResponseStream._incomplete,
    events.Failed: ResponseStream._failed,
    events.ErrorEvent: ResponseStream._error,
}


def _check_call(call: ToolCall) -> None:
    """A call is only finished if it can be carried out."""
    if not call.id or not call.name:
        raise StreamCorruptError("A tool call arrived without its id or name.")
    try:
        call.parse_arguments()
    except msgspec.DecodeError:
        raise StreamCorruptError(f"The arguments of the call to {call.name} are not whole.") from None


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
