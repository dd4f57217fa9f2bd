"""The answers of a LlamaIndex stream: each has all that has arrived so far, and what is new as ``delta``."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock

from onplan.integrations.growing_arguments import GrowingArguments
from onplan.integrations.llama_index.messages import answer_message, call_block, response_of
from onplan.types import (
    Done,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)


class Growing:
    """One answer while it arrives. Feed it each chunk, in order."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._calls: dict[str, _Call] = {}

    def feed(self, chunk: StreamChunk) -> ChatResponse | None:  # noqa: PLR0911 - one for each
        """What to tell of ``chunk``; None if there is nothing yet."""
        match chunk:
            case TextDelta(text=text):
                self._grow(TextBlock, "text", text)
                return self._so_far(text)
            case ThinkingDelta(text=text):
                self._grow(ThinkingBlock, "content", text)
                return self._so_far("", thinking_delta=text)
            case ToolCallStart(id=call_id, name=name):
                self._calls[call_id] = _Call(name, len(self._blocks))
                self._blocks.append(call_block(call_id, name, ""))
                return self._so_far("")
            case ToolCallDelta(id=call_id, arguments_delta=delta):
                return self._tell(call_id) if self._calls[call_id].arguments.add(delta) else None
            case ToolCallEnd(id=call_id):
                return self._tell(call_id)
            case Done(response=answer):
                return response_of(answer, "")
        return None

    def _grow(self, kind: type[Any], name: str, text: str) -> None:
        """Put ``text`` at the end of the last block, in a new object: the last answer keeps its own."""
        last = self._blocks[-1] if self._blocks else None
        if isinstance(last, kind):
            self._blocks[-1] = kind(**{name: getattr(last, name) + text})
        else:
            self._blocks.append(kind(**{name: text}))

    def _tell(self, call_id: str) -> ChatResponse:
        call = self._calls[call_id]
        self._blocks[call.place] = call_block(call_id, call.name, call.arguments.tell()[0])
        return self._so_far("")

    def _so_far(self, delta: str, **extra: Any) -> ChatResponse:
        message = answer_message(list(self._blocks))
        return ChatResponse(message=message, delta=delta, raw={}, additional_kwargs=extra)


class _Call:
    """One call: its name, the place of its block, and its arguments so far."""

    def __init__(self, name: str, place: int) -> None:
        self.name, self.place, self.arguments = name, place, GrowingArguments()
