"""How does `…/codex/responses` answer? Checks, asks the model, hands over a stream."""

from __future__ import annotations

import secrets

from onplan.emulator.account import authenticate, limit_headers
from onplan.emulator.checks import check
from onplan.emulator.model import answer
from onplan.emulator.replies import EVENT_STREAM, Call, Headers, Reply, detail
from onplan.emulator.stream import Stream
from onplan.emulator.world import World


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
        *limit_headers(world.scenario.plan),
        ("x-codex-turn-state", turn_state),
        ("x-models-etag", world.catalogue_etag),
        ("openai-model", model),
        ("x-reasoning-included", "true"),
        ("x-request-id", f"req_{secrets.token_hex(16)}"),
        ("cf-ray", f"{secrets.token_hex(8)}-AMS"),
    )


def refuse_upgrade(world: World, call: Call) -> Reply:
    """426 is how the service says: no WebSocket, use SSE (notes, section 10)."""
    if call.headers.get("upgrade", "").lower() != "websocket":
        return detail("Method Not Allowed", 405)
    authenticate(world, call)
    return Reply(status=426, headers=(("connection", "upgrade"), ("upgrade", "websocket")), body=b"")
