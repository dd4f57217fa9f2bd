"""Which allowance is used up, as the backend's headers tell it."""

from __future__ import annotations

import msgspec
import pytest

from onplan.errors import UsageLimitError
from onplan.responses.failures import failure_of_response
from onplan.responses.limits import Limit, limit_reached, window_name
from onplan.wire import Response

FIVE_HOURS = {
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1800000000",
}
WEEK = {
    "x-codex-secondary-used-percent": "100.0",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-at": "1800500000",
}


@pytest.mark.parametrize(
    ("minutes", "name"),
    [
        (60, "hourly"),
        (300, "5-hour"),
        (1_440, "daily"),
        (10_080, "weekly"),
        (43_200, "30-day"),
        (90, "90-minute"),
    ],
)
def test_a_window_is_named_by_its_length(minutes: int, name: str) -> None:
    """Not by its place: either may be the week."""
    assert window_name(minutes) == name


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({}, None),
        ({"x-codex-primary-used-percent": "12.5", "x-codex-primary-window-minutes": "300"}, None),
        (FIVE_HOURS, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, **WEEK}, Limit(10_080, 1_800_500_000.0)),
        ({**FIVE_HOURS, "x-codex-primary-reset-at": ""}, Limit(300)),
        ({**FIVE_HOURS, "x-codex-primary-window-minutes": "nan"}, Limit(None, 1_800_000_000.0)),
        ({**FIVE_HOURS, "x-codex-primary-used-percent": "False"}, None),
        ({"x-codex-active-limit": "codex_other"}, None),
        (
            {"x-codex-active-limit": "codex_other", "x-codex-other-limit-name": "Other"},
            Limit(meter="Other"),
        ),
        (
            {"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"},
            Limit(credits_of="member"),
        ),
        (
            {"x-codex-rate-limit-reached-type": "rate_limit_reached", **FIVE_HOURS},
            Limit(300, 1_800_000_000.0),
        ),
    ],
)
def test_the_one_that_is_used_up_is_found(headers: dict[str, str], limit: Limit | None) -> None:
    """Of two windows that are, the one which resets last; values that are no numbers say nothing."""
    assert limit_reached(headers) == limit


def test_it_is_told_in_words() -> None:
    """The sentence says which limit and whose; the advice depends on the plan."""
    assert Limit(300).sentence("plus") == "The 5-hour usage limit of the plus plan is reached"
    assert Limit().sentence(None) == "The usage limit of the ChatGPT plan is reached"
    assert Limit(10_080, meter="Other").sentence("plus") == "The weekly usage limit for Other is reached"
    assert "admin" in Limit(300).advice("team")
    assert "upgrade to Plus" in Limit(300).advice("free")
    assert "settings/usage" in Limit(300).advice("moonshot")


@pytest.mark.parametrize(
    "error",
    [
        {"plan_type": 5},
        {"resets_at": 10**400},
        {"resets_at": "soon"},
        {"resets_in_seconds": 1e300},
    ],
)
def test_nonsense_in_a_limit_is_left_out(error: dict[str, object]) -> None:
    """Whatever stands beside it, a used-up allowance is told as one."""
    body = msgspec.json.encode({"error": {"type": "usage_limit_reached", **error}})

    failure = failure_of_response(Response(429, {}, body), 0.0)
    assert isinstance(failure, UsageLimitError)
    assert failure.message


def test_an_error_in_a_list_is_read() -> None:
    """One server wraps its error in a list."""
    body = b'[{"error": {"code": 400, "message": "API key not valid"}}]'

    assert failure_of_response(Response(400, {}, body), 0.0).message == "API key not valid"
