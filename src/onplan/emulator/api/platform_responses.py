"""The platform's Responses API, `/v1/responses`, which API keys pay for."""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.emulator.api.platform import authenticate, headers, turn_of
from onplan.emulator.checks.codex_responses import COMMON_RULES
from onplan.emulator.checks.platform import check_platform_response, json_body
from onplan.emulator.wire.replies import EVENT_STREAM, Reply, Request, json_reply
from onplan.emulator.wire.stream import Stream
from onplan.emulator.world import World


def respond(world: World, request: Request) -> Reply:
    """A turn, in a stream or whole."""
    authenticate(world, request)
    body = json_body(request)
    check_platform_response(world, body)
    asked = Request(
        request.method, request.path, "", _headers_of(request, body), msgspec.json.encode(_as_codex(body))
    )
    for rule in COMMON_RULES:
        rule(world, asked, asked.body)
    turn = turn_of(world, asked)
    if not body.get("stream"):
        output = [item.finished() for item in turn.items]
        return json_reply(turn.response("completed", output=output, usage=turn.usage), headers=headers())
    head = (("content-type", EVENT_STREAM), *headers())
    return Reply(headers=head, stream=Stream(turn=turn, interval=world.scenario.answer.interval))


def _headers_of(request: Request, body: dict[str, Any]) -> dict[str, str]:
    """The headers, with `prompt_cache_key` as the `session-id` by which cached prompts are found."""
    return {**request.headers, "session-id": str(body.get("prompt_cache_key") or "")}


def _as_codex(body: dict[str, Any]) -> dict[str, Any]:
    """The body as the Codex backend takes it: `input` as a list, without system messages."""
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    changed = [
        {**item, "role": "developer"} if isinstance(item, dict) and item.get("role") == "system" else item
        for item in items
    ]
    return {**body, "input": changed}
