"""The API for tokens of "Sign in with ChatGPT", which is stricter than the platform's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onplan.emulator.api.codex_account import counted_answer
from onplan.emulator.checks.codex_responses import COMMON_RULES
from onplan.emulator.checks.plan import check_plan, request_id
from onplan.emulator.faults.siwc import usage_limit_exceeded
from onplan.emulator.tokens.registry import PLAN_SCOPE
from onplan.emulator.wire.replies import Refusal, Reply, Request, api_error, detail, json_reply
from onplan.emulator.wire.stream import Frame, Stream, changed_response
from onplan.emulator.world import World


def authenticate(world: World, request: Request) -> None:
    """Raise a Refusal unless the access token was issued for this API, is valid, and may use the plan."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    family = world.registry.family(bearer) if scheme.lower() == "bearer" else None
    if family is None:
        raise Refusal(detail("Unauthorized", 401))
    if PLAN_SCOPE not in family.scope.split():
        message = "The access token does not permit this operation."
        raise Refusal(
            api_error(message, code="chatpass_v2_scope_not_authorized", status=403, headers=request_id())
        )


def models(world: World, request: Request) -> Reply:
    """The catalogue, hidden models and all, best first."""
    authenticate(world, request)
    return json_reply({"models": list(world.catalogue)}, headers=request_id())


def respond(world: World, request: Request) -> Reply:
    """A turn: always a stream, without a Content-Type, and with an empty `output` in its last event."""
    authenticate(world, request)
    body = request.body
    if not isinstance(body, dict) or request.media_type != "application/json":
        raise Refusal(detail("Request body must be a JSON object"))
    check_plan(world, body)
    for rule in COMMON_RULES:
        rule(world, request, body)
    if world.allowance.full() is not None:
        raise Refusal(usage_limit_exceeded())
    turn = counted_answer(world, request)
    stream = Stream(turn=turn, interval=world.scenario.answer.interval, alteration=_as_here)
    return Reply(headers=(("cache-control", "no-cache"), *request_id()), stream=stream)


def _as_here(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        if isinstance(frame, bytes):
            yield frame
        elif frame["type"] == "response.completed":
            yield changed_response(frame, output=[])
        elif isinstance(item := frame.get("item"), dict) and item.get("type") == "message":
            yield {**frame, "item": {**item, "phase": "final_answer"}}
        else:
            yield frame


def not_supported(world: World, request: Request) -> Reply:
    """The answer to any other endpoint or method below this base URL."""
    message = f"{request.method} {request.path} is not supported with this authentication method."
    return api_error(
        message, code="subscription_sharing_route_not_supported", status=403, headers=request_id()
    )
