"""Windows and limits as values: their names, their times, and whether the plan answers now."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.plan.states import (
    CREDITS_ONLY,
    FRESH,
    HALF,
    IN_AN_HOUR,
    IN_THREE_DAYS,
    IN_TWO_HOURS,
    NO_WINDOWS,
    PREMIUM_429,
    WEEKLY_ONLY,
    windows,
)

import onplan
from onplan.types import Credits, Limits, SpendingLimit, Window

FULL = (100, 300, IN_AN_HOUR)
SOME = Credits(has_credits=True, balance=3)
BOTH_FULL = windows((100, 300, IN_TWO_HOURS), (100, 10_080, IN_THREE_DAYS))


def test_a_window_says_when_it_resets() -> None:
    """As the number that came, and as a datetime that knows its time zone."""
    window = Window(300, 12.5, 1_800_003_600)

    assert (window.name, window.left_percent, window.is_used_up) == ("5-hour", 87.5, False)
    assert window.reset_time == datetime(2027, 1, 15, 9, tzinfo=UTC)
    assert SpendingLimit(resets_at=1_800_003_600.0).reset_time == window.reset_time
    assert onplan.UsageLimitError("No.", resets_at=1_800_003_600).reset_time == window.reset_time


@pytest.mark.parametrize("resets_at", [None, -1.0, 1e300, float("nan"), float("inf")])
def test_a_time_that_is_none_is_no_error(resets_at: float | None) -> None:
    """What no date can be made of is unknown."""
    assert Window(300, 1.0, resets_at).reset_time is None
    assert onplan.OnplanError("No.", resets_at=resets_at).reset_time is None


def test_a_window_is_found_by_its_length() -> None:
    """By its minutes, wherever the backend put it; a plan may lack it."""
    assert WEEKLY_ONLY.limits.window(10_080) == WEEKLY_ONLY.limits.windows[0]
    assert WEEKLY_ONLY.limits.window(300) is None
    names = [Window(minutes, 1.0).name for minutes in (None, 60, 300, 1_440, 43_200, 90)]
    assert names == ["usage", "hourly", "5-hour", "daily", "30-day", "90-minute"]


@pytest.mark.parametrize(
    ("limits", "available", "resets_at"),
    [
        *((state.limits, True, None) for state in (FRESH, HALF, WEEKLY_ONLY, NO_WINDOWS, CREDITS_ONLY)),
        (PREMIUM_429.limits, False, IN_AN_HOUR),
        # Both are used up: the one that resets last is in the way.
        (Limits(windows=BOTH_FULL), False, IN_THREE_DAYS),
        (Limits(windows=windows((100, 300, None))), False, None),
        (Limits(windows=windows((99.4, 300, IN_AN_HOUR))), True, None),
        # A whole number may hide that it is full.
        (
            Limits(windows=windows((99, 300, IN_AN_HOUR), (5, 10_080, IN_THREE_DAYS)), is_allowed=False),
            False,
            IN_AN_HOUR,
        ),
        (Limits(is_allowed=False), False, None),
        (Limits(windows=windows(FULL), is_allowed=True), True, None),
        # Credits pay once a window is used up, if there are some and they may be spent.
        (Limits(windows=windows(FULL), credits=SOME), True, None),
        (Limits(windows=windows(FULL), credits=Credits(unlimited=True)), True, None),
        (
            Limits(windows=windows(FULL), credits=Credits(has_credits=True, balance=0)),
            False,
            IN_AN_HOUR,
        ),
        (
            Limits(
                windows=windows(FULL),
                credits=Credits(has_credits=True, balance=3, overage_limit_reached=True),
            ),
            False,
            IN_AN_HOUR,
        ),
        (Limits(windows=windows((5, 300, None)), spending=SpendingLimit(reached=True)), False, None),
        (Limits(reached="workspace_member_credits_depleted", credits=Credits(has_credits=True)), False, None),
    ],
)
def test_whether_the_plan_answers_now(limits: Limits, available: bool, resets_at: float | None) -> None:
    """It does unless a window is used up and nothing else pays; then a window has to reset."""
    assert limits.is_available is available
    assert (limits.blocking.resets_at if limits.blocking else None) == resets_at
