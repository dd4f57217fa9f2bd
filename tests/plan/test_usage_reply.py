"""What the usage endpoint answers, in each state and however odd."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from onplan.errors import UnexpectedReplyError
from onplan.plan.usage_reply import ResetCredit, limits_of_usage, reset_credits_of
from onplan.types import Credits, Limits, SpendingLimit, Window

from .states import NOW, STATES, State


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_each_state_is_read(state: State) -> None:
    """What is told is there, and what cannot be read is left out."""
    assert limits_of_usage(state.usage, NOW) == replace(state.limits, read_at=NOW)


@pytest.mark.parametrize("body", [None, [], "OK", 5, {}, {"detail": "Not Found"}, {"error": {"code": "x"}}])
def test_something_else_is_no_usage(body: Any) -> None:
    """A page or an error in the place of the usage is not read as a plan of which nothing is used."""
    with pytest.raises(UnexpectedReplyError, match="could not be read"):
        limits_of_usage(body, NOW)


@pytest.mark.parametrize(
    "value", [None, [], {}, "", "x", True, -1, 1e308, 10**400, float("nan"), [{}], {"a": 1}]
)
def test_no_value_is_too_odd(value: Any) -> None:
    """Whatever stands in the place of a field, at every depth, reading it ends."""
    window = dict.fromkeys(("used_percent", "limit_window_seconds", "reset_at", "reset_after_seconds"), value)
    for rate_limit in (value, {"primary_window": value}, {"primary_window": window, "allowed": value}):
        read = limits_of_usage(
            {
                "plan_type": value,
                "rate_limit": rate_limit,
                "credits": value,
                "additional_rate_limits": [value, {"metered_feature": "m", "rate_limit": rate_limit}],
                "spend_control": {"reached": value, "individual_limit": value},
                "rate_limit_reached_type": value,
                "rate_limit_reset_credits": {"available_count": value},
            },
            NOW,
        )
        for found in [*read.windows, *(window for meter in read.meters for window in meter.windows)]:
            assert 0 <= found.used_percent <= 100
            assert found.reset_time is None or found.reset_time.tzinfo


@pytest.mark.parametrize(
    ("rate_limit", "allowed"),
    [
        ({}, None),
        ({"allowed": True}, True),
        ({"allowed": True, "limit_reached": False}, True),
        ({"limit_reached": False}, None),
        ({"allowed": False}, False),
        ({"limit_reached": True}, False),
        ({"allowed": True, "limit_reached": True}, False),
        ({"allowed": False, "limit_reached": False}, False),
        ({"allowed": "yes", "limit_reached": 1}, None),
    ],
    ids=str,
)
def test_whether_requests_are_allowed(rate_limit: dict[str, Any], allowed: bool | None) -> None:
    """Either word for "no" is enough; without a word it is not known."""
    assert limits_of_usage({"rate_limit": rate_limit}, NOW).is_allowed is allowed


@pytest.mark.parametrize(("plan", "name"), [(" plus ", "plus"), ("  ", None), ("", None), (5, None)])
def test_the_name_of_the_plan(plan: object, name: str | None) -> None:
    """White space is no name."""
    assert limits_of_usage({"plan_type": plan}, NOW).plan == name


def test_a_reset_may_be_told_as_a_duration() -> None:
    """Where only the seconds until then are told, the time is counted from now."""
    window = {"used_percent": 5, "limit_window_seconds": 18_000, "reset_after_seconds": 60}
    read = limits_of_usage({"rate_limit": {"primary_window": window}}, NOW)

    assert read.windows == [Window(300, 5.0, NOW + 60)]


def test_what_a_member_may_spend() -> None:
    """A workspace may set a limit for one person, told as strings."""
    control = {
        "reached": True,
        "individual_limit": {"limit": "100", "used": "100.0", "used_percent": 100, "reset_at": 1_900_000_000},
    }
    read = limits_of_usage({"plan_type": "team", "spend_control": control}, NOW)

    assert read.spending == SpendingLimit(True, 100.0, 100.0, 100.0, 1_900_000_000.0)
    assert limits_of_usage({"plan_type": "team", "spend_control": {"reached": True}}, NOW).spending
    assert limits_of_usage({"plan_type": "team", "spend_control": {"reached": False}}, NOW).spending is None


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"has_credits": "True", "unlimited": 1}, Credits(has_credits=True, unlimited=True)),
        ({"has_credits": True, "balance": "7"}, Credits(has_credits=True, balance=7.0)),
        ({"overage_limit_reached": True}, Credits(overage_limit_reached=True)),
    ],
)
def test_credits_in_any_form(told: dict[str, Any], read: Credits) -> None:
    """As flags, words or numbers."""
    assert limits_of_usage({"credits": told}, NOW) == Limits(credits=read, read_at=NOW)


def test_reset_credits_are_listed() -> None:
    """Rows that cannot be read are skipped; the others stay."""
    rows = [
        {
            "id": "rc_1",
            "reset_type": "codex_rate_limits",
            "status": "available",
            "granted_at": "2026-11-01T00:00:00Z",
        },
        {"status": "available"},
        {"id": "rc_2", "status": "redeemed", "title": "Thanks", "expires_at": "2027-01-01T00:00:00Z"},
        {"id": "rc_3", "status": None},
        "rc_4",
    ]

    assert reset_credits_of({"credits": rows}) == [
        ResetCredit("rc_1", "available", granted_at="2026-11-01T00:00:00Z"),
        ResetCredit("rc_2", "redeemed", "Thanks", expires_at="2027-01-01T00:00:00Z"),
    ]
    for body in (None, {}, {"credits": None}, []):
        with pytest.raises(UnexpectedReplyError):
            reset_credits_of(body)


def test_a_meter_has_a_name_or_an_id_and_a_window() -> None:
    """What has no window says nothing, and what has neither name nor id cannot be told apart."""
    window = {"primary_window": {"used_percent": 1, "limit_window_seconds": 3600}}
    rows = [
        {"limit_name": "Spark", "metered_feature": "m", "rate_limit": {"primary_window": None}},
        {"metered_feature": "n", "rate_limit": window},
        {"limit_name": "Other", "rate_limit": window},
        {"rate_limit": window},
    ]
    read = limits_of_usage({"plan_type": "plus", "additional_rate_limits": rows}, NOW)

    assert [(meter.id, meter.name) for meter in read.meters] == [("n", None), ("Other", "Other")]
