"""What the plan has left: with each answer, and when it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator, Limit


@pytest.mark.codex
def test_an_answer_says_what_the_plan_has_left(signed_in: Emulator, driver: Any) -> None:
    """Read from the headers of the answer, or from the event that comes over a WebSocket."""
    limits = driver().complete("hi").limits

    assert limits.plan == "plus"
    assert [(window.name, window.used_percent) for window in limits.windows] == [
        ("5-hour", 12.5),
        ("weekly", 34),
    ]
    assert all(window.reset_time > limits.windows[0].reset_time for window in limits.windows[1:])
    assert limits.credits == onplan.Credits()
    assert limits.read_at is not None


@pytest.mark.parametrize("driver", ["sync", "async", "plan-sync", "plan-async"], indirect=True)
def test_an_answer_that_says_nothing_of_it(signed_in: Emulator, driver: Any) -> None:
    """Many answers come without those headers: then nothing is known, and nothing made up."""
    signed_in.arm("limit_headers_absent")

    assert driver().complete("hi").limits is None


# --- asked for ------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("driver", ["sync", "async"], indirect=True)
PLANS = pytest.mark.parametrize("driver", ["plan-sync", "plan-async"], indirect=True)


@BOTH
def test_what_is_left_is_asked_for(signed_in: Emulator, driver: Any) -> None:
    """Both clients ask the usage endpoint, which no model is asked for."""
    limits = driver().limits()

    assert [(window.minutes, window.used_percent) for window in limits.windows] == [(300, 12), (10_080, 34)]
    assert (limits.plan, limits.is_available, limits.reset_credits) == ("plus", True, 0)
    assert [row["path"] for row in signed_in.journal()] == ["/backend-api/wham/usage"]


@BOTH
def test_a_refused_token_is_refreshed_once(signed_in: Emulator, driver: Any) -> None:
    """As for a turn: the token manager gets one refresh, and the request goes out again."""
    signed_in.expire_access_tokens()

    assert driver().limits().windows
    assert [row["path"] for row in signed_in.journal()] == [
        "/backend-api/wham/usage",
        "/oauth/token",
        "/backend-api/wham/usage",
    ]


@BOTH
@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("usage_only_week", [("weekly", 34)]),
        ("usage_fractions", [("5-hour", 12.5), ("weekly", 34.5)]),
        ("usage_fresh", [("5-hour", 0), ("weekly", 0)]),
        ("usage_nulls", []),
        ("usage_credits_only", []),
        ("usage_odd", [("usage", 34.25)]),
        ("usage_unknown_plan", [("5-hour", 12), ("weekly", 34)]),
    ],
)
def test_odd_answers_are_read(signed_in: Emulator, driver: Any, fault: str, found: list[Any]) -> None:
    """Whatever the service was seen to answer, and more."""
    signed_in.arm(fault)

    assert [(window.name, window.used_percent) for window in driver().limits().windows] == found


@BOTH
def test_a_failing_server_is_asked_again(signed_in: Emulator, driver: Any) -> None:
    """By the client's retry policy."""
    signed_in.arm("usage_500")

    assert driver(retry=onplan.RetryPolicy(wait_initial=0.001)).limits().windows


@PLANS
def test_the_other_plan_backend_does_not_say(signed_in: Emulator, driver: Any) -> None:
    """Where there is no such endpoint, nothing is sent and the error says where to look."""
    for ask in (driver().limits, driver().wait, driver(max_window_share=0.2).limits):
        with pytest.raises(onplan.ConfigurationError, match="does not say"):
            ask()
    assert signed_in.journal() == []


# --- waited for -----------------------------------------------------------------------------------------


@BOTH
def test_waiting_ends_with_the_reset(signed_in: Emulator, driver: Any) -> None:
    """The client sleeps until the window has reset, and tells the program so before it does."""
    signed_in.set_limits(Limit(300, tokens=10, used=10, resets_in=1))
    told: list[tuple[onplan.OnplanError, float]] = []

    limits = driver(on_retry=lambda error, seconds: told.append((error, seconds))).wait(60)

    assert limits.windows[0].used_percent == 0
    assert told
    assert all(isinstance(error, onplan.UsageLimitError) for error, _ in told)
    assert len(signed_in.journal()) == len(told) + 1


@BOTH
def test_waiting_is_not_bounded_by_the_time_of_a_turn(signed_in: Emulator, driver: Any) -> None:
    """``Timeouts(total=…)`` is for turns; a wait has its own bound."""
    signed_in.set_limits(Limit(300, tokens=10, used=10, resets_in=1))

    assert driver(timeout=onplan.Timeouts(total=0.5)).wait().is_available


@BOTH
def test_a_reset_that_is_too_late_is_not_waited_for(signed_in: Emulator, driver: Any) -> None:
    """The error comes at once, and says when it resets."""
    signed_in.set_limits(Limit(300, tokens=10, used=10, resets_in=3600))

    with pytest.raises(onplan.UsageLimitError) as caught:
        driver().wait(60)

    assert (caught.value.window_minutes, len(signed_in.journal())) == (300, 1)


async def test_a_wait_can_be_cancelled(signed_in: Emulator) -> None:
    """The task ends at once, and the client works on."""
    signed_in.set_limits(Limit(300, tokens=10, used=10, resets_in=3600))
    waits = asyncio.Event()
    async with onplan.AsyncClient(on_retry=lambda error, seconds: waits.set()) as client:
        waiting = asyncio.create_task(client.wait_until_available())
        await waits.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        signed_in.set_limits()
        assert (await client.wait_until_available(0)).is_available


# --- kept within a budget -------------------------------------------------------------------------------


def until_it_stops(client: onplan.Client) -> tuple[int, onplan.BudgetError]:
    """How many requests pass, and the error that ends them."""
    for asked in range(100):
        try:
            client.complete("hi", model="gpt-5.5")
        except onplan.BudgetError as error:
            return asked, error
    raise AssertionError("it never stops")


@pytest.mark.parametrize("told", [True, False], ids=["answers tell", "answers tell nothing"])
def test_a_budget_stops_before_it_is_exceeded(signed_in: Emulator, told: bool) -> None:
    """A client with a fifth of a window never uses more of it, whatever was used before it began."""
    signed_in.set_limits(Limit(300, tokens=2000, used=1000), Limit(10_080, tokens=100_000))
    if not told:
        signed_in.arm("limit_headers_absent", times=100)

    with onplan.Client(max_window_share=0.2) as client:
        asked, error = until_it_stops(client)
        left = client.limits()

    assert asked > 3
    assert 60 < left.windows[0].used_percent <= 70
    assert error.message.startswith(
        "The budget of this client, 20% of the 5-hour window, is used up; it resets"
    )
    assert error.window_minutes == 300
    assert error.resets_at == pytest.approx(left.windows[0].resets_at, abs=2)  # whole seconds from now
    assert sum(row["method"] == "POST" for row in signed_in.journal()) == asked


async def test_a_budget_holds_for_many_at_once(signed_in: Emulator) -> None:
    """Of requests under way at the same time no more are let through than there is room for."""
    signed_in.set_limits(Limit(300, tokens=2000))
    async with onplan.AsyncClient(max_window_share=0.3, transport="sse") as client:
        for _ in range(3):
            await client.complete("hi", model="gpt-5.5")
        many = (client.complete("hi", model="gpt-5.5") for _ in range(50))
        results = await asyncio.gather(*many, return_exceptions=True)
        left = await client.limits()

    kinds = {type(result) for result in results}
    assert kinds == {onplan.CompletionResponse, onplan.BudgetError}
    assert left.windows[0].used_percent <= 30


async def test_a_budget_that_is_used_up_can_be_waited_for(signed_in: Emulator) -> None:
    """When the window has reset the client goes on by itself."""
    signed_in.set_limits(Limit(1, tokens=1000, resets_in=2))
    async with onplan.AsyncClient(max_window_share=0.01, transport="sse") as client:
        await client.complete("hi", model="gpt-5.5")
        with pytest.raises(onplan.BudgetError):
            await client.complete("hi", model="gpt-5.5")
        await client.wait_until_available(60)

        assert (await client.complete("hi", model="gpt-5.5")).text
