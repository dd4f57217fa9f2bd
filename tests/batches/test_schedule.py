"""What the schedule of many requests decides, action by action."""

from __future__ import annotations

from typing import Any

import pytest

import onplan
from onplan.backends import BACKENDS, OPENAI_CODEX
from onplan.batches.schedule import (
    End,
    HandOut,
    MapResult,
    Reset,
    Schedule,
    Start,
    Take,
    Wait,
    context_alone,
    require_many,
)
from onplan.turn.context import Context
from onplan.turn.fallback import Fallback
from onplan.turn.steps import Authorize, Prepare, Sleep
from onplan.types import CompletionResponse

NOW = 1_000_000.0
ANSWER = CompletionResponse(
    message=onplan.Message("assistant", "hi"),
    finish_reason=onplan.FinishReason.STOP,
    usage=onplan.Usage(),
    model="gpt-5.5",
)
LIMIT = onplan.UsageLimitError("used up", resets_at=NOW + 90)
FAILURE = onplan.ServerError("broken")


def schedule(fields: Any = None, **options: Any) -> Schedule[Any]:
    context = Context(backend=OPENAI_CODEX, base_url="https://example.com", now=lambda: NOW, model="gpt-5.5")
    return Schedule(context, fields or {}, **options)


def play(planned: Schedule[Any], requests: int) -> tuple[list[int], list[int]]:
    """Take ``requests`` as they are wanted; gives the indexes started and handed out until it waits."""
    started: list[int] = []
    handed: list[int] = []
    while not isinstance(action := planned.next(), Wait | End | Reset):
        match action:
            case Take() if requests > len(started):
                planned.took(f"number {len(started)}")
            case Take():
                planned.exhausted()
            case Start(index=index):
                started.append(index)
            case HandOut(result=result):
                handed.append(result.index)
    return started, handed


def test_only_so_many_are_asked_at_once() -> None:
    """A request is taken when there is room for it, and no sooner."""
    planned = schedule(concurrency=3)

    assert play(planned, 2_000) == ([0, 1, 2], [])
    planned.answered(0, ANSWER)
    assert isinstance(planned.next(), HandOut)
    assert isinstance(planned.next(), Take)
    planned.took("next")
    start = planned.next()
    assert isinstance(start, Start)
    assert start.index == 3


def test_one_request_is_taken_at_a_time() -> None:
    """Until it has been taken, which may take a while, there is nothing else to do."""
    planned = schedule(concurrency=3)
    assert isinstance(planned.next(), Take)
    assert isinstance(planned.next(), Wait)
    planned.took("x")

    assert isinstance(planned.next(), Start)
    assert isinstance(planned.next(), Take)
    planned.exhausted()
    assert isinstance(planned.next(), Wait)


def test_results_come_in_order_or_as_they_come() -> None:
    """In order, a result waits for those before it."""
    for ordered, expected in ((True, []), (False, [2, 1])):
        planned = schedule(concurrency=3, ordered=ordered)
        play(planned, 3)
        planned.answered(2, ANSWER)
        planned.failed(1, FAILURE)
        planned.exhausted()
        assert play(planned, 0)[1] == expected
        planned.answered(0, ANSWER)
        assert play(planned, 0)[1] == ([0, 1, 2] if ordered else [0])
        assert isinstance(planned.next(), End)


def test_a_slow_one_lets_only_so_many_others_get_ahead() -> None:
    """In order, results that cannot be handed out yet do not pile up without end."""
    planned = schedule(concurrency=2)
    taken = 0
    running = set[int]()
    while not isinstance(action := planned.next(), Wait) or running - {0}:
        match action:
            case Take():
                planned.took("x")
                taken += 1
            case Start(index=index):
                running.add(index)
            case Wait():
                planned.answered(index := max(running), ANSWER)
                running.discard(index)

    assert taken == 8


def test_a_failure_is_a_result_and_ends_nothing() -> None:
    """The others go on, and the program is handed the error or raises it by a name that says so."""
    planned = schedule(concurrency=1)
    play(planned, 1)
    planned.failed(0, FAILURE)
    action = planned.next()

    assert isinstance(action, HandOut)
    assert (action.result.request, action.result.response, action.result.error) == ("number 0", None, FAILURE)
    with pytest.raises(onplan.ServerError):
        action.result.response_or_raise()
    assert isinstance(planned.next(), Take)


def test_a_request_that_cannot_be_sent_is_a_failure_of_its_own() -> None:
    """Nothing is started for it."""
    planned = schedule()
    assert isinstance(planned.next(), Take)
    planned.took([5])
    action = planned.next()

    assert isinstance(action, HandOut)
    assert isinstance(action.result.error, onplan.InvalidRequestError)


def test_repairs_want_something_to_repair() -> None:
    """A request without a format has none, and is a failure of its own."""
    planned = schedule(repairs=1)
    planned.next()
    planned.took("hi")
    action = planned.next()

    assert isinstance(action, HandOut)
    assert "no response_format" in str(action.result.error)


def test_at_a_limit_all_stop() -> None:
    """What runs goes on to its end; the rest get the same error and are not asked."""
    planned = schedule(concurrency=2)
    play(planned, 2)
    planned.failed(0, LIMIT)
    planned.answered(1, ANSWER)
    handed = []
    for request in ("third", "fourth"):
        while isinstance(action := planned.next(), HandOut):
            handed.append(action.result)
        assert isinstance(action, Take)
        planned.took(request)
    planned.exhausted()
    while isinstance(action := planned.next(), HandOut):
        handed.append(action.result)

    assert isinstance(action, End)
    assert [result.error for result in handed] == [LIMIT, None, LIMIT, LIMIT]


@pytest.mark.parametrize("limit", [LIMIT, onplan.BudgetError("enough", resets_at=NOW + 90)])
def test_a_limit_is_waited_for_once(limit: onplan.LimitError) -> None:
    """Those that met it are asked again in their order, before others are taken."""
    planned = schedule(concurrency=2, on_limit="wait")
    play(planned, 2)
    planned.failed(1, limit)
    reset = planned.next()
    assert isinstance(reset, Reset)
    assert next(reset.flow) == Authorize()  # it asks what is left, at once
    planned.failed(0, limit)
    assert isinstance(planned.next(), Wait)
    planned.reset()

    assert play(planned, 2)[0] == [0, 1]


def test_a_limit_that_the_plan_does_not_tell_of_is_waited_for_all_the_same() -> None:
    """A model may have its own: if the plan seems available, the next wait is for that of the error."""
    planned = schedule(concurrency=1, on_limit="wait")
    play(planned, 1)
    pauses = []
    for limit in (LIMIT, LIMIT, *[onplan.UsageLimitError("used up")] * 7):
        planned.failed(0, limit)
        reset = planned.next()
        if not isinstance(reset, Reset):
            break
        step = next(reset.flow)
        pauses.append(step.seconds if isinstance(step, Sleep) else 0)
        planned.reset()
        assert isinstance(planned.next(), Start)

    assert pauses == [0, 91, 4, 8, 16, 32, 64, 128]
    assert isinstance(reset, HandOut)  # it is not waited for again
    assert isinstance(reset.result.error, onplan.UsageLimitError)


def test_an_answer_shows_that_waiting_helped() -> None:
    """The next limit is asked about at once, as the first one was."""
    planned = schedule(concurrency=1, on_limit="wait")
    for index in (0, 1):
        assert isinstance(planned.next(), Take)
        planned.took("x")
        assert isinstance(planned.next(), Start)
        planned.failed(index, LIMIT)
        reset = planned.next()
        assert isinstance(reset, Reset)
        assert next(reset.flow) == Authorize()
        planned.reset()
        assert isinstance(planned.next(), Start)
        planned.answered(index, ANSWER)
        assert isinstance(planned.next(), HandOut)


def test_a_failure_to_wait_is_what_becomes_of_the_rest() -> None:
    """Such as a sign-in that has ended in the meantime."""
    planned = schedule(concurrency=2, on_limit="wait")
    play(planned, 2)
    planned.failed(0, LIMIT)
    planned.next()
    ended = onplan.SignInAgainError("ended")
    planned.not_reset(ended)
    planned.answered(1, ANSWER)
    results = [action.result for action in (planned.next(), planned.next()) if isinstance(action, HandOut)]

    assert [result.error for result in results] == [ended, None]
    assert isinstance(planned.next(), Take)
    planned.exhausted()
    assert isinstance(planned.next(), End)


def test_a_pause_is_no_longer_than_five_minutes() -> None:
    """A reset credit, or another plan, may end the wait early."""
    planned = schedule(concurrency=1, on_limit="wait")
    play(planned, 1)
    pauses = []
    for _ in range(2):
        planned.failed(0, onplan.UsageLimitError("used up", resets_at=NOW + 9_000))
        reset = planned.next()
        assert isinstance(reset, Reset)
        step = next(reset.flow)
        pauses.append(step.seconds if isinstance(step, Sleep) else 0)
        planned.reset()
        assert isinstance(planned.next(), Start)

    assert pauses == [0, 300]


def test_keywords_are_for_requests_that_do_not_say_them() -> None:
    """A request's own fields win, and the keywords win over the client's defaults."""
    planned = schedule({"model": "gpt-5.6", "reasoning_effort": "low"}, concurrency=2)
    given = onplan.CompletionRequest(messages="hi", reasoning_effort="high")
    asked = []
    for request in ("hi", given):
        planned.next()
        planned.took(request)
        action = planned.next()
        assert isinstance(action, Start)
        step = next(action.flow)
        assert isinstance(step, Prepare)
        asked.append((step.request.model, step.request.reasoning_effort))

    assert asked == [("gpt-5.6", "low"), ("gpt-5.6", "high")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": True}, "concurrency is True"),
        ({"concurrency": "8"}, "concurrency is '8'"),
        ({"on_limit": "pause"}, "neither stop nor wait"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors_at_once(options: Any, words: str) -> None:
    """Before any request is taken."""
    with pytest.raises(onplan.ConfigurationError, match=words):
        schedule(**options)


def test_a_wrong_keyword_is_an_error_at_once() -> None:
    """It is wrong for all requests, so it is not an error of each."""
    for fields in ({"modle": "x"}, {"model": 5}, {"messages": "hi"}):
        with pytest.raises(onplan.InvalidRequestError):
            schedule(fields)


def test_a_limit_that_nothing_tells_of_cannot_be_waited_for() -> None:
    """Only a backend that says what is left says when it is there again."""
    context = Context(backend=BACKENDS["chatgpt-plan"], base_url="https://example.com", now=lambda: NOW)

    with pytest.raises(onplan.ConfigurationError, match="does not say when a limit resets"):
        Schedule[str](context, {}, on_limit="wait")


def test_only_conversations_have_websockets() -> None:
    """A request without a session_id goes over pooled HTTP, unless only WebSocket is wanted."""
    for allowed, session_id, expected in ((True, None, False), (True, "s", True), (False, None, True)):
        fallback = Fallback(allowed=allowed)
        context = Context(backend=OPENAI_CODEX, base_url="x", now=lambda: NOW, fallback=fallback)
        request = onplan.CompletionRequest(messages="hi", session_id=session_id)
        assert (context_alone(request, context).fallback is fallback) is expected


@pytest.mark.parametrize(
    "given",
    [
        "abc",
        b"abc",
        {"role": "user"},
        None,
        3,
        onplan.Message.user("hi"),
        onplan.CompletionRequest(messages=""),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_single_request_is_not_taken_for_many(given: Any) -> None:
    """A string would be asked letter by letter."""
    with pytest.raises(onplan.InvalidRequestError, match="several requests") as caught:
        require_many(given)
    assert "[request]" in caught.value.hint


@pytest.mark.parametrize(
    "given", [[], ("a",), iter("ab"), {"a": 1}.keys()], ids=lambda given: type(given).__name__
)
def test_whatever_holds_requests_is_taken(given: Any) -> None:
    """Lists, tuples, iterators and views."""
    require_many(given)


def test_a_result_may_be_named_without_the_type_of_its_value() -> None:
    """Also in a program that is running, whatever its Python."""
    assert MapResult[str] == MapResult[str, Any]
    assert MapResult[str, int](0, "hi") == MapResult(0, "hi")
