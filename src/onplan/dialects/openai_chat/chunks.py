"""Writes an answer as the server-sent events of a Chat Completions server.

Nearly every event is a piece of text: what is the same in all of them is written once for a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

import msgspec

from onplan.chat.signatures import unsealed
from onplan.dialects.openai_chat.answer import call_entry, cited, finish_reason_of, sealed_entry, usage_body
from onplan.dialects.openai_errors import error_fields
from onplan.errors import OnplanError, StreamTruncatedError
from onplan.types import (
    Done,
    PartDone,
    Refusal,
    Resumed,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)

Item: TypeAlias = dict[str, Any]

_END = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


class ChunkEncoder:
    """Encodes one answer: ``encode`` is called with the chunks as they come, the last of which is ``Done``.

    Args:
        completion_id: the id of the answer.
        model: the model, as the client calls it.
        created: Unix seconds.
        include_usage: whether a last event has the token counts (``stream_options.include_usage``).
    """

    def __init__(self, completion_id: str, model: str, created: int, *, include_usage: bool = False) -> None:
        head = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = b"data: " + _encode(head)[:-1]
        self._before = self._head + b',"choices":[{"index":0,"delta":'
        self._counts = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._after = b',"logprobs":null,"finish_reason":null}]' + self._counts
        self._before_text = self._before + b'{"content":'
        self._after_text = b"}" + self._after
        self._include_usage = include_usage
        self._begun = False
        self._positions: dict[str, int] = {}  # of the latest call with each id
        self._calls = 0
        self._custom: set[str] = set()  # the ids of the calls of custom tools
        self._said = 0  # how many characters of finished texts were sent
        self._sealed = 0  # how many parts of encrypted reasoning were sent
        self._thought = False  # whether a part of the thinking was finished

    def encode(self, chunks: Iterable[StreamChunk]) -> bytes:
        """The events for ``chunks``; empty if none of them has an equivalent in this API.

        Raises:
            StreamTruncatedError: the answer began again; in this API nothing that was sent can be withdrawn.
        """
        pieces: list[bytes] = []
        for chunk in chunks:
            if type(chunk) is TextDelta:
                pieces += (self._before_text, _encode(chunk.text), self._after_text)
            elif isinstance(chunk, Done):
                pieces += self._last(chunk)
            elif (delta := self.delta(chunk)) is not None:
                pieces += (self._before, _encode(delta), self._after)
        if pieces and not self._begun:
            self._begun = True
            pieces[:0] = (self._before, b'{"role":"assistant","content":""}', self._after)
        return b"".join(pieces)

    def delta(self, chunk: StreamChunk) -> Item | None:
        """The ``delta`` for a chunk that is neither text nor the last; None if it has no equivalent.

        Raises StreamTruncatedError as ``encode`` does.
        """
        return _DELTAS[type(chunk)](self, chunk)

    def encode_failure(self, error: OnplanError) -> bytes:
        """The event that ends a stream that failed after it had begun. Nothing follows it."""
        return b"data: %b\n\n" % _encode({"error": error_fields(error)})

    def _last(self, chunk: Done) -> Iterable[bytes]:
        reason = b'{},"logprobs":null,"finish_reason":%b}]' % _encode(finish_reason_of(chunk.response))
        yield from (self._before, reason, self._counts)
        if self._include_usage:
            yield self._head + b',"choices":[],"usage":%b}\n\n' % _encode(usage_body(chunk.usage))
        yield _END

    # --- the delta for each kind of chunk ------------------------------------------------------------

    def _thinking(self, chunk: ThinkingDelta) -> Item:
        between, self._thought = "\n\n" if self._thought else "", False
        return {"reasoning_content": between + chunk.text}

    def _call_start(self, chunk: ToolCallStart) -> Item:
        position = self._positions[chunk.id] = self._calls
        self._calls += 1
        self._custom |= {chunk.id} if chunk.is_custom else set()
        call = ToolCall(chunk.id, chunk.name, "", is_custom=chunk.is_custom)
        return {"tool_calls": [{"index": position, **call_entry(call)}]}

    def _call_delta(self, chunk: ToolCallDelta) -> Item:
        kind, text = ("custom", "input") if chunk.id in self._custom else ("function", "arguments")
        piece = {kind: {text: chunk.arguments_delta}}
        return {"tool_calls": [{"index": self._positions[chunk.id], **piece}]}

    def _call_end(self, chunk: ToolCallEnd) -> None:
        return None

    def _resumed(self, chunk: Resumed) -> NoReturn:
        raise StreamTruncatedError("The answer broke off, and this API cannot withdraw what was sent.")

    def _part_done(self, chunk: PartDone) -> Item | None:
        match chunk.part:
            case Text(text=text, annotations=annotations):
                offset, self._said = self._said, self._said + len(text)
                pages = cited(annotations, offset)
                return {"annotations": pages} if pages else None
            case Refusal(text=text):
                return {"refusal": text}
            case Thinking(text=text, encrypted=sealed):
                self._thought = self._thought or bool(text)
                if not sealed:
                    return None
                self._sealed += 1
                return {"reasoning_details": [sealed_entry(sealed, self._sealed - 1)]}
            case ToolCall(id=call_id, signature=str(signature)):
                return {"tool_calls": [{"index": self._positions[call_id], **unsealed(signature)}]}
            case _:
                return None


_DELTAS: Mapping[type, Callable[[ChunkEncoder, Any], Item | None]] = {
    ThinkingDelta: ChunkEncoder._thinking,
    ToolCallStart: ChunkEncoder._call_start,
    ToolCallDelta: ChunkEncoder._call_delta,
    ToolCallEnd: ChunkEncoder._call_end,
    PartDone: ChunkEncoder._part_done,
    Resumed: ChunkEncoder._resumed,
}
