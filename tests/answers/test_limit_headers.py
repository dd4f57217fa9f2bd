"""What the plan has left, as the headers of an answer and the events in it tell."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.plan.states import NOW, STATES, State

from onplan.answers.limits import headers_of_event, limits_of_headers
from onplan.types import Credits, Limits


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_headers_are_read(state: State) -> None:
    """In each of the seven states: what is told is there, and what cannot be read is left out."""
    expected = state.of_headers or state.limits

    assert limits_of_headers(state.headers, NOW) == replace(expected, read_at=NOW)


def test_the_shorter_window_comes_first() -> None:
    """Wherever it is told; one of unknown length comes last."""
    told = {"primary": "10080", "secondary": "300"}
    headers = {f"x-codex-{which}-window-minutes": minutes for which, minutes in told.items()}
    used = {f"x-codex-{which}-used-percent": "5" for which in told}

    for unknown, lengths in ({}, [300, 10080]), ({"x-codex-primary-window-minutes": ""}, [300, None]):
        found = limits_of_headers({**headers, **used, **unknown})
        assert found
        assert [window.minutes for window in found.windows] == lengths


def test_what_is_told_again_is_read_anew() -> None:
    """Each answer has limits of its own, and the time when they came, though the headers are the same."""
    headers = {"x-codex-primary-used-percent": "5", "x-codex-primary-window-minutes": "300"}
    first, second = limits_of_headers(headers, 1.0), limits_of_headers(headers, 2.0)
    assert first
    assert second
    first.windows.clear()  # a program may do that
    assert (first.read_at, second.read_at) == (1.0, 2.0)
    assert [window.minutes for window in second.windows] == [300]
    other = limits_of_headers({**headers, "x-bengalfox-primary-used-percent": "7"})
    assert other
    assert [meter.id for meter in other.meters] == ["bengalfox"]


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_events_are_read(state: State) -> None:
    """An event in the stream says the same as the headers, and is read by the same rules."""
    event = state.event
    said = headers_of_event(
        event.get("metered_limit_name"), event["plan_type"], event["rate_limits"], event["credits"]
    )

    assert limits_of_headers(said) == (state.of_event or state.of_headers or state.limits)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/event-stream", "x-request-id": "req_1", "x-ratelimit-limit-requests": "60"},
        {"x-codex-primary-used-percent": "", "x-codex-plan-type": "", "x-codex-credits-balance": ""},
        {"x-codex-primary-used-percent": "0", "x-codex-primary-window-minutes": "0"},
        {"x-codex-turn-state": "t"},
        {"x-codex-credits-has-credits": " ", "x-codex-credits-unlimited": " "},
    ],
)
def test_headers_that_say_nothing_of_it(headers: dict[str, str]) -> None:
    """An answer without limits has none, rather than a plan of which nothing is used."""
    assert limits_of_headers(headers, NOW) is None


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ({"x-codex-credits-has-credits": "true"}, Credits(True, False, None)),
        ({"x-codex-credits-unlimited": "True"}, Credits(False, True, None)),
        ({"x-codex-credits-balance": "1.5"}, Credits(False, False, 1.5)),
        ({"x-codex-credits-has-credits": "1", "x-codex-credits-unlimited": "0"}, Credits(True, False, None)),
        ({"x-codex-credits-has-credits": " true "}, Credits(True, False, None)),
        ({"x-codex-credits-has-credits": "false"}, Credits(False, False, None)),
    ],
    ids=str,
)
def test_each_header_of_credits_counts(headers: dict[str, str], read: Credits) -> None:
    """One of them is enough."""
    found = limits_of_headers(headers, NOW)
    assert found
    assert found.credits == read


@pytest.mark.parametrize("value", [None, [], {}, "", "x", True, -1, 1e308, 10**400, float("nan"), "Infinity"])
def test_no_value_of_an_event_is_too_odd(value: Any) -> None:
    """Whatever stands in the place of a field, reading it ends."""
    window = {"used_percent": value, "window_minutes": value, "reset_at": value}
    credit = {"has_credits": value, "unlimited": value, "balance": value}
    for windows in (value, {"primary": value}, {"primary": window, "secondary": window}):
        read = limits_of_headers(headers_of_event(value, value, windows, credit), NOW) or Limits()
        for found in read.windows:
            assert 0 <= found.used_percent <= 100
            assert found.resets_at is None
