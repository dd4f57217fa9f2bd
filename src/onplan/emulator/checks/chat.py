"""Checks a Chat Completions request as the platform does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from onplan.emulator.checks.codex_responses import FORMAT_TYPES, check_format_name
from onplan.emulator.checks.platform import SAMPLING, check_effort, refuse_parameter, thinks
from onplan.emulator.checks.refusals import missing, must_be, of_type, one_of, refuse, supported
from onplan.emulator.checks.schema import Subject, check_format_schema, check_function_schema
from onplan.emulator.checks.tools import check_grammar
from onplan.emulator.wire.replies import Refusal, api_error
from onplan.emulator.world import World

Body = dict[str, Any]
Item = dict[str, Any]

KNOWN = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
# role -> content parts that it may have
CONTENT = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
}
# part -> (member, field in it) that it needs
NEEDED = {
    "image_url": (("image_url", "url"),),
    "file": (("file", "file_data"),),
    "text": (("", "text"),),
    "refusal": (("", "refusal"),),
}
# role -> other fields that its message may have
MESSAGE = {
    "system": ("name",),
    "developer": ("name",),
    "user": ("name",),
    # The official SDK sends `parsed` when a message that it has parsed is sent back.
    "assistant": ("name", "refusal", "tool_calls", "function_call", "audio", "annotations", "parsed"),
    "tool": ("tool_call_id",),
}
# type of a call -> the field with what the model wrote
CALLS = {"function": "arguments", "custom": "input"}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_chat(world: World, body: Body) -> None:
    """Raise the Refusal for the first thing wrong with a request for a completion."""
    for rule in RULES:
        rule(world, body)


def _parameters(world: World, body: Body) -> None:
    for name in body:
        if name not in KNOWN:
            raise Refusal(api_error(f"Unrecognized request argument supplied: {name}"))
    for name in ("model", "messages"):
        if body.get(name) is None:
            raise missing(name)


def _model(world: World, body: Body) -> None:
    model = body["model"]
    if not thinks(world, model):
        if body.get("reasoning_effort") is not None:
            raise Refusal(api_error("Unrecognized request argument supplied: reasoning_effort"))
        return
    check_effort(world, model, body.get("reasoning_effort"), "reasoning_effort")
    if body.get("max_tokens") is not None:
        why = "is not supported with this model. Use 'max_completion_tokens' instead"
        raise refuse_parameter("max_tokens", why)
    for name in (*SAMPLING, "stop", "logprobs", "logit_bias"):
        if body.get(name) not in (None, 1, False):
            raise refuse_parameter(name)


def _only_with(world: World, body: Body) -> None:
    for name, other, state in (
        ("tool_choice", "tools", "specified"),
        ("parallel_tool_calls", "tools", "specified"),
        ("stream_options", "stream", "enabled"),
        ("metadata", "store", "enabled"),
    ):
        if body.get(name) is not None and not body.get(other):
            verb = "are" if other == "tools" else "is"
            raise refuse(f"The '{name}' parameter is only allowed when '{other}' {verb} {state}.", name)


def _simple_values(world: World, body: Body) -> None:
    for name, kind, words in (
        ("stream", bool, "a boolean"),
        ("stream_options", dict, "an object"),
        ("parallel_tool_calls", bool, "a boolean"),
        ("prompt_cache_key", str, "a string"),
        ("max_completion_tokens", int, "an integer"),
        ("max_tokens", int, "an integer"),
        ("tools", list, "an array of objects"),
        ("response_format", dict, "an object"),
        ("messages", list, "an array of objects"),
        ("stop", (str, list), "a string or an array of strings"),
    ):
        of_type(body.get(name), kind, name, words)
    one_of(body.get("service_tier"), ("auto", "default", "flex", "priority"), "service_tier")
    one_of(body.get("verbosity"), ("low", "medium", "high"), "verbosity")
    if not body["messages"]:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty one."
        )
        raise refuse(message, "messages", "empty_array")
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        raise refuse("Invalid 'stop': array too long. Expected at most 4.", "stop", "array_above_max_length")


def _messages(world: World, body: Body) -> None:
    """Each message alone; and every tool call must be followed by its result, and by nothing else."""
    open_calls: set[str] = set()
    for index, item in enumerate(body["messages"]):
        where = f"messages[{index}]"
        must_be(item, dict, where, "an object")
        role = item.get("role")
        one_of(str(role), tuple(CONTENT), f"{where}.role")
        if role == "tool":
            must_be(item.get("tool_call_id"), str, f"{where}.tool_call_id", "a string")
            if item.get("tool_call_id") not in open_calls:
                message = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'."
                )
                raise refuse(message, f"{where}.role")
            open_calls.remove(item["tool_call_id"])
        elif open_calls:
            raise _unanswered(open_calls)
        _message(item, where)
        open_calls |= {call["id"] for call in item.get("tool_calls") or ()}
    if open_calls:
        raise _unanswered(open_calls)


def _unanswered(calls: set[str]) -> Refusal:
    message = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(calls)}"
    )
    return refuse(message, "messages")


def _message(item: Item, where: str) -> None:
    for name in item:
        if name not in ("role", "content", *MESSAGE[item["role"]]):
            message = f"Additional properties are not allowed ('{name}' was unexpected) - '{where}'"
            raise refuse(message, where)
    if item.get("content") is None and not item.get("tool_calls") and not item.get("refusal"):
        message = f"Invalid value for 'content': expected a string, got null. - '{where}.content'"
        raise refuse(message, f"{where}.content")
    of_type(item.get("content"), (str, list), f"{where}.content", "a string or an array of objects")
    of_type(item.get("refusal"), str, f"{where}.refusal", "a string")
    of_type(item.get("tool_calls"), list, f"{where}.tool_calls", "an array of objects")
    if isinstance(item.get("content"), list):
        for index, part in enumerate(item["content"]):
            _part(part, item["role"], f"{where}.content[{index}]")
    for index, call in enumerate(item.get("tool_calls") or ()):
        at = f"{where}.tool_calls[{index}]"
        must_be(call, dict, at, "an object")
        for param, value in (("id", call.get("id")), ("type", call.get("type"))):
            if not isinstance(value, str):
                raise missing(f"{at}.{param}")
        supported(call["type"], tuple(CALLS), f"{at}.type")
        inside = call.get(call["type"])
        must_be(inside, dict, f"{at}.{call['type']}", "an object")
        for param in ("name", CALLS[call["type"]]):
            if not isinstance(inside.get(param), str):
                raise missing(f"{at}.{call['type']}.{param}")


def _part(part: Any, role: str, where: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    supported(kind, CONTENT[role], f"{where}.type")
    for within, name in NEEDED.get(str(kind), ()):
        held = part.get(within) if within else part
        if not isinstance(held, dict) or not isinstance(held.get(name), str):
            raise missing(".".join(filter(None, (where, within, name))))


def _tools(world: World, body: Body) -> None:
    for index, tool in enumerate(body.get("tools") or ()):
        where = f"tools[{index}]"
        kind = "custom" if isinstance(tool, dict) and tool.get("type") == "custom" else "function"
        function = tool.get(kind) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != kind:
            raise missing(f"{where}.{kind}")
        name = function.get("name")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            message = (
                f"Invalid '{where}.{kind}.name': string does not match pattern. Expected a string that "
                "matches the pattern '^[a-zA-Z0-9_-]+$'."
            )
            raise refuse(message, f"{where}.{kind}.name", "invalid_value")
        if kind == "custom":
            _custom_format(function.get("format"), f"{where}.custom.format")
        elif function.get("parameters") is not None:
            subject = Subject(
                f"function '{name}'", f"{where}.function.parameters", "invalid_function_parameters"
            )
            check_function_schema(function["parameters"], subject, strict=function.get("strict") is True)


def _custom_format(wanted: Any, where: str) -> None:
    """Unlike in a Responses request, the grammar has a wrapper called `grammar`."""
    if wanted is None:
        return
    must_be(wanted, dict, where, "an object")
    supported(wanted.get("type"), ("text", "grammar"), f"{where}.type")
    if wanted["type"] == "grammar":
        must_be(wanted.get("grammar"), dict, f"{where}.grammar", "an object")
        check_grammar(wanted["grammar"], f"{where}.grammar")


def _tool_choice(world: World, body: Body) -> None:
    """One of three words, or functions by name: one, or several that are allowed."""
    choice = body.get("tool_choice")
    of_type(choice, (str, dict), "tool_choice", "a string or an object")
    if not isinstance(choice, dict):
        return
    one_of(str(choice.get("type")), (*CALLS, "allowed_tools"), "tool_choice.type")
    named: Any = [choice]
    if choice["type"] == "allowed_tools":
        allowed: Any = choice.get("allowed_tools")
        must_be(allowed, dict, "tool_choice.allowed_tools", "an object")
        named = allowed.get("tools")
        must_be(named, list, "tool_choice.allowed_tools.tools", "an array of objects")
    for tool in named:
        kind = "custom" if isinstance(tool, dict) and tool.get("type") == "custom" else "function"
        inside = tool.get(kind) if isinstance(tool, dict) else None
        if not isinstance(inside, dict) or not isinstance(inside.get("name"), str):
            raise missing(f"tool_choice.{kind}.name")


def _format(world: World, body: Body) -> None:
    """Unlike in a Responses request, the schema has a wrapper called `json_schema`."""
    wanted = body.get("response_format") or {"type": "text"}
    if wanted.get("type") is None:
        raise missing("response_format.type")
    one_of(wanted["type"], FORMAT_TYPES, "response_format.type")
    if wanted["type"] == "json_schema":
        _json_schema(wanted.get("json_schema"))
    if wanted["type"] == "json_object" and b"json" not in msgspec.json.encode(body["messages"]).lower():
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'."
        )
        raise refuse(message, "messages")


def _json_schema(named: Any) -> None:
    if named is None:
        raise missing("response_format.json_schema")
    of_type(named, dict, "response_format.json_schema", "an object")
    for name, kind, words in (("name", str, "a string"), ("schema", dict, "an object")):
        if named.get(name) is None:
            raise missing(f"response_format.json_schema.{name}")
        of_type(named[name], kind, f"response_format.json_schema.{name}", words)
    check_format_name(named["name"], "response_format.json_schema.name")
    subject = Subject(f"response_format '{named['name']}'", "response_format", None)
    check_format_schema(named["schema"], subject, strict=named.get("strict") is True)


RULES: tuple[Callable[[World, Body], None], ...] = (
    _parameters,
    _simple_values,
    _model,
    _only_with,
    _messages,
    _tools,
    _tool_choice,
    _format,
)
