"""`/v1/chat/completions`: the same model's turn, asked for and answered in the other API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from onplan.emulator.api.platform import authenticate, headers, turn_of
from onplan.emulator.checks.chat import check_chat
from onplan.emulator.checks.codex_responses import COMMON_RULES
from onplan.emulator.checks.platform import json_body
from onplan.emulator.wire.chat_stream import DATA_ONLY, ChatStream
from onplan.emulator.wire.replies import EVENT_STREAM, Reply, Request, json_reply
from onplan.emulator.world import World

Body = dict[str, Any]

# chat part -> part of the Responses API, of the user's and of the assistant's
PARTS: dict[str, Callable[[Body, bool], Body]] = {
    "text": lambda part, mine: {"type": "output_text" if mine else "input_text", "text": part["text"]},
    "refusal": lambda part, mine: {"type": "refusal", "refusal": part["refusal"]},
    "image_url": lambda part, mine: {"type": "input_image", "image_url": part["image_url"]["url"]},
    "file": lambda part, mine: {"type": "input_file", **part["file"]},
}


def complete(world: World, request: Request) -> Reply:
    """A completion, in chunks or whole."""
    authenticate(world, request)
    body = json_body(request)
    check_chat(world, body)
    named = {**request.headers, "session-id": str(body.get("prompt_cache_key") or "")}
    asked = Request(request.method, request.path, "", named, msgspec.json.encode(_as_responses(body)))
    for rule in COMMON_RULES:
        rule(world, asked, asked.body)
    turn = turn_of(world, asked)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    completion = ChatStream(
        turn=turn,
        interval=world.scenario.answer.interval,
        framing=DATA_ONLY,
        limit=limit,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )
    if not body.get("stream"):
        return json_reply(completion.whole(), headers=headers())
    return Reply(headers=(("content-type", EVENT_STREAM), *headers()), stream=completion)


# --- the request, as one of the Responses API ---------------------------------------------


def _as_responses(body: Body) -> Body:
    text: Body = {"format": _format(body.get("response_format") or {"type": "text"})}
    if body.get("verbosity"):
        text["verbosity"] = body["verbosity"]
    fields = {
        "model": body["model"],
        "input": [item for message in body["messages"] for item in _items(message, _custom_ids(body))],
        "text": text,
        "reasoning": {"effort": body.get("reasoning_effort"), "summary": None},
        "tools": [_tool(tool) for tool in body.get("tools") or ()] or None,
        "tool_choice": _choice(body.get("tool_choice")),
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "service_tier": body.get("service_tier"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: Body) -> Body:
    kind = tool["type"]
    flat = {"type": kind, **tool[kind]}
    grammar = (flat.get("format") or {}).get("grammar")
    return {**flat, "format": {"type": "grammar", **grammar}} if grammar else flat


def _custom_ids(body: Body) -> set[str]:
    """The ids of the calls of custom tools."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    return {call["id"] for call in calls if call["type"] == "custom"}


def _items(message: Body, custom_ids: set[str]) -> Iterator[Body]:
    role, content = message["role"], message.get("content") or []
    mine = role == "assistant"
    if role == "tool":
        text = content if isinstance(content, str) else "".join(part["text"] for part in content)
        kind = "custom_tool_call" if message["tool_call_id"] in custom_ids else "function_call"
        yield {"type": f"{kind}_output", "call_id": message["tool_call_id"], "output": text}
        return
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if message.get("refusal"):
        parts = [*parts, {"type": "refusal", "refusal": message["refusal"]}]
    if parts:
        content = [PARTS[part["type"]](part, mine) for part in parts]
        yield {"type": "message", "role": "developer" if role == "system" else role, "content": content}
    for call in message.get("tool_calls") or ():
        if call["type"] == "custom":
            yield {"type": "custom_tool_call", "call_id": call["id"], **call["custom"]}
            continue
        function = {name: call["function"][name] for name in ("name", "arguments")}
        yield {"type": "function_call", "call_id": call["id"], **function}


def _format(wanted: Body) -> Body:
    return {"type": wanted["type"], **wanted.get("json_schema", {})}


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        return {"type": "allowed_tools", **allowed, "tools": [_choice(tool) for tool in allowed["tools"]]}
    kind = "custom" if choice.get("type") == "custom" else "function"
    return {"type": kind, "name": choice[kind]["name"]}
