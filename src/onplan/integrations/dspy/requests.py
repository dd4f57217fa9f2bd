"""Requests of DSPy (``dspy.lm15``) as onplan's."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy import lm15

from onplan.backends import Backend
from onplan.flow import decode_json
from onplan.integrations.arguments import wrong_kind
from onplan.integrations.call_arguments import Said, is_same, written
from onplan.integrations.dspy.parts import PROVIDER, kept_of, sealed_in, their_parts
from onplan.integrations.merged_parts import SaidPart, as_parts, merged
from onplan.request.history import INVALID_ARGUMENTS
from onplan.types import (
    CompletionRequest,
    ContentPart,
    File,
    HostedTool,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)

PREFIX = f"{PROVIDER}/"


@dataclass
class Outgoing:
    """A request, and what of it a plan has no place for."""

    request: CompletionRequest
    adaptations: list[Any] = field(default_factory=list)


def outgoing(given: Any, backend: Backend) -> Outgoing:
    """What is to be asked of ``backend``.

    Raises ``lm15.UnsupportedFeatureError`` for what an answer cannot do without.
    """
    if not isinstance(given, lm15.Request):
        raise wrong_kind("request", given, "a `dspy.lm15.Request`")
    _refuse(given.config)
    sent, dropped = _without_field(given.config, backend)
    tools, choice = _tools(given)
    return Outgoing(
        CompletionRequest(
            model=given.model.removeprefix(PREFIX),
            messages=list(_messages(given)),
            tools=tools,
            tool_choice=choice,
            **_parameters(given.config, sent),
        ),
        dropped,
    )


def unsupported(feature: str, reason: str) -> Any:
    """The error for what a plan does not have."""
    return lm15.UnsupportedFeatureError(f"{feature}: {reason}", provider=PROVIDER, feature=feature)


# --- parameters -------------------------------------------------------------------------------------

# What no plan takes, and an answer can do without; and what it is called by other servers, which may take it.
_WITHOUT_FIELD = {
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "user_id": "user",
    "store": "store",
}


def _refuse(config: Any) -> None:
    """Raise ``lm15.UnsupportedFeatureError`` for what an answer cannot do without."""
    if config.logprobs is not None:
        raise unsupported("config.logprobs", "models on a plan do not tell probabilities")
    if config.probabilities == "required":
        raise unsupported("config.probabilities", "models on a plan do not tell probabilities")
    if config.cache is not None and config.cache.resource is not None:
        raise unsupported("config.cache.resource", "a plan has no stored caches")


def _without_field(config: Any, backend: Backend) -> tuple[dict[str, Any], list[Any]]:
    """The fields of the body that ``backend`` may take, and what is told of those that are left out."""
    given = {name: value for name in _WITHOUT_FIELD if (value := getattr(config, name)) is not None}
    if config.store is False:  # which a plan does not either
        del given["store"]
    sent = {name: value for name, value in given.items() if backend.passes_on(_WITHOUT_FIELD[name])}
    asked = {name: value for name, value in given.items() if name not in sent}
    if config.probabilities == "if_available":
        asked["probabilities"] = config.probabilities
    if config.reasoning is not None:
        asked["reasoning.thinking_budget"] = config.reasoning.thinking_budget
    dropped = [
        lm15.Adaptation(f"config.{name}", "dropped", f"{backend.name} does not take it.", asked=value)
        for name, value in asked.items()
        if value is not None
    ]
    return {_WITHOUT_FIELD[name]: value for name, value in sent.items()}, dropped


def _parameters(config: Any, sent: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "stop": list(config.stop),
        "response_format": config.response_format,
        "service_tier": config.service_tier,
        "extra_body": {**sent, **(config.extensions or {})} or None,
    }
    if config.reasoning is not None:
        fields["reasoning_effort"] = "none" if config.reasoning.is_off else config.reasoning.effort
        fields["reasoning_summary"] = config.reasoning.summary or (
            None if config.reasoning.is_off else "auto"
        )
    if config.cache is not None:
        fields["session_id"] = config.cache.key
    if config.tool_choice is not None:
        fields["parallel_tool_calls"] = config.tool_choice.parallel
    return {name: value for name, value in fields.items() if value is not None}


def _tools(given: Any) -> tuple[list[Tool], Any]:
    """The tools, of which the choice may allow a few, and the choice."""
    choice = given.config.tool_choice
    allowed: tuple[str, ...] = choice.allowed if choice is not None else ()
    tools = [_tool(tool) for tool in given.tools if not allowed or tool.name in allowed]
    if choice is None or not tools:
        return tools, None
    if choice.mode == "required" and len(allowed) == 1:
        return tools, ToolChoice(allowed[0])
    return tools, choice.mode


def _tool(tool: Any) -> Tool:
    if tool.type == "builtin":
        return HostedTool(tool.name, dict(tool.config or {}))
    return ToolDefinition(tool.name, tool.description or "", tool.parameters)


# --- messages ---------------------------------------------------------------------------------------


def _messages(given: Any) -> Iterator[Message]:
    if given.system is not None:
        system = given.system if isinstance(given.system, str) else as_parts(_parts(given.system))
        yield Message(Role.SYSTEM, system)
    for message in given.messages:
        kept, now = kept_of(message), list(_parts(message.parts))
        yield Message(Role(message.role), merged(kept, _before(kept, now), now, INVALID_ARGUMENTS))


def _before(kept: list[ContentPart], now: list[SaidPart]) -> list[SaidPart]:
    """What the message of an answer said that was made of ``kept``, whole or of a stream's events."""
    said_now = {part.id: part.arguments for part in now if isinstance(part, Said)}
    texts = {part.id: part.arguments for part in kept if isinstance(part, ToolCall)}
    before: list[SaidPart] = []
    for part in _parts(their_parts(kept)):
        streamed = _as_streamed(texts[part.id]) if isinstance(part, Said) else None
        if isinstance(part, Said) and is_same(said_now.get(part.id), streamed):
            before.append(part._replace(arguments=streamed))
        else:
            before.append(part)
    return before


def _as_streamed(text: str) -> dict[str, Any]:
    """The arguments that DSPy makes of a stream's events."""
    value = decode_json(text.encode())
    if isinstance(value, dict):
        return value
    return {"partial_json": text} if value is None else {"value": value}


def _parts(parts: Iterable[Any]) -> Iterator[SaidPart]:
    for part in parts:
        match part.type:
            case "citation":  # it says where the text beside it comes from
                continue
            case "tool_result":
                yield ToolResult(part.id, list(_parts(part.content)), part.is_error)
            case "tool_call":
                yield Said(part.id, part.name, part.input)
            case _:
                yield part_of(part)


def part_of(part: Any) -> ContentPart:
    """One part. Raises ``lm15.UnsupportedFeatureError``."""
    match part.type:
        case "text":
            return Text(part.text)
        case "refusal":
            return Refusal(part.text)
        case "data":
            return Text(written(part.value, "a data part"))
        case "thinking":
            return Thinking(part.text, sealed_in(part))
        case "image":
            return Image(**_source(part), mime_type=part.media_type, detail=part.detail)
        case "document":
            return File(**_source(part), mime_type=part.media_type)
        case kind:
            raise unsupported(f"messages.{kind}", "models on a plan take text, images and documents")


def _source(part: Any) -> Mapping[str, Any]:
    if part.url is not None:
        return {"url": part.url}
    if part.path is not None:
        return {"path": os.fspath(part.path)}
    if part.data is not None:
        return {"data": b64decode(part.data)}
    raise unsupported(f"messages.{part.type}.file_id", "a plan stores no files")
