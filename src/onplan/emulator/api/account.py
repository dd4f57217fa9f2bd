"""What does the backend say about an account? Models, limits, workspaces (notes, sections 9 to 12)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onplan.emulator.api.catalogue import serves
from onplan.emulator.wire.replies import Call, Headers, Refusal, Reply, api_error, detail, json_reply

if TYPE_CHECKING:
    from onplan.emulator.world import World


@dataclass(frozen=True)
class Window:
    """One usage window. `used_percent` is a fraction in headers and events, and rounded in JSON."""

    used_percent: float
    minutes: int
    resets_in: int


FIVE_HOURS = Window(used_percent=12.5, minutes=300, resets_in=9_000)
WEEK = Window(used_percent=34, minutes=10_080, resets_in=300_000)


def authenticate(world: World, call: Call) -> None:
    """Raise a Refusal unless the bearer is ours and alive; the account, where it is named, is its own.

    Without the header it is the token's own account (notes, section 17). What the service answers to a
    foreign one is not established; 400 is the answer that no client takes for an expired token.
    """
    scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not world.ledger.accepts(bearer):
        raise Refusal(detail("Unauthorized", 401))
    account_id = call.headers.get("chatgpt-account-id")
    if account_id is not None and account_id != world.scenario.account_id:
        raise Refusal(detail("The chatgpt-account-id header does not match the access token"))


def models(world: World, call: Call) -> Reply:
    """The catalogue, as far as the client's version goes."""
    authenticate(world, call)
    client_version = dict(call.query).get("client_version")
    if not client_version:
        raise Refusal(detail("The client_version query parameter is required"))
    listed = [model for model in world.catalogue if serves(model, client_version)]
    return json_reply({"models": listed}, headers=(("etag", world.catalogue_etag),))


def accounts_check(world: World, call: Call) -> Reply:
    """Workspace routing, which every turn of the official client needs first (notes, section 12b)."""
    authenticate(world, call)
    scenario = world.scenario
    account = {
        "id": scenario.account_id,
        "account_user_id": f"{scenario.user_id}__{scenario.account_id}",
        "structure": "personal",
        "plan_type": scenario.plan,
        "name": None,
        "profile_picture_url": None,
        "is_deactivated": False,
        "workspace_backend_origin": "https://chatgpt.com",
        "account_routing_override": "NO_CONSTRAINT",
    }
    ids = {"account_ordering": [scenario.account_id], "default_account_id": scenario.account_id}
    return json_reply({"accounts": [account], **ids})


def usage(world: World, call: Call) -> Reply:
    """What is left of the plan."""
    authenticate(world, call)
    scenario = world.scenario
    who = {"user_id": scenario.user_id, "account_id": scenario.account_id, "email": scenario.email}
    windows = {"primary_window": _window(FIVE_HOURS), "secondary_window": _window(WEEK)}
    return json_reply(
        {
            **who,
            "plan_type": scenario.plan,
            "rate_limit": {"allowed": True, "limit_reached": False, **windows},
            "code_review_rate_limit": None,
            "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
            "additional_rate_limits": None,
            "spend_control": None,
            "rate_limit_reached_type": None,
            "rate_limit_reset_credits": {"available_count": 0},
        }
    )


def _window(window: Window) -> dict[str, Any]:
    return {
        # An integer: of a reply with a fraction the official client takes nothing (notes, section 12).
        "used_percent": round(window.used_percent),
        "limit_window_seconds": window.minutes * 60,
        "reset_after_seconds": window.resets_in,
        "reset_at": int(time.time()) + window.resets_in,
    }


def limit_headers(plan: str, primary: Window = FIVE_HOURS, secondary: Window = WEEK) -> Headers:
    """The limits as headers; empty values and a Pythonic False have been seen (notes, section 16)."""
    now = int(time.time())
    windows = (("primary", primary), ("secondary", secondary))
    rows = [
        row
        for name, window in windows
        for row in (
            (f"x-codex-{name}-used-percent", f"{window.used_percent:g}"),
            (f"x-codex-{name}-window-minutes", str(window.minutes)),
            (f"x-codex-{name}-reset-at", str(now + window.resets_in)),
        )
    ]
    return (
        ("x-codex-plan-type", plan),
        # On every plan, although the windows are those of x-codex-* (notes, section 17).
        ("x-codex-active-limit", "premium"),
        *rows,
        ("x-codex-credits-has-credits", "False"),
        ("x-codex-credits-unlimited", "False"),
        ("x-codex-credits-balance", ""),
    )


def limits_event(plan: str) -> dict[str, Any]:
    """The limits as the event in which they come over a WebSocket."""
    now = int(time.time())

    def shown(window: Window) -> dict[str, Any]:
        times = {"window_minutes": window.minutes, "reset_at": now + window.resets_in}
        return {"used_percent": window.used_percent, **times}

    return {
        "type": "codex.rate_limits",
        "plan_type": plan,
        "rate_limits": {"primary": shown(FIVE_HOURS), "secondary": shown(WEEK)},
        "credits": {"has_credits": False, "unlimited": False, "balance": None},
        "metered_limit_name": "codex",
    }


def not_found(world: World, call: Call) -> Reply:
    """What the Codex backend says to a path it does not have."""
    return detail("Not Found", 404)


def no_platform(world: World, call: Call) -> Reply:
    """What the platform says to a path it does not have."""
    return api_error(f"Invalid URL ({call.method} {call.path})", status=404)
