"""What is known of a turn while it is carried out: its call, its account, and what the plan has left."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from onplan.errors import ConnectError, OnplanError
from onplan.flow import Request
from onplan.responses.continuation import Continuation, Create
from onplan.service.observed import Observed
from onplan.turn.catalogue_cache import account_of
from onplan.turn.steps import (
    Authorize,
    Emit,
    Head,
    Join,
    Joined,
    Prepare,
    ReadEvents,
    Refresh,
    Send,
    Sleep,
)
from onplan.types import CompletionRequest, OAuthCredentials

FIRST = OAuthCredentials(access_token="secret-1", account_id="acct-1")
SECOND = OAuthCredentials(access_token="secret-2", account_id="acct-2")
LEFT = {"x-codex-primary-used-percent": "12"}


class Incoming:
    """An answer whose events say what the plan has left."""

    def __init__(self, told: dict[str, str]) -> None:
        self.limits_in_events = told


def steps(*given: Any) -> Generator[Any, Any, list[Any]]:
    """A turn of these steps, which returns their outcomes; a step that fails has its error."""
    outcomes = []
    for step in given:
        try:
            outcomes.append((yield step))
        except OnplanError as error:
            outcomes.append(error)
    return outcomes


def run(observed: Observed, *pairs: tuple[Any, Any]) -> list[Any]:
    """Carry out these steps with these outcomes; what the turn returns."""
    flow = observed.follow(steps(*(step for step, _ in pairs)))
    step: Any = next(flow)
    for expected, outcome in pairs:
        assert step is expected
        try:
            step = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
        except StopIteration as stop:
            result: list[Any] = stop.value
            return result
    raise AssertionError("the turn has not ended")


REQUEST = Request("POST", "https://example.org/responses")
JOIN = Join(REQUEST, "session-1", Create(b'{"input": []}'), fresh=False, fitting=False)


# --- the flow ---


def test_the_turn_is_the_same() -> None:
    """Each step comes out, each outcome and each failure goes in, and its result is its own."""
    error = ConnectError("x")
    outcomes = [FIRST, None, error, "done"]
    pairs = list(zip([Authorize(), Sleep(1.0, error), Authorize(), Emit([])], outcomes, strict=True))
    assert run(Observed(), *pairs) == outcomes


def test_a_failure_that_ends_the_turn_is_raised() -> None:
    """As it was thrown in, also where it is no error of onplan's."""

    def turn() -> Generator[Any, Any, None]:
        yield Authorize()

    for error in (ConnectError("x"), KeyboardInterrupt()):
        flow = Observed().follow(turn())
        next(flow)
        with pytest.raises(type(error)) as caught:
            flow.throw(error)
        assert caught.value is error


def test_a_turn_that_is_given_up_is_closed() -> None:
    """What it holds is free at once, not when garbage is collected."""
    closed = []

    def turn() -> Generator[Any, Any, None]:
        try:
            yield Authorize()
        finally:
            closed.append(True)

    inner = turn()  # which is held, so that it is no garbage
    flow = Observed().follow(inner)
    next(flow)
    flow.close()
    assert closed == [True]


# --- what is noted ---


def test_the_call_and_the_account_are_noted() -> None:
    """The account is that of the latest credentials, also after a refresh."""
    observed, call = Observed(), object()
    assert (observed.call, observed.account) == (None, "")
    prepare = Prepare(CompletionRequest(messages="Hi"), "gpt-5.5")
    run(observed, (prepare, call), (Authorize(), FIRST))
    assert observed.call is call
    assert observed.account == account_of(FIRST)
    run(observed, (Refresh("secret-1"), SECOND))
    assert observed.account == account_of(SECOND)


def test_a_step_that_fails_tells_nothing() -> None:
    """What was known before still counts."""
    observed = Observed(account="of before")
    run(observed, (Authorize(), ConnectError("x")))
    assert observed.account == "of before"


def test_headers_are_those_of_the_latest_answer() -> None:
    """Of them the client is told what the plan has left."""
    observed = Observed()
    assert observed.limit_headers == {}
    run(observed, (Send(REQUEST), Head(200, {**LEFT, "x-request-id": "req-1"})))
    assert observed.limit_headers == LEFT
    run(observed, (Send(REQUEST), Head(200, {})))
    assert observed.limit_headers == {}


@pytest.mark.parametrize(
    ("joined", "told"),
    [
        (Joined(Head(101, LEFT), Continuation(), warm=False), LEFT),
        (Joined(Head(101, LEFT), Continuation(), warm=True), {}),
        (None, {"x-codex-plan-type": "of before"}),
    ],
    ids=["new", "warm", "none"],
)
def test_what_a_websocket_was_opened_with_is_no_news_later(
    joined: Joined | None, told: dict[str, str]
) -> None:
    """Where there is none, nothing was answered."""
    observed = Observed(headers={"x-codex-plan-type": "of before"})
    run(observed, (JOIN, joined))
    assert observed.limit_headers == told


def test_events_say_it_later_than_headers() -> None:
    """They are read while they arrive; the state of the turn is onplan's own to send."""
    observed = Observed(headers={**LEFT, "x-codex-plan-type": "plus", "x-codex-turn-state": "secret"})
    reading = ReadEvents(Incoming({"x-codex-primary-used-percent": "13"}))  # type: ignore[arg-type]
    flow = observed.follow(steps(reading))
    next(flow)
    assert observed.limit_headers == {"x-codex-primary-used-percent": "13", "x-codex-plan-type": "plus"}


def test_headers_are_not_printed() -> None:
    """They may hold more than limits."""
    assert "secret" not in repr(Observed(headers={"a": "secret"}))
