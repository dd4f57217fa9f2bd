"""The loop of a run, driven by hand: what it asks for, and what it makes of the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

import onplan
from onplan.tools.loop import (
    DECLINED,
    Answered,
    Approve,
    Ask,
    CarryOut,
    Finished,
    Loop,
    LoopStep,
    Rules,
    Tell,
    run,
    unanswered,
)
from onplan.tools.record import Run, RunResponse, ToolDone, TurnDone
from onplan.tools.toolbox import toolbox_of


def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def clock() -> str:
    """The time."""
    return "noon"


def call(number: int, name: str = "weather", arguments: str = '{"city": "Oslo"}') -> onplan.ToolCall:
    return onplan.ToolCall(f"call_{number}", name, arguments)


def answer(*parts: onplan.ContentPart | str, **fields: Any) -> Answered:
    message = onplan.Message.assistant(*parts)
    reason = "tool_calls" if message.tool_calls else "stop"
    fields = {"usage": onplan.Usage(10, 5, 15), "finish_reason": onplan.FinishReason(reason), **fields}
    return Answered(onplan.CompletionResponse(message=message, model="gpt-5.5", **fields), 2.0)


def loop(
    messages: Any = "hi",
    tools: Iterable[Callable[..., Any]] = (weather, clock),
    rules: Rules | None = None,
    **fields: Any,
) -> Loop:
    toolbox = toolbox_of(tools)
    request = onplan.CompletionRequest(messages=messages, tools=toolbox.offered, **fields)
    return run(request, toolbox.functions, rules or Rules())


def drive(running: Loop, *outcomes: Any) -> tuple[list[LoopStep], RunResponse | None]:
    """The steps up to the one for which there is no outcome; chunks for the program are left out."""
    seen: list[LoopStep] = []
    outcome: Any = None
    waiting = iter(outcomes)
    while True:
        try:
            step = running.send(outcome)
        except StopIteration as stop:
            return seen, stop.value
        outcome = None
        if isinstance(step, Tell):
            continue
        seen.append(step)
        try:
            outcome = next(waiting)
        except StopIteration:
            return seen, None


def told(result: RunResponse) -> list[str]:
    """What the model was told, after looking that every failure is told as one."""
    for each in (each for step in result.steps for each in step.calls):
        assert each.result.is_error is (each.outcome != "returned")
    parts = (part for message in result.messages for part in message.content)
    return [str(part.content) for part in parts if isinstance(part, onplan.ToolResult)]


def test_calls_are_carried_out_and_told_until_there_are_none() -> None:
    """Each turn is asked with the whole conversation; the answer has the steps and the sum of the tokens."""
    running = loop()
    steps, result = drive(
        running,
        answer(onplan.Thinking("Hm.", encrypted="x"), call(1), call(2, "clock", "")),
        [Finished("sunny", seconds=1.5), Finished("noon")],
        answer("Take a hat."),
    )
    assert result is not None
    first, carry_out, second = steps
    assert isinstance(first, Ask)
    assert [tool.name for tool in first.request.tools] == ["weather", "clock"]
    assert isinstance(carry_out, CarryOut)
    assert carry_out.parallel
    assert [plan.arguments.named for plan in carry_out.calls] == [{"city": "Oslo"}, {}]
    assert isinstance(second, Ask)
    roles = [message.role for message in second.request.messages]
    assert roles == ["user", "assistant", "tool", "tool"]
    assert second.request.messages[1].content[0] == onplan.Thinking("Hm.", encrypted="x")
    assert (result.text, result.usage.total_tokens, result.messages[:-1]) == (
        "Take a hat.",
        30,
        second.request.messages,
    )
    assert [(each.call.id, each.outcome, each.seconds) for each in result.steps[0].calls] == [
        ("call_1", "returned", 1.5),
        ("call_2", "returned", 0.0),
    ]
    assert [step.seconds for step in result.steps] == [2.0, 2.0]
    assert result.steps[1].calls == []


def test_calls_are_carried_out_one_after_the_other_where_no_parallel_ones_are_allowed() -> None:
    """Some servers send several although they were asked not to."""
    steps, _ = drive(loop(parallel_tool_calls=False), answer(call(1), call(2)))
    carry_out = steps[1]
    assert isinstance(carry_out, CarryOut)
    assert not carry_out.parallel


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (call(1, "fly"), "There is no tool 'fly'. There are: weather, clock."),
        (call(1, arguments="{"), "The arguments do not fit: it is not JSON"),
        (
            call(1, arguments='{"city": 5}'),
            "do not fit at $.city: expected `str`, got `int`.",
        ),
        (call(1, arguments='{"city": "Oslo", "unit": "C"}'), "has no parameter 'unit', there are: city."),
        (call(1, "clock", '{"city": "Oslo"}'), "has no parameter 'city', it has none."),
        (call(1, arguments=""), "missing required field `city`"),
    ],
)
def test_what_the_model_does_wrong_is_told_and_not_raised(wrong: onplan.ToolCall, sentence: str) -> None:
    """The right calls beside it are carried out, and the results are in the order of the calls."""
    steps, result = drive(loop(), answer(wrong, call(2)), [Finished("sunny")], answer("Well."))
    assert result is not None
    assert isinstance(steps[1], CarryOut)
    assert [plan.call.id for plan in steps[1].calls] == ["call_2"]
    first, second = told(result)
    assert sentence in first
    assert second == "sunny"
    assert result.steps[0].calls[0].outcome in ("wrong_arguments", "unknown_tool")


def test_nothing_is_carried_out_where_every_call_is_wrong() -> None:
    """The model is asked again at once."""
    steps, _ = drive(loop(), answer(call(1, "fly")))
    assert [type(step) for step in steps] == [Ask, Ask]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("Oslo"), "KeyError: 'Oslo'"),
        (TimeoutError(), "TimeoutError"),
        (onplan.ToolError("Ask for a city in Europe."), "Ask for a city in Europe."),
        (ValueError("x" * 5_000), f"ValueError: {'x' * 1_987}…"),
    ],
)
def test_an_exception_is_told_without_its_traceback(error: Exception, text: str) -> None:
    """By its class and message; a ToolError by its message alone; a long one is cut."""
    _, result = drive(loop(), answer(call(1)), [Finished(error=error)], answer("Well."))
    assert result is not None
    assert told(result) == [text]
    assert result.steps[0].calls[0].outcome == "raised"


def test_what_is_no_json_value_is_an_error_of_the_function() -> None:
    """The model is told; the program finds it in the steps."""
    _, result = drive(loop(), answer(call(1)), [Finished(object())], answer("Well."))
    assert result is not None
    assert "a JSON value" in told(result)[0]
    assert result.steps[0].calls[0].outcome == "raised"


def test_errors_can_be_raised() -> None:
    """The exception itself, and not as an OnplanError."""
    running = loop(rules=Rules(on_tool_error="raise"))
    with pytest.raises(ValueError, match="no such city"):
        drive(running, answer(call(1)), [Finished(error=ValueError("no such city"))])


def test_the_program_can_say_what_is_told() -> None:
    """It is given the call and the exception."""

    def words(failed: onplan.ToolCall, error: Exception) -> str:
        return f"{failed.name} failed ({error})"

    outcomes = (answer(call(1)), [Finished(error=ValueError("x"))], answer("Well."))
    _, result = drive(loop(rules=Rules(on_tool_error=words)), *outcomes)
    assert result is not None
    assert told(result) == ["weather failed (x)"]


def test_the_program_approves_each_call_that_can_be_carried_out() -> None:
    """True carries it out; False and a reason do not, and the model is told."""
    rules = Rules(approved=True)
    calls = [call(1), call(2), call(3, "fly"), call(4)]
    outcomes = (answer(*calls), True, False, "Not today.", [Finished("sunny")], answer("Well."))
    steps, result = drive(loop(rules=rules), *outcomes)
    assert result is not None
    assert [step.call.id for step in steps if isinstance(step, Approve)] == ["call_1", "call_2", "call_4"]
    assert [text for text in told(result) if "fly" not in text] == [
        "sunny",
        f"{DECLINED}",
        "Not today.",
    ]
    assert [each.outcome for each in result.steps[0].calls] == [
        "returned",
        "declined",
        "unknown_tool",
        "declined",
    ]


def test_an_approval_that_is_neither_is_refused() -> None:
    """A function that forgets to return approves nothing."""
    with pytest.raises(onplan.InvalidRequestError, match="approve returned something of the type NoneType"):
        drive(loop(rules=Rules(approved=True)), answer(call(1)), None)


def test_a_run_ends_after_so_many_turns() -> None:
    """The error holds the conversation with the calls that were not carried out; with it the run goes on."""
    running = loop(rules=Rules(max_turns=2))
    outcomes = (answer(call(1)), [Finished("sunny")], answer(call(2)))
    with pytest.raises(onplan.RunLimitError, match="asked 2 times and still calls tools") as raised:
        drive(running, *outcomes)
    so_far = raised.value.run
    assert isinstance(so_far, Run)
    assert raised.value.limit == "max_turns"
    assert (len(so_far.steps), so_far.usage.total_tokens) == (2, 30)
    assert [left.id for left in unanswered(so_far.messages)] == ["call_2"]
    steps, result = drive(loop(so_far.messages), [Finished("rainy")], answer("Well."))
    assert isinstance(steps[0], CarryOut)
    assert result is not None
    assert result.steps[0].response is None
    assert told(result) == ["sunny", "rainy"]


def test_a_run_carries_out_no_calls_once_its_tokens_are_used() -> None:
    """An answer that comes with the last of them is an answer."""
    with pytest.raises(onplan.RunLimitError, match="used 15 tokens of its budget of 15") as raised:
        drive(loop(rules=Rules(token_budget=15)), answer(call(1)))
    assert raised.value.limit == "token_budget"
    assert raised.value.run is not None
    assert [step.response.usage.total_tokens for step in raised.value.run.steps if step.response] == [15]
    _, result = drive(loop(rules=Rules(token_budget=15)), answer("Well."))
    assert result is not None


def test_a_turn_whose_usage_is_not_known_counts_by_an_estimate() -> None:
    """As one does that onplan ended itself, or of a server that counts nothing; the error says "about"."""
    unknown, counted = {"usage": onplan.Usage()}, {"usage": onplan.Usage(90, 10, 100)}
    asked = "word " * 200
    with pytest.raises(onplan.RunLimitError, match=r"used about \d{3} tokens of its budget of 200") as raised:
        drive(loop(asked, rules=Rules(token_budget=200)), answer(call(1), **unknown))
    assert raised.value.run is not None
    assert raised.value.run.usage == onplan.Usage()
    turns = answer(call(1), **unknown), [Finished("sunny")], answer(call(2), **counted), [Finished("rainy")]
    with pytest.raises(onplan.RunLimitError, match="used about"):
        drive(loop(asked, rules=Rules(token_budget=400)), *turns)
    _, result = drive(loop(asked, rules=Rules(token_budget=4_000)), *turns, answer("Well.", **counted))
    assert result is not None
    assert result.usage.total_tokens == 200


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_calls_of_an_answer_that_was_cut_off_are_not_carried_out(reason: str) -> None:
    """It is the end of the run, as it is of a completion."""
    cut = answer(call(1), finish_reason=onplan.FinishReason(reason))
    _, result = drive(loop(), cut)
    assert result is not None
    assert (result.finish_reason, result.steps[0].calls) == (reason, [])


def test_an_error_of_a_turn_holds_what_was_done() -> None:
    """Nothing that was paid for is lost."""
    running = loop()
    drive(running, answer(call(1)), [Finished("sunny")])
    with pytest.raises(onplan.UsageLimitError) as raised:
        running.throw(onplan.UsageLimitError("used up"))
    assert [message.role for message in raised.value.run.messages] == ["user", "assistant", "tool"]
    assert [each.outcome for each in raised.value.run.steps[0].calls] == ["returned"]


@pytest.mark.parametrize(
    ("choice", "later"),
    [("required", None), (onplan.ToolChoice("weather"), None), ("none", "none"), (None, None)],
)
def test_a_choice_of_tools_is_for_the_first_turn(choice: Any, later: Any) -> None:
    """One that stayed would never let the run end; that no tool is called stays."""
    steps, _ = drive(loop(tool_choice=choice), answer(call(1)), [Finished("sunny")])
    first, last = steps[0], steps[-1]
    assert isinstance(first, Ask)
    assert isinstance(last, Ask)
    assert (first.request.tool_choice, last.request.tool_choice) == (choice, later)


def test_repairs_are_listed_once() -> None:
    """They are found again in every turn, for they are not made in the program's own messages."""
    _, result = drive(
        loop(),
        answer(call(1), history_repairs=["A."]),
        [Finished("sunny")],
        answer("Well.", history_repairs=["A.", "B."]),
    )
    assert result is not None
    assert result.history_repairs == ["A.", "B."]


def test_the_usual_rules() -> None:
    """Twenty turns, no approval, errors are told; a single turn is allowed."""
    assert Rules() == Rules(approved=False, max_turns=20, token_budget=None, on_tool_error="tell")
    assert (Rules(max_turns=1).max_turns, Rules(token_budget=1).token_budget) == (1, 1)


@pytest.mark.parametrize(
    ("messages", "left"),
    [
        ([], []),
        ([onplan.Message.user("hi")], []),
        ([onplan.Message.assistant(call(1), call(2))], ["call_1", "call_2"]),
        ([onplan.Message.assistant(call(1), call(2)), onplan.Message.tool("call_1", "x")], ["call_2"]),
        ([onplan.Message.assistant(call(1)), onplan.Message.tool("call_1", "x")], []),
        ([onplan.Message.assistant(call(1)), onplan.Message.user("Well?")], []),
        ([onplan.Message.tool("call_1", "x")], []),
    ],
    ids=["nothing", "a question", "two calls", "one of them", "all", "another question", "no call"],
)
def test_calls_without_a_result(messages: list[onplan.Message], left: list[str]) -> None:
    """At the end of the conversation; what was said since is not gone back on."""
    assert [each.id for each in unanswered(messages)] == left


def test_what_a_program_hears_of_a_run() -> None:
    """Each chunk has its type; a call that was not carried out took no time."""
    running = loop()
    next(running)
    done = running.send(answer(call(1, "fly")))
    assert isinstance(done, Tell)
    told_of = next(running)
    assert isinstance(told_of, Tell)

    assert isinstance(done.chunk, TurnDone)
    assert isinstance(told_of.chunk, ToolDone)
    assert (done.chunk.type, told_of.chunk.type, told_of.chunk.run.seconds) == ("turn_done", "tool_done", 0.0)


def test_how_often_the_model_was_asked() -> None:
    """The error says it."""
    for turns, words in ((1, "was asked once and"), (2, "was asked 2 times and")):
        answers = [answer(call(1)), [Finished("sunny")], answer(call(2))]
        with pytest.raises(onplan.RunLimitError, match=words):
            drive(loop(rules=Rules(max_turns=turns)), *answers)


@pytest.mark.parametrize(
    "rules",
    [
        {"max_turns": 0},
        {"max_turns": True},
        {"max_turns": None},
        {"token_budget": 0},
        {"token_budget": 1.5},
        {"on_tool_error": "ignore"},
        {"on_tool_error": None},
    ],
)
def test_rules_that_cannot_be_followed_are_refused(rules: dict[str, Any]) -> None:
    """When they are made, before anything is asked."""
    with pytest.raises(onplan.InvalidRequestError, match=next(iter(rules))):
        Rules(**rules)
