"""One span for each run of tools, and one below it for each function that is called."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from onplan.errors import OnplanError
from onplan.telemetry.attributes import Value, request_attributes, response_attributes, usage_attributes
from onplan.telemetry.contents import call_contents, result_contents
from onplan.telemetry.instruments import Instruments, Operation
from onplan.tools.function import is_async
from onplan.tools.loop import CarryOut, Planned
from onplan.tools.record import Run, RunResponse, ToolRun
from onplan.turn.context import Context
from onplan.types import CompletionRequest, ToolCall

_RUN, _TOOL = "invoke_agent", "execute_tool"


class ObservedRun:
    """The span of one run, a ``turn.context.RunRecorder``. It begins when this is made."""

    def __init__(self, instruments: Instruments, context: Context) -> None:
        self._instruments, self._context = instruments, context
        self._span = Operation(instruments, _RUN, {"gen_ai.operation.name": _RUN, **instruments.server})

    def end(self, error: BaseException | None) -> None:
        """The run is over; ``error``: what ended it, GeneratorExit where the program left it."""
        if isinstance(error, OnplanError) and isinstance(error.run, Run):
            self._span.set(usage_attributes(error.run.usage))
        is_left = isinstance(error, GeneratorExit)
        if is_left:
            self._span.set({"onplan.response.is_left": True})
        self._span.end(None if is_left else error)

    def asking(self, request: CompletionRequest) -> AbstractContextManager[None]:
        """Within it, what is begun to ask the model belongs to this run."""
        asked = request_attributes(request, request.model or self._context.model, self._context.backend)
        self._span.set(asked)
        return self._span.current()

    def observed(self, step: CarryOut) -> CarryOut:
        """The same calls, each in a span of its own."""
        return replace(step, calls=[self._observed(plan) for plan in step.calls])

    def called(self, run: ToolRun) -> None:
        """A call has its result; those without a span did not reach their function."""
        if run.outcome not in ("returned", "raised"):
            told: dict[str, Value] = {"gen_ai.tool.call.id": run.call.id, "onplan.tool.outcome": run.outcome}
            self._span.event("onplan.tool_not_called", told)

    def answered(self, response: RunResponse[Any]) -> None:
        """The run is complete."""
        self._span.set(response_attributes(response))

    def _observed(self, plan: Planned) -> Planned:
        function = plan.function

        async def call_async(*arguments: Any, **named: Any) -> Any:
            return await self._awaited(self._begun(plan.call), lambda: function(*arguments, **named))

        def call(*arguments: Any, **named: Any) -> Any:
            span = self._begun(plan.call)
            try:
                with span.current():
                    value = function(*arguments, **named)
            except BaseException as error:
                span.end(error)
                raise
            if inspect.isawaitable(value):
                return self._awaited(span, lambda: value)
            _returned(span, value)
            return value

        return replace(plan, function=call_async if is_async(function) else call)

    def _begun(self, call: ToolCall) -> Operation:
        told: dict[str, Value] = {
            "gen_ai.operation.name": _TOOL,
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.id,
            "gen_ai.tool.type": "function",
        }
        span = Operation(self._instruments, f"{_TOOL} {call.name}", told, self._span.context)
        span.set_contents(lambda: call_contents(call))
        return span

    async def _awaited(self, span: Operation, begin: Callable[[], Awaitable[Any]]) -> Any:
        try:
            with span.current():
                value = await begin()
        except BaseException as error:
            span.end(error)
            raise
        _returned(span, value)
        return value


def _returned(span: Operation, value: object) -> None:
    span.set_contents(lambda: result_contents(value))
    span.end()
