"""Chunks of a Chat Completions stream to ours, and at its end the whole answer.

A message's text and thinking are runs: a run is finished when another kind of content begins. An answer is
whole once a ``finish_reason`` came; the usage may come after that, and ``[DONE]`` may be missing. Nothing
that happens from then on takes the answer away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import StringIO
from typing import Any

from onplan.chat.calls import Calls, Chunks
from onplan.chat.events import DONE, CallDelta, Chunk, Delta, decode_chunk
from onplan.chat.thinking import FIELDS, Reasoning, text_of
from onplan.errors import OnplanError, StreamCorruptError, StreamFailedError, StreamTruncatedError
from onplan.responses.failures import failure_of_event
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
    Text,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
)
from onplan.wire import Response

# By the server's word; one that is not here means that the answer was interrupted.
_REASONS: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
}


# How long the end of a whole answer is waited for, in seconds: its usage may still come.
_GRACE = 1.0
# The same where the reason came beside content: some servers put one into every chunk (seen November 2026:
# compatible endpoints in front of Gemini), and pause between two of them for longer.
_GRACE_BESIDE_CONTENT = 2.5


class ChatStream:
    """Feed it payloads; it gives back chunks. ``finished`` after the end.

    Attributes:
        grace: once the answer is whole, the seconds for which more of it is waited for; None before.
        failure: what went wrong inside the stream; the chunks before it have been given back.
        response: the whole answer, once it is.
        parts: the content parts that are finished so far, in order.
    """

    failure_code: str | None = None
    refusal: Response | None = None
    turn_state: str | None = None
    grace: float | None = None

    def __init__(
        self, model: str, ignored_parameters: Iterable[str] = (), request_id: str | None = None
    ) -> None:
        self.finished = False
        self.failure: OnplanError | None = None
        self.response: CompletionResponse | None = None
        self.parts: list[ContentPart] = []
        self._model = model
        self._ignored = list(ignored_parameters)
        self._request_id = request_id
        self._response_id = ""
        self._reason: FinishReason | None = None
        self._usage: Mapping[str, Any] = {}
        self._text = StringIO(newline="")
        self._refusals: list[str] = []
        self._reasoning = Reasoning()
        self._thinks = False  # whether thinking is what came last
        self._calls = Calls()

    def feed(self, payloads: Iterable[bytes]) -> list[StreamChunk]:
        """The chunks that ``payloads`` amount to. After ``failure`` or the end, the rest is left unread."""
        chunks: list[StreamChunk] = []
        try:
            for payload in payloads:
                if self.finished:
                    break
                if payload.strip() == DONE:
                    chunks += self.close()
                    break
                chunk = decode_chunk(payload)
                if chunk is not None:
                    self._take(chunk, chunks)
        except OnplanError as error:
            self._fail(error, chunks)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            malformed = "An event of the stream is malformed."
            self._fail(StreamCorruptError(malformed, request_id=self._request_id), chunks)
        return chunks

    def _fail(self, error: OnplanError, chunks: Chunks) -> None:
        """The stream failed: that is the answer's failure, unless the answer was whole already."""
        if self.grace is not None and not self.finished:
            with suppress(OnplanError):
                chunks += self.close()
                return
        self.failure, self.finished = error, True

    def close(self) -> list[StreamChunk]:
        """The events have ended: the last chunk. Raises StreamTruncatedError without a finish reason."""
        if self.finished:
            return []
        if self._reason is None:
            raise StreamTruncatedError(
                "The answer ended before it was complete.", request_id=self._request_id
            )
        self.finished = True
        chunks: list[StreamChunk] = []
        self._give_rest(self._reason, chunks)  # some servers say more after the reason
        reason, usage = self._reason_of(self._reason), usage_of(self._usage)
        self.response = CompletionResponse(
            message=Message(Role.ASSISTANT, self.parts),
            usage=usage,
            finish_reason=reason,
            model=self._model,
            response_id=self._response_id or None,
            ignored_parameters=self._ignored,
        )
        return [*chunks, Done(usage, reason, self.response)]

    def _reason_of(self, told: FinishReason) -> FinishReason:
        kinds = {type(part) for part in self.parts}
        if Refusal in kinds:
            return FinishReason.CONTENT_FILTER
        if told is FinishReason.TOOL_CALLS and ToolCall not in kinds:
            announced = "A tool call was announced and did not come."
            raise StreamCorruptError(announced, request_id=self._request_id)
        return FinishReason.TOOL_CALLS if told is FinishReason.STOP and ToolCall in kinds else told

    # --- what a chunk brings ------------------------------------------------------------------------

    def _take(self, chunk: Chunk, chunks: Chunks) -> None:
        if chunk.error or chunk.object == "error":
            raise self._failed(chunk)
        self._response_id = str(chunk.id or "") or self._response_id
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        if chunk.x_groq:
            self._usage = chunk.x_groq.usage or self._usage
        for choice in chunk.choices or ():
            if choice.index:  # only one answer was asked for
                continue
            self._usage = choice.usage or self._usage
            delta, before = choice.delta or choice.message, len(chunks)
            if delta is not None:
                self._take_delta(delta, chunks)
            if len(chunks) > before:  # a reason that came earlier was not the last word
                self.grace = None
            if choice.finish_reason:
                beside_content = len(chunks) > before
                self._finish(choice.finish_reason, chunks)
                self.grace = _GRACE_BESIDE_CONTENT if beside_content else _GRACE

    def _failed(self, chunk: Chunk) -> OnplanError:
        error = chunk.error or {"message": chunk.message, "type": chunk.type, "code": chunk.code}
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else None
        return failure_of_event(error, status, self._request_id)

    def _take_delta(self, delta: Delta, chunks: Chunks) -> None:
        if any(getattr(delta, name) for name in FIELDS):
            self._add_thinking(self._reasoning.feed(delta), chunks)
        if isinstance(delta.content, list):
            for part in delta.content:
                self._take_part(part, chunks)
        elif delta.content:
            self._add_text(delta.content, chunks)
        if delta.refusal:  # handed out whole, so that it is never taken for an answer's text
            self._refusals.append(delta.refusal)
        calls = delta.tool_calls or ([CallDelta(delta.function_call)] if delta.function_call else ())
        if calls:
            self._end_runs(chunks)
            self._calls.feed(calls, chunks)

    def _take_part(self, part: Any, chunks: Chunks) -> None:
        """A piece of content that says what it is; thinking may be a list of such pieces."""
        match part:
            case {"type": "text", "text": str(text)}:
                self._add_text(text, chunks)
            case {"type": "thinking", "thinking": thinking}:
                self._add_thinking(self._reasoning.add_text(text_of(thinking)), chunks)

    def _add_text(self, text: str, chunks: Chunks) -> None:
        if text:
            if self._thinks:
                self._end_thinking(chunks)
            self._text.write(text)
            chunks.append(TextDelta(text))

    def _add_thinking(self, text: str, chunks: Chunks) -> None:
        if text:
            self._end_text(chunks)
            self._thinks = True
            chunks.append(ThinkingDelta(text))

    # --- what is finished ---------------------------------------------------------------------------

    def _end_runs(self, chunks: Chunks) -> None:
        self._end_thinking(chunks)
        self._end_text(chunks)

    def _end_text(self, chunks: Chunks) -> None:
        if self._text.tell():
            text, self._text = self._text, StringIO(newline="")
            self._give(Text(text.getvalue()), chunks)

    def _end_thinking(self, chunks: Chunks) -> None:
        self._thinks = False
        reasoning, self._reasoning = self._reasoning, Reasoning()
        part = reasoning.part()
        if part:
            self._give(part, chunks)

    def _give(self, part: ContentPart, chunks: Chunks) -> None:
        self.parts.append(part)
        chunks.append(PartDone(part))

    def _finish(self, word: str, chunks: Chunks) -> None:
        reason = _REASONS.get(word.lower())
        if reason is None:
            raise StreamFailedError(f"The answer was interrupted ({word}).", request_id=self._request_id)
        self._reason = reason
        self._give_rest(reason, chunks)

    def _give_rest(self, reason: FinishReason, chunks: Chunks) -> None:
        """Give away what has arrived."""
        self._end_runs(chunks)
        if self._refusals:
            self._give(Refusal("".join(self._refusals)), chunks)
            self._refusals.clear()
        cut = reason in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)
        calls, self._calls = self._calls, Calls()
        self.parts += calls.finish(self._response_id, chunks, cut=cut)


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Token counts; whatever is missing, or no number, counts as 0."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    prompt_details = usage.get("prompt_tokens_details")
    completion_details = usage.get("completion_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(usage, "total_tokens") or prompt + completion,
        cache_read_tokens=_count(prompt_details, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
        or _count(usage, "cached_tokens"),
        cache_write_tokens=_count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens") or _count(usage, "reasoning_tokens"),
    )


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) else 0
