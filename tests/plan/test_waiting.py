"""How long is waited until the plan answers again, and when waiting is no use."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.errors import (
    ConfigurationError,
    ConnectError,
    OnplanError,
    SignInAgainError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.plan.waiting import availability

from .account_flow import Backend
from .states import CREDITS_ONLY, FRESH, HALF, NO_WINDOWS, NOW, PREMIUM_429, State, usage

SOON = NOW + 100
USED_UP = usage((100, 300, SOON), (34, 10_080, NOW + 259_200), allowed=False)
NEVER_TOLD = usage((100, 300, None), allowed=False)


def waits(backend: Backend) -> list[float]:
    return [seconds for seconds, _ in backend.waits]


@pytest.mark.parametrize("state", [FRESH, HALF, NO_WINDOWS, CREDITS_ONLY])
def test_a_plan_that_answers_is_not_waited_for(state: State) -> None:
    """One question, and no wait."""
    backend = Backend([state.usage])

    limits = backend.run(availability(backend.context(), None))

    assert limits.plan == state.limits.plan
    assert (len(backend.sent), backend.waits) == (1, [])


def test_it_is_waited_until_the_reset() -> None:
    """One wait until a moment after the reset, and one question then."""
    backend = Backend([USED_UP, FRESH.usage])

    limits = backend.run(availability(backend.context(), None))

    [(seconds, error)] = backend.waits
    assert seconds == 101
    assert isinstance(error, UsageLimitError)
    assert (error.window_minutes, error.resets_at) == (300, SOON)
    assert error.message.startswith("The 5-hour usage limit of the plus plan is reached; it resets at 20")
    assert limits.is_available


def test_a_long_wait_is_looked_after() -> None:
    """It is asked every five minutes whether something has ended the wait early."""
    backend = Backend([PREMIUM_429.usage, PREMIUM_429.usage, PREMIUM_429.usage, HALF.usage])

    backend.run(availability(backend.context(), None))

    assert waits(backend) == [300, 300, 300]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (NEVER_TOLD, [60, 60, 60]),
        (usage((100, 300, NOW - 5), allowed=False), [5, 10, 15]),
        ({"plan_type": "team", "spend_control": {"reached": True}}, [60, 60, 60]),
    ],
    ids=["no reset time", "overdue", "a member's own limit"],
)
def test_an_unknown_reset_is_asked_for_now_and_then(told: Any, expected: list[float]) -> None:
    """Never one question right after another."""
    backend = Backend([told, told, told, FRESH.usage])

    backend.run(availability(backend.context(), None))

    assert waits(backend) == expected


def test_a_reset_after_the_timeout_is_not_waited_for() -> None:
    """It is known at once that the time will not do, so the error comes at once and says until when."""
    backend = Backend([USED_UP])

    with pytest.raises(UsageLimitError) as caught:
        backend.run(availability(backend.context(), 99))

    assert (caught.value.resets_at, caught.value.window_minutes, backend.waits) == (SOON, 300, [])


def test_a_reset_at_the_very_end_of_the_timeout_is_waited_for() -> None:
    """Then it is asked once more."""
    backend = Backend([USED_UP, FRESH.usage])

    assert backend.run(availability(backend.context(), 100)).is_available
    assert waits(backend) == [100]


def test_the_timeout_bounds_the_wait() -> None:
    """The last wait ends with the timeout; what is used up then is the error."""
    backend = Backend([NEVER_TOLD])

    with pytest.raises(UsageLimitError):
        backend.run(availability(backend.context(), 100))

    assert waits(backend) == [60, 40]


def test_a_timeout_of_nothing_only_asks() -> None:
    """0 seconds: whether it answers now."""
    assert Backend([FRESH.usage]).run(availability(Backend([]).context(), 0)).is_available
    backend = Backend([NEVER_TOLD])
    with pytest.raises(UsageLimitError):
        backend.run(availability(backend.context(), 0))
    assert backend.waits == []


def test_a_passing_failure_does_not_end_the_wait() -> None:
    """Five hours are long: a network that is gone for a minute does not matter, once it was there."""
    backend = Backend([USED_UP, ConnectError("gone"), (500, {}), FRESH.usage])

    assert backend.run(availability(backend.context(), None)).is_available
    assert waits(backend) == [101, 1, 2]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([ConnectError("gone")], ConnectError),
        ([USED_UP, (404, {"detail": "Not Found"})], UnexpectedReplyError),
        ([USED_UP, (200, [])], UnexpectedReplyError),
        ([USED_UP, SignInAgainError("over")], SignInAgainError),
    ],
)
def test_other_failures_end_it(answers: list[Any], kind: type[OnplanError]) -> None:
    """One at the first question, or one that does not pass by itself."""
    backend = Backend(answers)

    with pytest.raises(kind):
        backend.run(availability(backend.context(), None))


@pytest.mark.parametrize("timeout", [-1, "60", True, float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    """Before anything is asked."""
    backend = Backend([FRESH.usage])

    with pytest.raises(ConfigurationError, match="not a number of seconds"):
        backend.run(availability(backend.context(), timeout))

    assert backend.sent == []
