"""Faults of models, usage and workspaces."""

from __future__ import annotations

from typing import Any

from onplan.emulator.faults.actions import changed, server_error
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Reply

MODELS = ("models",)
USAGE = ("usage",)


def _only_the_week(usage: Any) -> Any:
    limits = usage["rate_limit"]
    windows = {"primary_window": limits["secondary_window"], "secondary_window": None}
    return {**usage, "rate_limit": {**limits, **windows}}


def _exhausted(usage: Any) -> Any:
    limits = usage["rate_limit"]
    window = {**limits["primary_window"], "used_percent": 100}
    return {
        **usage,
        "rate_limit": {**limits, "allowed": False, "limit_reached": True, "primary_window": window},
    }


def _fractions(usage: Any) -> Any:
    limits = usage["rate_limit"]
    windows = {
        name: {**limits[name], "used_percent": limits[name]["used_percent"] + 0.5}
        for name in ("primary_window", "secondary_window")
    }
    return {**usage, "rate_limit": {**limits, **windows}}


_SPENT = {
    "reached": True,
    "individual_limit": {
        "limit": "100",
        "used": "100",
        "remaining": "0",
        "used_percent": 100,
        "remaining_percent": 0,
        "reset_after_seconds": 3600,
        "reset_at": 1_900_000_000,
    },
}

FAULTS = (
    Fault("models_empty", "An empty catalogue.", MODELS, after=changed(lambda body: {"models": []})),
    Fault(
        "models_500",
        "500 instead of the catalogue.",
        MODELS,
        instead=server_error,
    ),
    Fault(
        "models_malformed",
        "A catalogue whose first entry lacks its slug.",
        MODELS,
        after=changed(lambda body: {"models": [{"display_name": "Nameless"}, *body["models"]]}),
    ),
    Fault(
        "models_not_json",
        "200 with text instead of the catalogue.",
        MODELS,
        instead=lambda: Reply(headers=(("content-type", "text/plain"),), body=b"OK"),
    ),
    Fault(
        "accounts_check_500",
        "500 instead of workspace routing.",
        ("accounts_check",),
        instead=server_error,
    ),
    Fault(
        "usage_500",
        "500 instead of the usage.",
        USAGE,
        instead=server_error,
    ),
    Fault(
        "usage_only_week",
        "The weekly window comes as primary window, and there is no 5-hour window.",
        USAGE,
        after=changed(_only_the_week),
    ),
    Fault("usage_exhausted", "The usage says that the limit is reached.", USAGE, after=changed(_exhausted)),
    Fault(
        "usage_fractions",
        "Percentages are fractions; the official client rejects such a reply.",
        USAGE,
        after=changed(_fractions),
    ),
    Fault(
        "usage_individual_limit",
        "A member's own limit in a workspace, and it is reached.",
        USAGE,
        after=changed(lambda body: {**body, "plan_type": "team", "spend_control": _SPENT}),
    ),
    Fault(
        "usage_unknown_plan",
        "A plan with a new name.",
        USAGE,
        after=changed(lambda body: {**body, "plan_type": "sparkle"}),
    ),
    Fault(
        "usage_nulls",
        "rate_limit and credits are null.",
        USAGE,
        after=changed(lambda body: {**body, "rate_limit": None, "credits": None}),
    ),
)
