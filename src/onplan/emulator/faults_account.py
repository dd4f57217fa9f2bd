"""What can go wrong with models, limits and workspaces? See the notes, sections 11 and 12."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from onplan.emulator.fault import Fault
from onplan.emulator.replies import Reply, api_error

MODELS = ("models",)
USAGE = ("usage",)


def _server_error() -> Reply:
    return api_error("Internal server error", kind="server_error", status=500)


def _changed(change: Callable[[Any], Any]) -> Callable[[Reply], Reply]:
    """Another body, when the request succeeded."""

    def after(reply: Reply) -> Reply:
        return reply if reply.status != 200 else replace(reply, body=msgspec.json.encode(change(reply.json)))

    return after


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


FAULTS = (
    Fault("models_empty", "An empty catalogue.", MODELS, after=_changed(lambda body: {"models": []})),
    Fault(
        "models_500",
        "500 instead of the catalogue.",
        MODELS,
        instead=_server_error,
    ),
    Fault(
        "models_malformed",
        "A catalogue whose first entry lacks its slug.",
        MODELS,
        after=_changed(lambda body: {"models": [{"display_name": "Nameless"}, *body["models"]]}),
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
        instead=_server_error,
    ),
    Fault(
        "usage_500",
        "500 instead of the usage.",
        USAGE,
        instead=_server_error,
    ),
    Fault(
        "usage_only_week",
        "The weekly window comes as primary, for the 5-hour window is switched off.",
        USAGE,
        after=_changed(_only_the_week),
    ),
    Fault("usage_exhausted", "The usage says that the limit is reached.", USAGE, after=_changed(_exhausted)),
    Fault(
        "usage_nulls",
        "rate_limit and credits are null.",
        USAGE,
        after=_changed(lambda body: {**body, "rate_limit": None, "credits": None}),
    ),
)
