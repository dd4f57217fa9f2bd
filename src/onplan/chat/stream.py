"""Assembles a Chat Completions stream: event payloads in; chunks and the whole answer, or an error, out.

A part with text or thinking is finished when another kind of content begins. An answer is whole once it has
a ``finish_reason``. After that, more content and the usage may come, and ``[DONE]`` may be missing; but no
later failure makes a whole answer invalid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import StringIO
from typing import Any

from onplan.answers.failures import Complaint, complaint_of_payload, failure_of_complaint
from onplan.answers.usage import usage_of
from onplan.chat.calls import Calls, Chunks
from onplan.chat.decode import decode_chunk
from onplan.chat.ending import CUTS, Ending
from onplan.chat.events import DONE, CallDelta, Choice, Chunk, Delta
from onplan.chat.failures import complaint_in_chunk, is_error
from onplan.chat.halves import Halves
from onplan.chat.thinking import Reasoning, text_of
from onplan.errors import OnplanError, StreamCorruptError, StreamFailedError, StreamTruncatedError
from onplan.parameters import NOTHING_REPORTED, Reports
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
    Thinking,
    ThinkingDelta,
    ToolCall,
    Usage,
)
from onplan.types.citations import annotations_from

# Seconds to wait for the end of a stream whose answer is whole, since its usage may still come.
_GRACE = 1.0
# The same if the finish reason came in a chunk with content.
_GRACE_BESIDE_CONTENT = 2.5
# The same if every chunk so far had a reason, or content came after one: compatible endpoints in front of
# Gemini put one into every chunk (seen November 2026), and pause for as long as the model thinks.
_GRACE_OF_DOUBT = 60.0
_MOST_WHOLES = 100  # whole messages; each is compared with all of the text so far
_LONG = 64  # bytes; a longer payload is not `[DONE]`, even with spaces around it


class ChatStream:
    """Takes the payloads of one stream and returns chunks.

    Attributes:
        finished: whether the stream ended or failed.
        grace: seconds to wait for more, once there is a finish reason; None before.
        failure: the error inside the stream; the chunks before it have been returned.
        complaint: the error as the server reported it, if it did.
        response: the whole answer, once it is complete.
        parts: the finished content parts, in order.
    """

    grace: float | None = None

    def __init__(
        self,
        model: str,
        reports: Reports = NOTHING_REPORTED,
        request_id: str | None = None,
        history_repairs: Iterable[str] = (),
    ) -> None:
        self.finished = False
        self.failure: OnplanError | None = None
        self.complaint: Complaint | None = None
        self.response: CompletionResponse | None = None
        self.parts: list[ContentPart] = []
        self._model = model
        self._reports = reports
        self._repairs = list(history_repairs)
        self._request_id = request_id
        self._response_id = ""
        self._ending = Ending()
        self._halves = Halves()
        self._usage: Mapping[str, Any] = {}
        # The size of the answer when usage came without choices.
        self._counted_at: tuple[int, int, int] | None = None
        self._text = StringIO(newline="")
        self._annotations: list[dict[str, Any]] = []
        self._refusals: list[str] = []
        self._reasoning = Reasoning()
        self._thinks = False  # whether the last content was thinking
        self._calls = Calls()
        self._answering: int | None = None  # the choice whose text is the answer
        self._others: set[int] = set()  # choices whose text is not part of the answer
        self._shows = False  # whether there is content without a part of its own, such as an image
        self._as_messages = False  # whether the pieces come as ``message``
        self._wholes = 0  # how many whole messages came
        self._length = 0  # of the text in ``parts``
        self._is_doubtful = False  # whether every chunk may have a finish reason
        self._is_belied = False  # whether content came after a finish reason

    def feed(self, payloads: Iterable[bytes]) -> list[StreamChunk]:
        """The chunks for ``payloads``. After ``failure`` or the end, the rest is ignored."""
        chunks: list[StreamChunk] = []
        try:
            for payload in payloads:
                if self.finished:
                    break
                if len(payload) < _LONG and payload.strip() == DONE:
                    chunks += self._close(marked=True)
                    break
                chunk = decode_chunk(payload, self._halves)
                if chunk is not None:
                    self._take(chunk, payload, chunks)
                elif complaint := complaint_of_payload(payload):
                    raise self._failed(complaint)
        except OnplanError as error:
            self._fail(error, chunks)
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
            malformed = "An event of the stream is malformed."
            self._fail(StreamCorruptError(malformed, request_id=self._request_id), chunks)
        return chunks

    def _failed(self, complaint: Complaint) -> OnplanError:
        """The error for what the server reported."""
        self.complaint = complaint
        return failure_of_complaint(complaint, request_id=self._request_id)

    def _fail(self, error: OnplanError, chunks: Chunks) -> None:
        """Note a failure of the stream, unless the answer was whole already: then finish it."""
        if self.is_whole and not self.finished:
            with suppress(OnplanError):
                chunks += self.close()
                return
        error.request_id = self._request_id
        self.failure, self.finished = error, True

    @property
    def is_whole(self) -> bool:
        """Whether the answer is whole, so that a broken connection does no harm."""
        return self.grace is not None and not self._is_belied

    def close(self) -> list[StreamChunk]:
        """The last chunks, at the end of the events. Raises StreamTruncatedError without a finish reason."""
        return self._close(marked=False)

    def _close(self, *, marked: bool) -> list[StreamChunk]:
        if self.finished:
            return []
        reason, usage = self._ending.reason, usage_of(self._usage)
        if reason is None and marked and self._is_counted():
            reason = FinishReason.STOP
        if reason is None:
            raise StreamTruncatedError(
                "The answer ended before it was complete: it has no finish_reason.",
                request_id=self._request_id,
            )
        self.finished = True
        chunks: list[StreamChunk] = []
        self._give_rest(reason, chunks)
        reason = self._checked(reason, usage)
        self.response = self.answer_of(self.parts, usage, reason)
        return [*chunks, Done(usage, reason, self.response)]

    def answer_of(self, parts: list[ContentPart], usage: Usage, reason: FinishReason) -> CompletionResponse:
        """The answer with these parts, and with what else is known of it."""
        return CompletionResponse(
            message=Message(Role.ASSISTANT, parts),
            usage=usage,
            finish_reason=reason,
            model=self._model,
            response_id=self._response_id or None,
            ignored_parameters=list(self._reports.ignored),
            history_repairs=self._repairs,
            native_finish_reason=self._ending.word,
            request_id=self._request_id,
            emulated_parameters=list(self._reports.emulated),
        )

    def _is_counted(self) -> bool:
        """Whether the usage came after all of the content.

        Qwen and opencode's gateway end a stream with the usage and ``[DONE]``, without a finish reason (seen
        November 2026).
        """
        size = self._size()
        return self._counted_at == size and any(size) and self._calls.are_whole

    def _checked(self, stated: FinishReason, usage: Usage) -> FinishReason:
        """The finish reason that fits the parts. Raises StreamCorruptError if a part must be missing."""
        kinds = {type(part) for part in self.parts}
        if Refusal in kinds:
            return FinishReason.CONTENT_FILTER
        if stated is FinishReason.TOOL_CALLS and ToolCall not in kinds:
            announced = "A tool call was announced and did not come."
            raise StreamCorruptError(announced, request_id=self._request_id)
        if stated is FinishReason.STOP and not kinds and not self._shows:
            if usage.completion_tokens > usage.reasoning_tokens:
                billed = "The answer was produced, but none of it was sent."
                raise StreamCorruptError(billed, request_id=self._request_id)
            if not self._ending.is_known:
                raise StreamFailedError(f"The answer was interrupted ({self._ending.word}).")
        return FinishReason.TOOL_CALLS if stated is FinishReason.STOP and ToolCall in kinds else stated

    # --- reading a chunk ------------------------------------------------------------------------

    def _take(self, chunk: Chunk, payload: bytes, chunks: Chunks) -> None:
        if chunk.id:
            self._response_id = str(chunk.id)
        if chunk.model:
            self._model = chunk.model
        if chunk.usage:
            self._usage = chunk.usage
        if not chunk.choices or chunk.error or chunk.x_groq or chunk.base_resp:
            self._take_aside(chunk, payload)
        for choice in chunk.choices or ():
            key, before = choice.index or 0, len(chunks)
            ends = choice.finish_reason or choice.native_finish_reason or choice.error or choice.usage
            if ends and self._ending.reason is None:
                self._is_doubtful = not (any(self._size()) or self._thinks or self._refusals)
            if choice.delta is not None:
                self._take_delta(choice.delta, key, chunks)
            elif choice.text:
                self._take_delta(Delta(content=choice.text), key, chunks)
            if choice.message is not None and (choice.finish_reason or len(chunks) == before):
                self._take_message(choice.message, key, chunks, ends=bool(choice.finish_reason))
            if self.grace is not None and len(chunks) > before:  # the reason was not the last word
                self.grace, self._is_belied = None, True
            if ends:
                self._take_end(choice, key, beside_content=len(chunks) > before)

    def _take_aside(self, chunk: Chunk, payload: bytes) -> None:
        """Read what is beside the choices: an error, or the usage."""
        if complaint := complaint_in_chunk(chunk, payload):
            raise self._failed(complaint)
        if chunk.x_groq and chunk.x_groq.usage:
            self._usage = chunk.x_groq.usage
        if chunk.usage and not chunk.choices:
            if self.is_whole and self._counted_at is None:  # usage comes last
                self.grace, self._is_doubtful = _GRACE, False
            self._counted_at = self._size()

    def _take_end(self, choice: Choice, key: int, *, beside_content: bool) -> None:
        """Read the finish reason of a choice, or its error."""
        if is_error(choice.error):
            raise self._failed(Complaint(choice.error))
        self._usage = choice.usage or self._usage
        if key in self._others or not self._ending.take(choice):
            return
        # A call that is not whole may still get the rest of its arguments.
        if self._ending.reason in CUTS or self._calls.last_is_whole(key):
            if self._is_doubtful or self._is_belied:
                self.grace = _GRACE_OF_DOUBT
            else:
                self.grace = _GRACE_BESIDE_CONTENT if beside_content else _GRACE

    def _take_delta(self, delta: Delta, key: int, chunks: Chunks) -> None:
        if key != self._answering and not self._belongs_to_answer(delta, key):
            return
        if (
            delta.reasoning_content
            or delta.reasoning
            or delta.reasoning_text
            or delta.reasoning_details
            or delta.thinking_blocks
            or delta.reasoning_opaque
            or delta.extra_content
        ):
            self._add_thinking(self._reasoning.feed(delta), chunks)
        content = delta.content
        if content.__class__ is str:
            self._add_text(content, chunks)
        elif content:
            for part in content:
                self._take_part(part, chunks)
        if delta.tool_calls:
            self._end_runs(chunks)
            self._calls.feed(delta.tool_calls, chunks, key)
        if (
            delta.function_call
            or delta.refusal
            or delta.images
            or delta.audio
            or delta.annotations
            or delta.error
        ):
            self._take_rarities(delta, key, chunks)

    def _take_rarities(self, delta: Delta, key: int, chunks: Chunks) -> None:
        if delta.refusal:  # emitted whole, so that no program takes it for the text of the answer
            self._refusals.append(delta.refusal)
        if delta.function_call and not delta.tool_calls:
            self._end_runs(chunks)
            self._calls.feed(_calls_in(delta), chunks, key)
        if delta.images or delta.audio:
            self._shows = True
        self._annotations += annotations_from(delta.annotations)
        if is_error(delta.error):
            raise self._failed(Complaint(delta.error))

    def _belongs_to_answer(self, delta: Delta, key: int) -> bool:
        """Whether a choice belongs to the answer, which is the first choice with text.

        The request asked for one answer. GitHub Copilot sends its tool calls in a second choice (nanobot pull
        request 1555), so calls in other choices belong to it; a second choice with text does not.
        """
        says = bool(delta.content or delta.refusal)
        if says and self._answering is None:
            self._answering = key
        elif says:
            self._others.add(key)
        return key not in self._others

    def _take_part(self, part: Any, chunks: Chunks) -> None:
        """Read one entry of ``content``, if that is a list of typed parts."""
        match part:
            case str() | {"type": "text" | "output_text" | None, "text": str()}:
                self._add_text(text_of(part), chunks)
            case {"type": "thinking" | "reasoning"}:
                self._add_thinking(self._reasoning.add_text(text_of(part)), chunks)
            case {"type": "refusal", "refusal": str(refusal)}:
                self._refusals.append(refusal)
            case _:
                self._shows = True

    def _take_message(self, message: Delta, key: int, chunks: Chunks, *, ends: bool) -> None:
        """Read a ``message`` in place of a ``delta``: one more piece, or at the end the whole answer."""
        begun = bool(self._text.tell() or self.parts or self._calls or self._refusals or self._thinks)
        if not begun or (self._as_messages and not (ends and self._is_all(_text_in(message)))):
            self._as_messages = True
            self._take_delta(message, key, chunks)
        elif key == self._answering or self._belongs_to_answer(message, key):
            self._complete(message, key, chunks)

    def _complete(self, message: Delta, key: int, chunks: Chunks) -> None:
        """Add what the whole message has and the pieces lack. Raises StreamCorruptError if they differ."""
        self._wholes += 1
        if self._wholes > _MOST_WHOLES:
            raise StreamCorruptError("The server repeated the whole message too often.")
        text, said = _text_in(message), self._said()
        if text.startswith(said):
            self._add_text(text[len(said) :], chunks)
        elif text.strip() not in said:
            raise StreamCorruptError("What was streamed of the text contradicts the whole message.")
        thought = self._thinks or any(isinstance(part, Thinking) for part in self.parts)
        if not thought:
            self._add_thinking(self._reasoning.feed(message), chunks)
        if message.refusal and not self._refusals:
            self._refusals.append(message.refusal)
        if not self._annotations:
            self._annotations += annotations_from(message.annotations)
        if calls := _calls_in(message):
            self._end_runs(chunks)
            self._calls.complete(calls, chunks, key)

    def _is_all(self, text: str) -> bool:
        """Whether ``text`` begins with all of the text so far."""
        return len(text) >= self._length + self._text.tell() and text.startswith(self._said())

    def _said(self) -> str:
        """The text so far."""
        return "".join(part.text for part in self.parts if isinstance(part, Text)) + self._text.getvalue()

    def _size(self) -> tuple[int, int, int]:
        """The numbers of parts, characters and call pieces, to notice whether more has come."""
        return len(self.parts), self._text.tell(), self._calls.pieces

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

    # --- finishing parts ---------------------------------------------------------------------------

    def _end_runs(self, chunks: Chunks) -> None:
        self._end_thinking(chunks)
        self._end_text(chunks)

    def _end_text(self, chunks: Chunks) -> None:
        if self._text.tell():
            text, self._text = self._text, StringIO(newline="")
            annotations, self._annotations = self._annotations, []
            moved = [_moved(annotation, self._length) for annotation in annotations]
            self._length += text.tell()
            self._give(Text(text.getvalue(), None, moved), chunks)

    def _end_thinking(self, chunks: Chunks) -> None:
        self._thinks = False
        if self._reasoning.begun:
            reasoning, self._reasoning = self._reasoning, Reasoning()
            if part := reasoning.part():
                self._give(part, chunks)

    def _give(self, part: ContentPart, chunks: Chunks) -> None:
        self.parts.append(part)
        chunks.append(PartDone(part))

    def _give_rest(self, reason: FinishReason, chunks: Chunks) -> None:
        """Emit the parts that are not emitted yet."""
        self._end_runs(chunks)
        if self._refusals:
            self._give(Refusal("".join(self._refusals)), chunks)
        self.parts += self._calls.finish(self._response_id, chunks, cut=reason in CUTS)


def _moved(annotation: dict[str, Any], by: int) -> dict[str, Any]:
    """The annotation of a text that is ``by`` characters shorter than that of the whole message."""
    places = {name: annotation.get(name) for name in ("start_index", "end_index")}
    moved = {name: place - by for name, place in places.items() if by and isinstance(place, int)}
    return {**annotation, **moved}


def _calls_in(delta: Delta) -> list[CallDelta]:
    return delta.tool_calls or ([CallDelta(delta.function_call)] if delta.function_call else [])


def _text_in(message: Delta) -> str:
    parts = [message.content] if isinstance(message.content, str) else message.content or []
    kinds = ("text", "output_text")
    texts = [
        part
        for part in parts
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type") in kinds)
    ]
    return "".join(map(text_of, texts))
