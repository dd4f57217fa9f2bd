"""Chunks of answers as Haystack's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from haystack.dataclasses import ComponentInfo, ReasoningContent, StreamingChunk
from haystack.dataclasses import ToolCallDelta as TheirDelta

from onplan.integrations.answer_facts import facts_of
from onplan.types import (
    CompletionResponse,
    Done,
    PartDone,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)


class Chunks:
    """The chunks of one stream. Feed it each of ours, in order.

    Attributes:
        begun_at: when the first one came, as ISO 8601; None before.
        answer: the whole answer, after the last one.
    """

    def __init__(self, info: ComponentInfo) -> None:
        self.begun_at: str | None = None
        self.answer: CompletionResponse | None = None
        self._info, self._index, self._open = info, -1, False
        self._calls: dict[str, int] = {}

    def feed(self, chunk: StreamChunk) -> Iterator[StreamingChunk]:
        """What to tell of ``chunk``."""
        self.begun_at = self.begun_at or datetime.now(UTC).isoformat()
        match chunk:
            case TextDelta(text=text):
                start = self._begin()
                yield self._chunk(text, index=self._index, start=start)
            case ThinkingDelta(text=text):
                start = self._begin()
                yield self._chunk(reasoning=ReasoningContent(text), index=self._index, start=start)
            case ToolCallStart(id=call_id, name=name):
                self._index += 1
                self._calls[call_id] = self._index
                yield self._call(TheirDelta(self._index, name, id=call_id), start=True)
            case ToolCallDelta(id=call_id, arguments_delta=delta):
                yield self._call(TheirDelta(self._calls[call_id], arguments=delta))
            case PartDone(part=part) if part.type != "tool_call":
                self._open = False
            case Done(response=answer):
                self.answer = answer
                reason = answer.finish_reason.value
                yield self._chunk(finish_reason=reason, meta=facts_of(answer))

    def _begin(self) -> bool:
        """Whether a part begins."""
        if self._open:
            return False
        self._open = True
        self._index += 1
        return True

    def _call(self, delta: TheirDelta, *, start: bool = False) -> StreamingChunk:
        return self._chunk(tool_calls=[delta], index=delta.index, start=start)

    def _chunk(
        self, content: str = "", *, meta: dict[str, Any] | None = None, **fields: Any
    ) -> StreamingChunk:
        return StreamingChunk(content, meta=meta or {}, component_info=self._info, **fields)
