"""Checks a request made with a token of "Sign in with ChatGPT", which allows less."""

from __future__ import annotations

import secrets
from typing import Any

from onplan.emulator.wire.replies import Headers, Refusal, api_error, detail
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


def request_id() -> Headers:
    """The header that names this answer, on every answer of this API."""
    return (("x-oai-request-id", f"req_{secrets.token_hex(16)}"),)


def unsupported(param: str, what: str) -> Refusal:
    """The refusal of something that this API does not support."""
    message = f"{what} is not supported with this authentication method."
    code = "subscription_sharing_unsupported_capability"
    return Refusal(api_error(message, param=param, code=code, headers=request_id()))


def check_plan(world: World, body: dict[str, Any]) -> None:
    """Raise the Refusal for the first thing in a request that this API does not take."""
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
