"""How does the API answer a token of "Sign in with ChatGPT"? Strictly (notes on SIWC, 4)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from onplan.emulator.api.model import answer
from onplan.emulator.checks.body import COMMON_RULES
from onplan.emulator.sign_in.registry import PLAN_SCOPE
from onplan.emulator.wire.replies import Call, Headers, Refusal, Reply, api_error, detail, json_reply
from onplan.emulator.wire.stream import Frame, Stream, changed_response
from onplan.emulator.world import World

UNSUPPORTED = frozenset(
    [
        "background",
        "conversation",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "moderation",
        "multi_agent",
        "previous_response_id",
        "prompt",
        "prompt_cache_retention",
        "safety_identifier",
        "temperature",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
KNOWN = frozenset(
    [
        "context_management",
        "include",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
    ]
)
ITEMS = frozenset(
    [
        "additional_tools",
        "compaction",
        "custom_tool_call",
        "custom_tool_call_output",
        "function_call",
        "function_call_output",
        "item_reference",
        "message",
        "reasoning",
        "web_search_call",
    ]
)
TOOLS = frozenset(["custom", "function", "namespace", "web_search", "web_search_preview"])
SERVICE_TIERS = ("default", "priority", None)


def authenticate(world: World, call: Call) -> None:
    """Raise a Refusal unless the bearer is one of this route's, alive, and may use the plan."""
    scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
    family = world.registry.family(bearer) if scheme.lower() == "bearer" else None
    if family is None:
        raise Refusal(detail("Unauthorized", 401))
    if PLAN_SCOPE not in family.scope.split():
        message = "The access token does not permit this operation."
        raise Refusal(
            api_error(message, code="chatpass_v2_scope_not_authorized", status=403, headers=_named())
        )


def models(world: World, call: Call) -> Reply:
    """The catalogue, hidden models and all, best first."""
    authenticate(world, call)
    return json_reply({"models": list(world.catalogue)}, headers=_named())


def respond(world: World, call: Call) -> Reply:
    """A turn: always a stream, without a Content-Type, whose last event repeats nothing."""
    authenticate(world, call)
    body = call.body
    if not isinstance(body, dict) or call.media_type != "application/json":
        raise Refusal(detail("Request body must be a JSON object"))
    _check(world, body)
    for rule in COMMON_RULES:
        rule(world, call, body)
    stream = Stream(turn=answer(world, call), interval=world.scenario.answer.interval, alteration=_as_here)
    return Reply(headers=(("cache-control", "no-cache"), *_named()), stream=stream)


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


def _named() -> Headers:
    return (("x-oai-request-id", f"req_{secrets.token_hex(16)}"),)


def unsupported(param: str, what: str) -> Refusal:
    """The refusal of something that this route lacks."""
    message = f"{what} is not supported with this authentication method."
    code = "subscription_sharing_unsupported_capability"
    return Refusal(api_error(message, param=param, code=code, headers=_named()))


def _check(world: World, body: dict[str, Any]) -> None:
    if body.get("store") is not False:
        raise Refusal(detail("Store must be set to false"))
    if body.get("stream") is not True:
        raise Refusal(detail("Stream must be set to true"))
    if not isinstance(body.get("input"), list):
        wrong = {"loc": ["body", "input"], "msg": "Input should be a valid list", "type": "list_type"}
        raise Refusal(detail([wrong], 422))
    for name in body:
        if name in UNSUPPORTED or name not in KNOWN:
            raise unsupported(name, f"The parameter {name}")
    if body.get("service_tier") not in SERVICE_TIERS:
        raise Refusal(detail(f"Unsupported service_tier: {body['service_tier']}"))
    if world.model(body.get("model")) is None:
        raise unsupported("model", f"The model {body.get('model')}")
    _check_input(body["input"])
    _check_tools(body.get("tools") or [], "tools")


def _check_input(items: list[Any]) -> None:
    for item in items:
        given = item if isinstance(item, dict) else {}
        kind = given.get("type", "message")
        if not isinstance(kind, str) or kind not in ITEMS:
            raise unsupported("input", f"An input item of type {kind}")
        if given.get("role") == "system":
            raise unsupported("input", "An input item of role system")
        _check_tools(given.get("tools") or [], "input")


def _check_tools(tools: Any, param: str) -> None:
    for tool in tools if isinstance(tools, list) else []:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str) or kind not in TOOLS:
            raise unsupported(param, f"A tool of type {kind}")
        _check_tools(tool.get("tools") or [], param)


def not_supported(world: World, call: Call) -> Reply:
    """What this route says to any other endpoint or method."""
    message = f"{call.method} {call.path} is not supported with this authentication method."
    return api_error(message, code="subscription_sharing_route_not_supported", status=403, headers=_named())
