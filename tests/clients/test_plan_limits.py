"""What the plan has left: with each answer, and when it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

import onplan
from onplan.emulator import Emulator


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
