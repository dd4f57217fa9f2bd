"""When a window runs out at the present pace."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from onplan.plan.forecast import Forecast, forecast
from onplan.types import Limits, Window

from .states import NOW

HOUR = 3600.0
START = NOW - 2 * HOUR  # of a 5-hour window of which two hours have passed
RESETS_AT = START + 5 * HOUR


def reading(
    used: float, at: float = NOW, resets_at: float | None = RESETS_AT, minutes: int | None = 300
) -> Limits:
    return Limits(windows=[Window(minutes, used, resets_at)], read_at=at)


@pytest.mark.parametrize(
    ("readings", "pace", "runs_out_at"),
    [
        # One reading: the pace since the window began.
        ([reading(50)], 25.0, NOW + 2 * HOUR),
        ([reading(30)], 15.0, None),  # it resets before
        ([reading(0)], 0.0, None),
        ([reading(99.6)], None, NOW),
        # Just begun, or of unknown length, or without a time: nothing is known yet.
        ([reading(5, at=START + 60)], None, None),
        ([reading(5, at=START + 299.5)], None, None),
        ([reading(5, at=START + 300)], 60.0, START + 6_000),
        ([reading(50, resets_at=None)], None, None),
        ([reading(50, minutes=None)], None, None),
        # Several: the pace of the last hour.
        ([reading(40, NOW - HOUR), reading(60)], 20.0, NOW + 2 * HOUR),
        ([reading(60), reading(40, NOW - HOUR)], 20.0, NOW + 2 * HOUR),
        ([reading(58, NOW - HOUR / 2), reading(60)], 4.0, None),
        ([reading(60, NOW - HOUR / 2), reading(60)], 0.0, None),
        ([reading(10, NOW - 1.5 * HOUR), reading(58, NOW - HOUR / 2), reading(60)], 4.0, None),
        ([reading(10, NOW - HOUR - 0.5), reading(50)], 25.0, NOW + 2 * HOUR),
        ([reading(50, resets_at=NOW + 2.5 * HOUR)], 20.0, None),  # it lasts exactly
        ([reading(49, NOW - 300), reading(50)], 12.0, None),
        ([reading(40, NOW - HOUR), reading(60, resets_at=None)], 20.0, NOW + 2 * HOUR),
        ([reading(49, NOW - 299.5), reading(50)], 25.0, NOW + 2 * HOUR),
        ([reading(40, NOW - HOUR, RESETS_AT + 120), reading(50)], 10.0, None),  # the same window
        ([reading(40, NOW - HOUR, RESETS_AT + 120.5), reading(50)], 25.0, NOW + 2 * HOUR),
        # Within five minutes a whole per cent may be rounding.
        ([reading(49, NOW - 60), reading(50)], 25.0, NOW + 2 * HOUR),
        # The window before has nothing to do with it; its reset time varies by a little.
        ([reading(90, NOW - HOUR, NOW - 0.5 * HOUR), reading(50)], 25.0, NOW + 2 * HOUR),
        ([reading(10, NOW - HOUR, RESETS_AT - HOUR), reading(50)], 25.0, NOW + 2 * HOUR),
        ([reading(40, NOW - HOUR, RESETS_AT + 60), reading(60)], 20.0, NOW + 2 * HOUR),
        ([reading(40, NOW - HOUR, None), reading(60)], 20.0, NOW + 2 * HOUR),
        # Without a reset time it runs out some day.
        ([reading(40, NOW - HOUR, None), reading(60, resets_at=None)], 20.0, NOW + 2 * HOUR),
        # Another window in between says nothing of this one.
        (
            [reading(40, NOW - HOUR), reading(5, NOW - HOUR / 2, minutes=10_080), reading(50)],
            25.0,
            NOW + 2 * HOUR,
        ),
    ],
)
def test_the_pace(readings: list[Limits], pace: float | None, runs_out_at: float | None) -> None:
    """It is that of the last hour where readings cover some of it, else that since the window began."""
    window = max(readings, key=lambda each: each.read_at or 0).windows[0]
    [found] = forecast(readings)

    assert found.window == window
    assert found.percent_per_hour == (None if pace is None else pytest.approx(pace))
    assert found.runs_out_at == (None if runs_out_at is None else pytest.approx(runs_out_at))


def test_one_reading_is_enough() -> None:
    """The limits of an answer can be given as they are; each window has its own forecast."""
    limits = Limits(windows=[Window(300, 50.0, RESETS_AT), Window(10_080, 1.0, NOW + 24 * HOUR)], read_at=NOW)

    five_hours, week = forecast(limits)

    assert five_hours.run_out_time == datetime(2027, 1, 15, 10, tzinfo=UTC)
    assert (week.runs_out_at, week.run_out_time) == (None, None)


def test_without_readings() -> None:
    """Of nothing there is no forecast, and of a reading without a time none that says when."""
    assert forecast([]) == []
    assert forecast(Limits()) == []
    assert forecast(Limits(windows=[Window(300, 50.0, RESETS_AT)])) == [
        Forecast(Window(300, 50.0, RESETS_AT))
    ]
