"""The Codex backend's other endpoints: models, usage, workspaces."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from onplan.emulator.api.model import answer
from onplan.emulator.catalogue import serves
from onplan.emulator.faults.limits import limit_reached
from onplan.emulator.wire.items import Turn
from onplan.emulator.wire.limits import window_json
from onplan.emulator.wire.replies import Refusal, Reply, Request, api_error, detail, json_reply
from onplan.emulator.world import World


def authenticate(world: World, request: Request) -> None:
    """Raise a Refusal unless the access token is valid and the named account is the token's own.

    Without the header it is the token's own account (langchain-codex-plus 0.0.12). What the service answers
    to another account is not known; 400 is an answer that no client takes for an expired token.
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not world.ledger.accepts(bearer):
        raise Refusal(detail("Unauthorized", 401))
    account_id = request.headers.get("chatgpt-account-id")
    if account_id is not None and account_id != world.scenario.account_id:
        raise Refusal(detail("The chatgpt-account-id header does not match the access token"))


def require_allowance(world: World) -> None:
    """Raise a Refusal when a usage limit of the plan is reached."""
    full = world.allowance.full()
    if full is not None:
        raise Refusal(limit_reached(world.scenario.plan, world.allowance.windows(), full.resets_in))


def counted_answer(world: World, request: Request) -> Turn:
    """The model's turn, whose tokens count against the plan."""
    turn = answer(world, request)
    world.allowance.use(turn.usage["total_tokens"])
    return turn


def models(world: World, request: Request) -> Reply:
    """The models that a client of this version may use."""
    authenticate(world, request)
    client_version = dict(request.query).get("client_version")
    if not client_version:
        raise Refusal(detail("The client_version query parameter is required"))
    listed = [model for model in world.catalogue if serves(model, client_version)]
    return json_reply({"models": listed}, headers=(("etag", world.catalogue_etag),))


def accounts_check(world: World, request: Request) -> Reply:
    """Workspace routing, which the official client asks for before every turn."""
    authenticate(world, request)
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


def usage(world: World, request: Request) -> Reply:
    """`/wham/usage`: what is left of the plan."""
    authenticate(world, request)
    scenario = world.scenario
    who = {"user_id": scenario.user_id, "account_id": scenario.account_id, "email": scenario.email}
    shown = [window_json(window) for window in world.allowance.windows()]
    names = ("primary_window", "secondary_window")
    windows = {**dict.fromkeys(names), **dict(zip(names, shown, strict=False))}
    reached = world.allowance.full() is not None
    return json_reply(
        {
            **who,
            "plan_type": scenario.plan,
            "rate_limit": {"allowed": not reached, "limit_reached": reached, **windows},
            "code_review_rate_limit": None,
            "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
            "additional_rate_limits": None,
            "spend_control": None,
            "rate_limit_reached_type": {"type": "rate_limit_reached"} if reached else None,
            "rate_limit_reset_credits": {
                "available_count": world.reset_credits.available,
                "applicable_available_count": world.reset_credits.available if _is_used(shown) else 0,
            },
        }
    )


def _is_used(windows: list[dict[str, Any]]) -> bool:
    return any(window["used_percent"] for window in windows)


def reset_credits(world: World, request: Request) -> Reply:
    """`/wham/rate-limit-reset-credits`: the credits that reset the usage windows."""
    authenticate(world, request)
    rows = world.reset_credits.rows()
    counts = {"available_count": world.reset_credits.available, "total_earned_count": len(rows)}
    return json_reply({**counts, "credits": rows})


def consume_reset_credit(world: World, request: Request) -> Reply:
    """Spend a reset credit, once for each `redeem_request_id`."""
    authenticate(world, request)
    credit_id = request.fields.get("credit_id")
    try:
        request_id = str(UUID(request.fields["redeem_request_id"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Refusal(detail("redeem_request_id must be a UUID", 422)) from None
    if request.media_type != "application/json" or not (credit_id is None or isinstance(credit_id, str)):
        raise Refusal(detail("The body must be JSON with redeem_request_id and perhaps credit_id", 422))
    return json_reply(world.reset_credits.redeem(request_id, credit_id))


def not_found(world: World, request: Request) -> Reply:
    """The Codex backend's answer to an unknown path."""
    return detail("Not Found", 404)


def no_platform(world: World, request: Request) -> Reply:
    """The platform's answer to an unknown path."""
    return api_error(f"Invalid URL ({request.method} {request.path})", status=404)
