"""Answers as DSPy's responses and as the events of its streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dspy import lm15

from onplan.integrations.answer_facts import facts_of
from onplan.integrations.dspy.parts import PROVIDER, THINKING, answer_message, states_of
from onplan.integrations.growing_arguments import GrowingArguments
from onplan.parameters import Reports
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Done,
    FinishReason,
    PartDone,
    Refusal,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

_FINISHED = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_call",
    FinishReason.CONTENT_FILTER: "content_filter",
}
# Where DSPy has what onplan calls otherwise.
_PLACES = {
    "reasoning_effort": "config.reasoning.effort",
    "reasoning_summary": "config.reasoning.summary",
    "parallel_tool_calls": "config.tool_choice.parallel",
    "tool_choice": "config.tool_choice",
    "session_id": "config.cache.key",
    "tools": "tools",
    "strict": "tools",
}


def adaptations_of(reports: Reports) -> list[Any]:
    """What a request is sent without, and what onplan does itself."""
    return [
        *(_adaptation(name, "dropped", "The backend does not take it.") for name in reports.ignored),
        *(_adaptation(name, "client_side", "onplan does it itself.") for name in reports.emulated),
    ]


def _adaptation(name: str, action: str, reason: str) -> Any:
    return lm15.Adaptation(_PLACES.get(name, f"config.{name}"), action, reason)


def response_of(answer: CompletionResponse, adaptations: list[Any]) -> Any:
    """A whole answer."""
    reports = Reports(tuple(answer.ignored_parameters), tuple(answer.emulated_parameters))
    return lm15.Response(
        id=answer.response_id,
        model=answer.model,
        message=answer_message(answer.message.content),
        finish_reason=_FINISHED[answer.finish_reason],
        usage=_usage(answer.usage),
        provider_data=facts_of(answer),
        adaptations=(*adaptations, *adaptations_of(reports)),
    )


def _usage(usage: Usage) -> Any:
    return lm15.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


class Events:
    """The events of one stream. Feed it each chunk, in order; the first one comes with a start event."""

    def __init__(self, model: str, adaptations: list[Any]) -> None:
        self._start = [lm15.StreamStartEvent(model=model, adaptations=tuple(adaptations))]
        self._indices = 0
        self._open: int | None = None  # the part that texts and thinking belong to
        self._calls: dict[str, tuple[int, GrowingArguments]] = {}

    def feed(self, chunk: StreamChunk) -> Iterator[Any]:
        """What to tell of ``chunk``."""
        while self._start:
            yield self._start.pop()
        match chunk:
            case TextDelta(text=text):
                yield self._event(lm15.TextDelta(text, self._current()))
            case ThinkingDelta(text=text):
                yield self._event(lm15.ThinkingDelta(text, self._current()))
            case ToolCallStart(id=call_id, name=name):
                self._calls[call_id] = index, _ = self._index(), GrowingArguments()
                yield self._event(lm15.ToolCallDelta("", index, call_id, name))
            case ToolCallDelta(id=call_id, arguments_delta=delta):
                if self._calls[call_id][1].add(delta):
                    yield self._more_of(call_id)
            case ToolCallEnd(id=call_id):
                yield self._more_of(call_id)
            case PartDone(part=part):
                yield from self._ended(part)
            case Done(response=answer):
                yield from self._end(answer)

    def _ended(self, part: ContentPart) -> Iterator[Any]:
        if isinstance(part, Thinking):
            if self._open is None:  # hidden thinking
                yield self._event(lm15.ThinkingDelta("", self._current()))
            if part.encrypted:
                data = {"encrypted": part.encrypted}
                yield self._event(lm15.ContinuationDelta(PROVIDER, THINKING, data, self._open))
        elif isinstance(part, Refusal) and self._open is None:
            yield self._event(lm15.TextDelta(part.text, self._current()))
        if isinstance(part, Text | Thinking | Refusal):
            self._open = None

    def _end(self, answer: CompletionResponse) -> Iterator[Any]:
        for each in states_of(answer.message.content):
            yield self._event(lm15.ContinuationDelta(each.provider, each.kind, each.data))
        yield lm15.StreamEndEvent(_FINISHED[answer.finish_reason], _usage(answer.usage), facts_of(answer))

    def _more_of(self, call_id: str) -> Any:
        index, arguments = self._calls[call_id]
        return self._event(lm15.ToolCallDelta(arguments.tell()[1], index))

    def _event(self, delta: Any) -> Any:
        return lm15.StreamDeltaEvent(delta)

    def _current(self) -> int:
        if self._open is None:
            self._open = self._index()
        return self._open

    def _index(self) -> int:
        self._indices += 1
        return self._indices - 1
