"""The Codex backend's `responses`: a turn as an event stream, or the upgrade to a WebSocket."""

from __future__ import annotations

import secrets

from onplan.emulator.api.codex_account import authenticate, counted_answer, require_allowance
from onplan.emulator.checks.codex_responses import check
from onplan.emulator.wire import frames
from onplan.emulator.wire.limits import limit_headers
from onplan.emulator.wire.replies import EVENT_STREAM, Headers, Reply, Request, detail
from onplan.emulator.wire.stream import Stream
from onplan.emulator.world import World

BETA = "responses_websockets=2026-02-06"


def respond(world: World, request: Request) -> Reply:
    """A turn over SSE."""
    authenticate(world, request)
    check(world, request)
    require_allowance(world)
    # What is left before this turn: its headers are sent before it is known what it uses.
    headers = (("content-type", EVENT_STREAM), *_headers(world, request, str(request.body["model"])))
    turn = counted_answer(world, request)
    return Reply(headers=headers, stream=Stream(turn=turn, interval=world.scenario.answer.interval))


def _headers(world: World, request: Request, model: str) -> Headers:
    # The turn state comes with the turn's first reply; the client sends it back until the turn ends.
    turn_state = request.headers.get("x-codex-turn-state") or f"ts_{secrets.token_hex(8)}"
    return (
        ("cache-control", "no-cache"),
        ("x-codex-turn-state", turn_state),
        ("openai-model", model),
        *_facts(world),
    )


def _facts(world: World) -> Headers:
    return (
        *limit_headers(world.scenario.plan, world.allowance.windows()),
        ("x-models-etag", world.catalogue_etag),
        ("x-reasoning-included", "true"),
        ("x-request-id", f"req_{secrets.token_hex(16)}"),
        ("cf-ray", f"{secrets.token_hex(8)}-AMS"),
    )


def upgrade(world: World, request: Request) -> Reply:
    """The head that opens a WebSocket (RFC 6455, section 4.2.2)."""
    if request.headers.get("upgrade", "").lower() != "websocket":
        return detail("Method Not Allowed", 405)
    authenticate(world, request)
    key = request.headers.get("sec-websocket-key", "")
    asked = "upgrade" in request.headers.get("connection", "").lower()
    if not asked or request.headers.get("sec-websocket-version") != "13" or not key:
        return detail("Not a WebSocket handshake")
    if request.headers.get("openai-beta", BETA) != BETA:
        return detail(f"The openai-beta header must be {BETA}")
    handshake = (
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", frames.accept_key(key)),
    )
    offered = request.headers.get("sec-websocket-extensions", "")
    deflate = (("sec-websocket-extensions", frames.DEFLATE),) if frames.DEFLATE in offered else ()
    return Reply(status=101, headers=(*handshake, *deflate, *_facts(world)))
