"""Faults: limits that are reached, of a plan, a workspace or a rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from onplan.emulator.faults.actions import RESPONSES, error
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.limits import FIVE_HOURS, WEEK, Window, limit_headers
from onplan.emulator.wire.replies import Headers, Reply, api_error, json_reply


def _usage_limit(
    status: int = 429, *, headers: Headers = (), **fields: Callable[[], Any]
) -> Callable[[], Reply]:
    """A usage limit; the fields are functions, because some are times from now."""

    def instead() -> Reply:
        given = {name: make() for name, make in fields.items()}
        head = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}
        return json_reply({"error": {**head, **given}}, status, headers)

    return instead


def _in_an_hour() -> int:
    return int(time.time()) + 3600


def limit_reached(plan: str, windows: Sequence[Window], resets_in: int) -> Reply:
    """The plan's usage limit, with the body and headers that a Plus user captured in November 2026."""
    instead = _usage_limit(
        headers=limit_headers(plan, windows),
        plan_type=lambda: plan,
        resets_at=lambda: int(time.time()) + resets_in,
        eligible_promo=lambda: None,
        resets_in_seconds=lambda: resets_in,
    )
    return instead()


def used_up() -> Reply:
    """The 5 hours of a Plus plan used up, for another hour."""
    return limit_reached("plus", (replace(FIVE_HOURS, used_percent=100, resets_in=3600), WEEK), 3600)


def _retry_after_date() -> Reply:
    headers = (("retry-after", formatdate(time.time() + 1, usegmt=True)),)
    return api_error("Rate limit reached.", code="rate_limit_exceeded", status=429, headers=headers)


FAULTS = (
    Fault(
        "usage_limit_429",
        "429 usage_limit_reached with resets_at an hour away, and headers in which the 5 hours are used up.",
        RESPONSES,
        instead=used_up,
    ),
    Fault(
        "usage_limit_week",
        "429 usage_limit_reached whose headers say that the week, as primary window, is used up.",
        RESPONSES,
        instead=_usage_limit(
            plan_type=lambda: "pro",
            headers=(
                ("x-codex-primary-used-percent", "100"),
                ("x-codex-primary-window-minutes", "10080"),
                ("x-codex-primary-reset-at", "1900000000"),
                ("x-codex-secondary-used-percent", "40.5"),
                ("x-codex-secondary-window-minutes", "300"),
                ("x-codex-secondary-reset-at", ""),
            ),
        ),
    ),
    Fault(
        "usage_limit_seconds_only",
        "429 usage_limit_reached with resets_in_seconds alone.",
        RESPONSES,
        instead=_usage_limit(plan_type=lambda: "plus", resets_in_seconds=lambda: 3600),
    ),
    Fault(
        "usage_limit_404",
        "usage_limit_reached as a 404.",
        RESPONSES,
        instead=_usage_limit(404, plan_type=lambda: "plus", resets_at=_in_an_hour),
    ),
    Fault(
        "usage_limit_other_meter",
        "429 usage_limit_reached of another limit than the plan's, named in headers.",
        RESPONSES,
        instead=_usage_limit(
            resets_at=_in_an_hour,
            headers=(
                ("x-codex-active-limit", "codex_other"),
                ("x-codex-other-limit-name", "Other"),
                ("x-codex-other-primary-used-percent", "100"),
                ("x-codex-other-primary-window-minutes", "10080"),
            ),
        ),
    ),
    Fault(
        "workspace_credits_depleted",
        "429 usage_limit_reached because the workspace is out of credits.",
        RESPONSES,
        instead=_usage_limit(
            plan_type=lambda: "team",
            headers=(("x-codex-rate-limit-reached-type", "workspace_owner_credits_depleted"),),
        ),
    ),
    Fault(
        "usage_not_included",
        "429 usage_not_included: the plan has no Codex.",
        RESPONSES,
        instead=error(429, "Usage is not included in your plan.", kind="usage_not_included"),
    ),
    Fault(
        "insufficient_quota",
        "429 insufficient_quota.",
        RESPONSES,
        instead=error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            kind="insufficient_quota",
            code="insufficient_quota",
        ),
    ),
    Fault(
        "rate_limited_429",
        "429 rate_limit_exceeded with retry-after: 1.",
        RESPONSES,
        instead=error(
            429, "Rate limit reached.", code="rate_limit_exceeded", headers=(("retry-after", "1"),)
        ),
    ),
    Fault(
        "rate_limited_429_date",
        "429 rate_limit_exceeded with a date in retry-after.",
        RESPONSES,
        instead=_retry_after_date,
    ),
    Fault(
        "rate_limited_429_bare",
        "429 rate_limit_exceeded without retry-after.",
        RESPONSES,
        instead=error(429, "Rate limit reached.", code="rate_limit_exceeded"),
    ),
    Fault(
        "rate_limited_429_milliseconds",
        "429 rate_limit_exceeded with x-ms-retry-after-ms: 250.",
        RESPONSES,
        instead=error(
            429, "Rate limit reached.", code="rate_limit_exceeded", headers=(("x-ms-retry-after-ms", "250"),)
        ),
    ),
)
