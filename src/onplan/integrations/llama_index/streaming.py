"""The answers of a LlamaIndex stream: each has all that has arrived so far, and what is new as ``delta``.

Each answer holds a list of all blocks, so it costs as much as there are. Text and thinking are told with each
delta, as LlamaIndex wants them; calls, in a message of many blocks, only once enough of them have changed.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock

from onplan.integrations.growing_arguments import GrowingArguments
from onplan.integrations.llama_index.messages import beside, call_block, growing_message, response_of
from onplan.types import (
    Done,
    StreamChunk,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)

# How many blocks are told again for each change of a call: telling all of them each time would cost the
# square of their number. A message of up to so many blocks is told with each change.
_BLOCKS_OF_A_CHANGE = 20


class Growing:
    """One answer while it arrives. Feed it each chunk, in order."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._beside: list[dict[str, Any]] = []  # the calls once more, for `additional_kwargs`
        self._calls: dict[str, _Call] = {}
        self._changed: dict[str, _Call] = {}  # those whose blocks are behind
        self._changes = 0  # since the last answer

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
                self._begin(call_id, name)
                return self._after_change(call_id)
            case ToolCallDelta(id=call_id, arguments_delta=delta):
                return self._after_change(call_id) if self._calls[call_id].arguments.add(delta) else None
            case ToolCallEnd(id=call_id):
                return self._after_change(call_id)
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

    def _begin(self, call_id: str, name: str) -> None:
        block = call_block(call_id, name, "")
        self._calls[call_id] = _Call(name, len(self._blocks), len(self._beside))
        self._blocks.append(block)
        self._beside.append(beside(block))

    def _after_change(self, call_id: str) -> ChatResponse | None:
        self._changed[call_id] = self._calls[call_id]
        self._changes += 1
        return self._so_far("") if self._changes * _BLOCKS_OF_A_CHANGE >= len(self._blocks) else None

    def _so_far(self, delta: str, **extra: Any) -> ChatResponse:
        for call_id, call in self._changed.items():
            block = call_block(call_id, call.name, call.arguments.tell()[0])
            self._blocks[call.place], self._beside[call.place_beside] = block, beside(block)
        self._changed, self._changes = {}, 0
        message = growing_message([*self._blocks], [*self._beside])
        return ChatResponse(message=message, delta=delta, raw={}, additional_kwargs=extra)


class _Call:
    """One call: its name, the places of its block and of its entry beside them, its arguments so far."""

    def __init__(self, name: str, place: int, place_beside: int) -> None:
        self.name, self.place, self.place_beside = name, place, place_beside
        self.arguments = GrowingArguments()
