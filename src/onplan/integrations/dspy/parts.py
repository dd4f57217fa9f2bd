"""Parts of answers as DSPy's, and what goes back with them unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dspy import lm15

from onplan.integrations.call_arguments import arguments_of
from onplan.integrations.kept_parts import is_plain, kept, restored
from onplan.types import ContentPart, Refusal, Text, Thinking, ToolCall

PROVIDER = "onplan"
# What onplan keeps in ``continuation``: of thinking the reasoning that only the backend can read, and of a
# message all of its parts where DSPy has no place for some of what they are.
THINKING, PARTS = "thinking", "parts"


def state(kind: str, **data: Any) -> Any:
    """What goes back to the backend as it is."""
    return lm15.ContinuationState(PROVIDER, kind, data)


def answer_message(parts: Sequence[ContentPart]) -> Any:
    """The message of an answer."""
    theirs = their_parts(parts) or (lm15.TextPart(""),)
    return lm15.Message("assistant", theirs, states_of(parts))


def states_of(parts: Sequence[ContentPart]) -> tuple[Any, ...]:
    """All of ``parts``, if DSPy's would lose something of them."""
    return () if all(map(is_plain, parts)) else (state(PARTS, parts=kept(parts)),)


def their_parts(parts: Iterable[ContentPart]) -> tuple[Any, ...]:
    """DSPy's parts; calls of hosted tools have none."""
    made = (_theirs(part) for part in parts)
    return tuple(part for part in made if part is not None)


def _theirs(part: ContentPart) -> Any:
    match part:
        case Text(text=text):
            return lm15.TextPart(text)
        case Refusal(text=text):
            return lm15.RefusalPart(text) if text else None
        case Thinking(text=text, encrypted=encrypted):
            sealed = (state(THINKING, encrypted=encrypted),) if encrypted else ()
            return lm15.ThinkingPart(text, sealed)
        case ToolCall(id=call_id, name=name, arguments=arguments):
            return lm15.ToolCallPart(call_id, name, arguments_of(arguments))
        case _:
            return None


def sealed_in(part: Any) -> str | None:
    """The reasoning that only the backend can read, which came with a part of thinking."""
    kept_with = (each for each in part.continuation if (each.provider, each.kind) == (PROVIDER, THINKING))
    return next((each.data.get("encrypted") for each in kept_with), None)


def kept_of(message: Any) -> list[ContentPart]:
    """The parts that an answer had; none if nothing was kept of it."""
    for each in message.continuation if message.role == "assistant" else ():
        if (each.provider, each.kind) == (PROVIDER, PARTS):
            return restored(each.data.get("parts"))
    return []
