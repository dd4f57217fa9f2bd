"""What a run did: its steps, the calls that were carried out, the answer, and chunks while it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias

import msgspec

from onplan.types import (
    CompletionResponse,
    Done,
    Message,
    PartDone,
    Resumed,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
    output_of,
    read_by,
)
from onplan.types.answer import T_co

if TYPE_CHECKING:
    from onplan.structured.output_format import OutputFormat

Outcome: TypeAlias = Literal["returned", "raised", "wrong_arguments", "unknown_tool", "declined"]


class ToolRun(msgspec.Struct, frozen=True):
    """One call of the model, and what became of it.

    Attributes:
        call: what the model wanted.
        result: what the model was told.
        outcome: ``returned`` where the function returned a value. Otherwise the result is an error: the
            function ``raised``, the model wrote ``wrong_arguments`` or named an ``unknown_tool``, or the call
            was ``declined``.
        seconds: how long the function ran; 0 where it was not called.
    """

    call: ToolCall
    result: ToolResult
    outcome: Outcome
    seconds: float = 0.0


class Step(msgspec.Struct, frozen=True):
    """One turn of a run with the calls that it led to.

    Attributes:
        response: the model's answer; None where a run begins with calls that were left over before.
        calls: in the order of the model's calls.
        seconds: how long the model took; the calls have their own.
    """

    response: CompletionResponse | None
    calls: list[ToolRun] = []
    seconds: float = 0.0


class Run(msgspec.Struct, frozen=True):
    """A run that did not come to its end, as errors hold it.

    Attributes:
        messages: the whole conversation so far; give it to ``run`` to go on.
        steps: what was done.
        usage: the tokens of all turns.
    """

    messages: list[Message]
    steps: list[Step] = []
    usage: Usage = Usage()


class RunResponse(CompletionResponse[T_co], Generic[T_co], frozen=True, dict=True):
    """The answer of a run: that of its last turn, with what led to it.

    Attributes:
        usage: the tokens of all turns.
        messages: the whole conversation, the answer included; append the next message to go on.
        steps: every turn with its response and calls; the last one has no calls.
    """

    messages: list[Message] = msgspec.field(default_factory=list)
    steps: list[Step] = msgspec.field(default_factory=list)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, have the same ``parsed``."""
        return _restored, (msgspec.structs.astuple(self), output_of(self))


def _restored(fields: tuple[Any, ...], output: OutputFormat | None) -> RunResponse:
    response: RunResponse = RunResponse(*fields)
    read_by(response, output)
    return response


class ToolDone(msgspec.Struct, frozen=True, tag_field="type", tag="tool_done"):
    """A call was carried out, or was not; either way the model will be told the result."""

    type: ClassVar[Literal["tool_done"]] = "tool_done"
    run: ToolRun


class TurnDone(msgspec.Struct, frozen=True, tag_field="type", tag="turn_done"):
    """A turn is complete, and its calls come next. The last turn of a run ends with ``RunDone``."""

    type: ClassVar[Literal["turn_done"]] = "turn_done"
    response: CompletionResponse


class RunDone(Done, frozen=True, tag="done"):
    """The run is complete. Every stream of a run that raises no error ends with exactly one of these."""

    response: RunResponse[Any]


RunChunk: TypeAlias = (
    TextDelta
    | ThinkingDelta
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | PartDone
    | Resumed
    | ToolDone
    | TurnDone
    | RunDone
)


def summed(usages: Iterable[Usage]) -> Usage:
    """The tokens of several turns."""
    counts = dict.fromkeys(Usage.__struct_fields__, 0)
    for usage in usages:
        for name in counts:
            counts[name] += getattr(usage, name)
    return Usage(**counts)
