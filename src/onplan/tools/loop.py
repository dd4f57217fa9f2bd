"""The loop of a run: ask the model, carry out its calls, tell it the results, until it calls no more.

A run is a generator, as a turn is: it yields steps, and is sent their outcomes. The clients carry them out.

============ ============================================ ==================================
step         the client does                              outcome
============ ============================================ ==================================
``Ask``      asks the model                               ``Answered``, or an error thrown in
``Approve``  asks the program's ``approve``               what it returned
``CarryOut`` calls the functions, together or in order    one ``Finished`` for each
``Tell``     hands a chunk to the program                 None
============ ============================================ ==================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError, OnplanError, RunLimitError
from onplan.request.token_counts import tokens_of
from onplan.tools.function import CustomFunctionTool, FunctionTool
from onplan.tools.parameters import Arguments, WrongArgumentsError
from onplan.tools.record import Outcome, Run, RunResponse, Step, ToolDone, ToolRun, TurnDone, summed
from onplan.tools.results import sendable, told
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    FinishReason,
    Message,
    Role,
    ToolCall,
    ToolResult,
    Usage,
    output_of,
    read_by,
)

logger = logging.getLogger("onplan.tools")

OnToolError: TypeAlias = Literal["tell", "raise"] | Callable[[ToolCall, Exception], str]
DECLINED = "The call was declined."
# After these an answer is not complete, and neither are its calls.
_CUT_OFF = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the model."""

    request: CompletionRequest


@dataclass(frozen=True, slots=True)
class Answered:
    """The model's whole answer, and how many seconds it took."""

    response: CompletionResponse
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Approve:
    """Ask the program whether this call may be carried out."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that is to be carried out: the function and what it is called with."""

    call: ToolCall
    function: Callable[..., Any]
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Call these functions: all at once if ``parallel``, else one after the other."""

    calls: Sequence[Planned]
    parallel: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """What a function returned, or the exception that it raised, after so many seconds."""

    value: Any = None
    error: Exception | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Tell:
    """Hand a chunk to the program, if it is listening."""

    chunk: ToolDone | TurnDone


LoopStep: TypeAlias = Ask | Approve | CarryOut | Tell
Loop: TypeAlias = Generator[LoopStep, Any, RunResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a run goes.

    Attributes:
        approved: whether the program is asked before each call.
        max_turns: how many times the model is asked at most.
        token_budget: no calls are carried out once the turns have used so many tokens; None for no budget. A
            turn whose usage the backend did not tell counts by an estimate.
        on_tool_error: ``tell`` the model of an exception, ``raise`` it, or what is to be told.
    """

    approved: bool = False
    max_turns: int = 20
    token_budget: int | None = None
    on_tool_error: OnToolError = "tell"

    def __post_init__(self) -> None:
        """Raise InvalidRequestError for a value that cannot be followed."""
        for name, value in (("max_turns", self.max_turns), ("token_budget", self.token_budget)):
            if value is None and name == "token_budget":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidRequestError(
                    f"{name} is {value!r}, and not a whole number above 0.", hint=f"Give `{name}=10`."
                )
        if self.on_tool_error not in ("tell", "raise") and not callable(self.on_tool_error):
            raise InvalidRequestError(
                f"on_tool_error is {self.on_tool_error!r}.",
                hint='Give it "tell", "raise", or a function of the call and the exception.',
            )


def run(
    request: CompletionRequest, functions: Mapping[str, FunctionTool | CustomFunctionTool], rules: Rules
) -> Loop:
    """Run the tools that the model calls until it calls no more; gives its last answer.

    Calls at the end of the conversation that have no result yet are carried out first. A call that cannot be
    carried out, and one that fails, is told to the model.

    Raises:
        RunLimitError: ``max_turns`` or the budget is reached. The last calls were not carried out.
        OnplanError: of a turn. Every error has ``run``, with which it is possible to go on.
    """
    running = _Running(request, functions, rules)
    try:
        return (yield from running.run())
    except OnplanError as error:
        error.run = running.so_far()
        raise


class _Running:
    def __init__(
        self,
        request: CompletionRequest,
        functions: Mapping[str, FunctionTool | CustomFunctionTool],
        rules: Rules,
    ) -> None:
        self._request, self._functions, self._rules = request, functions, rules
        self._messages = list(request.messages)
        self._steps: list[Step] = []
        self._parallel = request.parallel_tool_calls is not False
        self._estimated = 0  # tokens of turns whose usage the backend did not tell

    def run(self) -> Loop:
        left_over = unanswered(self._messages)
        if left_over:
            yield from self._carry_out(left_over, Step(None))
        turns = 0
        while True:
            turns += 1
            answered: Answered = yield Ask(self._next_request())
            response = answered.response
            self._messages.append(response.message)
            step = Step(response, [], answered.seconds)
            self._estimate(response)
            calls = response.tool_calls
            if not calls or response.finish_reason in _CUT_OFF:
                self._steps.append(step)
                return self._answer(response)
            self._require_more([*self._steps, step], turns)
            yield Tell(TurnDone(response))
            yield from self._carry_out(calls, step)

    def so_far(self) -> Run:
        """What was done until now."""
        return Run(list(self._messages), list(self._steps), _usage(self._steps))

    def _next_request(self) -> CompletionRequest:
        request = msgspec.structs.replace(self._request, messages=self._messages)
        if self._steps and request.tool_choice != "none":
            # What had to be called has been: a choice that stays would be called for ever.
            request = msgspec.structs.replace(request, tool_choice=None)
        return request

    def _estimate(self, response: CompletionResponse) -> None:
        """Count a turn that has just ended, if there is a budget and nothing else counts it."""
        if self._rules.token_budget is not None and not response.usage.total_tokens:
            self._estimated += tokens_of(msgspec.structs.replace(self._request, messages=self._messages))

    def _require_more(self, steps: list[Step], turns: int) -> None:
        """Raise RunLimitError if the calls of the last of these steps are not to be carried out any more."""
        used, budget = _usage(steps).total_tokens + self._estimated, self._rules.token_budget
        if budget is not None and used >= budget:
            self._steps = steps
            about = "about " if self._estimated else ""
            raise RunLimitError(
                f"The run has used {about}{used} tokens of its budget of {budget}.", limit="token_budget"
            )
        if turns >= self._rules.max_turns:
            self._steps = steps
            times = "once" if turns == 1 else f"{turns} times"
            raise RunLimitError(f"The model was asked {times} and still calls tools.", limit="max_turns")

    def _answer(self, response: CompletionResponse) -> RunResponse:
        fields = {name: getattr(response, name) for name in CompletionResponse.__struct_fields__}
        fields["history_repairs"] = list(dict.fromkeys(_repairs(self._steps)))
        fields["usage"] = _usage(self._steps)
        answer: RunResponse = RunResponse(**fields, messages=self._messages, steps=self._steps)
        read_by(answer, output_of(response))
        return answer

    # --- calls ----------------------------------------------------------------------------------------

    def _carry_out(self, calls: Sequence[ToolCall], step: Step) -> Generator[LoopStep, Any, None]:
        """Carry out the calls of a step, which is then complete."""
        self._steps.append(step)
        plans: list[Planned | ToolRun] = []
        for call in calls:
            plan = yield from self._plan(call)
            plans.append(plan)
        planned = [plan for plan in plans if isinstance(plan, Planned)]
        finished: Iterator[Finished] = iter(())
        if planned:
            finished = iter((yield CarryOut(planned, self._parallel)))
        runs = [plan if isinstance(plan, ToolRun) else self._finish(plan, next(finished)) for plan in plans]
        self._messages += [Message(Role.TOOL, [run.result]) for run in runs]
        self._steps[-1] = msgspec.structs.replace(step, calls=runs)
        for each in runs:
            yield Tell(ToolDone(each))

    def _plan(self, call: ToolCall) -> Generator[LoopStep, Any, Planned | ToolRun]:
        tool = self._functions.get(call.name)
        if tool is None:
            names = ", ".join(self._functions)
            return _not_run(call, "unknown_tool", f"There is no tool {call.name!r}. There are: {names}.")
        if call.is_custom is not isinstance(tool, CustomFunctionTool):
            wanted = "JSON arguments, and not free text" if call.is_custom else "free text, and not JSON"
            return _not_run(call, "wrong_arguments", f"The tool {call.name} is called with {wanted}.")
        try:
            arguments = tool.reader.read(call.arguments)
        except WrongArgumentsError as error:
            return _not_run(call, "wrong_arguments", str(error))
        if self._rules.approved:
            verdict = yield Approve(call)
            if not isinstance(verdict, bool | str):
                raise InvalidRequestError(
                    f"approve returned something of the type {type(verdict).__name__}.",
                    hint="Return True, False, or the reason why the call is declined.",
                )
            if verdict is not True:
                return _not_run(call, "declined", verdict or DECLINED)
        return Planned(call, tool.function, arguments)

    def _finish(self, plan: Planned, finished: Finished) -> ToolRun:
        call, error = plan.call, finished.error
        if error is None:
            try:
                return ToolRun(call, ToolResult(call.id, finished.value), "returned", finished.seconds)
            except InvalidRequestError as problem:
                error = problem
        logger.info("the tool %s raised %s", call.name, type(error).__name__, exc_info=error)
        if self._rules.on_tool_error == "raise":
            raise error
        text = told(error) if self._rules.on_tool_error == "tell" else self._rules.on_tool_error(call, error)
        return ToolRun(call, ToolResult(call.id, sendable(text), is_error=True), "raised", finished.seconds)


def _not_run(call: ToolCall, outcome: Outcome, text: str) -> ToolRun:
    return ToolRun(call, ToolResult(call.id, sendable(text), is_error=True), outcome)


def _usage(steps: Iterable[Step]) -> Usage:
    return summed(step.response.usage for step in steps if step.response)


def _repairs(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield from step.response.history_repairs if step.response else ()


def unanswered(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls at the end of a conversation that have no result yet."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message.role is not Role.TOOL:
            return [call for call in message.tool_calls if call.id not in answered]
        answered |= {part.tool_call_id for part in message.content if isinstance(part, ToolResult)}
    return []
