"""How does `…/codex/responses` answer? Checks, asks the model, hands over a stream; or opens a WebSocket."""

from __future__ import annotations

import secrets

from onplan.emulator.api.account import authenticate, limit_headers
from onplan.emulator.api.model import answer
from onplan.emulator.checks.body import check
from onplan.emulator.wire import frames
from onplan.emulator.wire.replies import EVENT_STREAM, Call, Headers, Reply, detail
from onplan.emulator.wire.stream import Stream
from onplan.emulator.world import World

BETA = "responses_websockets=2026-02-06"


def respond(world: World, call: Call) -> Reply:
    """A turn over SSE."""
    authenticate(world, call)
    check(world, call)
    turn = answer(world, call)
    return Reply(
        headers=(("content-type", EVENT_STREAM), *_headers(world, call, str(call.body["model"]))),
        stream=Stream(turn=turn, interval=world.scenario.answer.interval),
    )


def _headers(world: World, call: Call, model: str) -> Headers:
    # The state of a turn comes with its first reply and is echoed by the client until the turn is over.
    turn_state = call.headers.get("x-codex-turn-state") or f"ts_{secrets.token_hex(8)}"
    return (
        ("cache-control", "no-cache"),
        ("x-codex-turn-state", turn_state),
        ("openai-model", model),
        *_facts(world),
    )


def _facts(world: World) -> Headers:
    return (
        *limit_headers(world.scenario.plan),
        ("x-models-etag", world.catalogue_etag),
        ("x-reasoning-included", "true"),
        ("x-request-id", f"req_{secrets.token_hex(16)}"),
        ("cf-ray", f"{secrets.token_hex(8)}-AMS"),
    )


def upgrade(world: World, call: Call) -> Reply:
    """The head that opens a WebSocket (RFC 6455, section 4.2.2; the service's part: notes, section 10)."""
    if call.headers.get("upgrade", "").lower() != "websocket":
        return detail("Method Not Allowed", 405)
    authenticate(world, call)
    key = call.headers.get("sec-websocket-key", "")
    asked = "upgrade" in call.headers.get("connection", "").lower()
    if not asked or call.headers.get("sec-websocket-version") != "13" or not key:
        return detail("Not a WebSocket handshake")
    if call.headers.get("openai-beta", BETA) != BETA:
        return detail(f"The openai-beta header must be {BETA}")
    handshake = (
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", frames.accept_key(key)),
    )
    offered = call.headers.get("sec-websocket-extensions", "")
    deflate = (("sec-websocket-extensions", frames.DEFLATE),) if frames.DEFLATE in offered else ()
    return Reply(status=101, headers=(*handshake, *deflate, *_facts(world)))
