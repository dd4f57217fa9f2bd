"""Faults of models, usage and workspaces."""

from __future__ import annotations

from typing import Any

from onplan.emulator.faults.actions import changed, ended, error, server_error
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Reply, detail, json_reply

MODELS = ("models",)
USAGE = ("usage",)
RESETS = ("reset_credits",)
CONSUME = ("reset_consume",)


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


def _fresh(usage: Any) -> Any:
    limits = usage["rate_limit"]
    names = [name for name in ("primary_window", "secondary_window") if limits[name]]
    windows = {name: {**limits[name], "used_percent": 0} for name in names}
    return {**usage, "rate_limit": {**limits, **windows}}


_CREDITS = {
    "has_credits": True,
    "unlimited": False,
    "balance": "12.50",
    "overage_limit_reached": False,
    "approx_local_messages": [10, 20],
    "approx_cloud_messages": [1, 2],
}
# No service has been seen to send these; nothing in them may end a program.
_ODD = {
    "plan_type": 5,
    "rate_limit": {
        "allowed": "perhaps",
        "limit_reached": None,
        "primary_window": {"used_percent": None, "limit_window_seconds": 18_000, "reset_at": "soon"},
        "secondary_window": {"used_percent": "34.25", "limit_window_seconds": -1, "reset_at": 1e300},
    },
    "credits": {"has_credits": 1, "unlimited": "no", "balance": "12,50"},
    "additional_rate_limits": [None, {"limit_name": 7}],
    "spend_control": "none",
    "rate_limit_reached_type": [],
    "rate_limit_reset_credits": {"available_count": "2"},
}
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
    Fault("usage_fresh", "Nothing of the windows is used.", USAGE, after=changed(_fresh)),
    Fault(
        "usage_credits_only",
        "A plan without windows that is paid with credits.",
        USAGE,
        after=changed(
            lambda body: {**body, "plan_type": "business", "rate_limit": None, "credits": _CREDITS}
        ),
    ),
    Fault(
        "usage_odd",
        "Fields of the usage have values of other types, or none that makes sense.",
        USAGE,
        after=changed(lambda body: {**body, **_ODD}),
    ),
    Fault(
        "usage_404",
        "404 instead of the usage.",
        USAGE,
        instead=lambda: detail("Not Found", 404),
    ),
    Fault(
        "usage_not_json",
        "200 with text instead of the usage.",
        USAGE,
        instead=lambda: Reply(headers=(("content-type", "text/plain"),), body=b"OK"),
    ),
    Fault(
        "reset_credits_429",
        "429 connector_rate_limit instead of the reset credits (openai/codex issue 37934).",
        RESETS,
        instead=error(429, "Too many requests", code="connector_rate_limit"),
    ),
    Fault(
        "reset_credits_malformed",
        "The first of the reset credits lacks its id, for which the official client drops all of them.",
        RESETS,
        after=changed(lambda body: {**body, "credits": [{"status": "available"}, *body["credits"]]}),
    ),
    Fault(
        "reset_consume_lost",
        "The reset credit is spent, and the connection breaks before the answer.",
        CONSUME,
        after=ended("reset"),
    ),
    Fault("reset_consume_500", "500, and the reset credit is not spent.", CONSUME, instead=server_error),
    Fault(
        "reset_consume_nothing",
        "There is nothing to reset.",
        CONSUME,
        instead=lambda: json_reply({"code": "nothing_to_reset"}),
    ),
    Fault(
        "reset_consume_unknown",
        "A code that is not known.",
        CONSUME,
        instead=lambda: json_reply({"code": "sparkle"}),
    ),
)
