"""Checks a Responses request as the Codex backend does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from onplan.emulator.catalogue import efforts_of, serves
from onplan.emulator.checks.input import check_input, check_window
from onplan.emulator.checks.refusals import missing, of_type, one_of, refuse
from onplan.emulator.checks.schema import Subject, check_format_schema
from onplan.emulator.checks.tools import check_tool_choice, check_tools
from onplan.emulator.wire.replies import Refusal, Reply, Request, api_error, detail
from onplan.emulator.world import World

Body = dict[str, Any]

# Parameters that the official client sends or has fields for (0.171.0).
KNOWN = frozenset(
    [
        "access_programs",
        "client_metadata",
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
# Parameters that the platform accepts and this backend refuses. `generate` and `previous_response_id` are
# accepted over a WebSocket; `stream_id`, for several responses over one, is refused there too.
UNSUPPORTED = frozenset(
    [
        "background",
        "conversation",
        "frequency_penalty",
        "generate",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "max_tool_calls",
        "messages",
        "metadata",
        "n",
        "presence_penalty",
        "previous_response_id",
        "prompt",
        "prompt_cache_options",
        "prompt_cache_retention",
        "response_format",
        "safety_identifier",
        "seed",
        "stop",
        "stream_id",
        "temperature",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
INCLUDABLE = (
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.action.sources",
    "web_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
)
SERVICE_TIERS = ("auto", "default", "flex", "priority")
SUMMARIES = ("auto", "concise", "detailed", "none")
VERBOSITIES = ("low", "medium", "high")
COMPACTION = "remote_compaction_v2"
FORMAT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check(world: World, request: Request) -> None:
    """Raise the Refusal for the first thing wrong with a request for a response."""
    if request.plain is None:
        raise Refusal(detail("Request body could not be decoded"))
    if request.media_type != "application/json":
        raise Refusal(detail("Unsupported content type", 415))
    if not isinstance(request.body, dict):
        raise Refusal(detail("Request body must be a JSON object"))
    for rule in RULES:
        rule(world, request, request.body)


def _parameters(world: World, request: Request, body: Body) -> None:
    for name in body:
        if name in UNSUPPORTED:
            raise Refusal(detail(f"Unsupported parameter: {name}"))
        if name not in KNOWN:
            raise Refusal(detail(f"Unknown parameter: {name}"))


def _fixed_values(world: World, request: Request, body: Body) -> None:
    if body.get("store") is not False:
        raise Refusal(detail("Store must be set to false"))
    if body.get("stream") is not True:
        raise Refusal(detail("Stream must be set to true"))
    if not isinstance(body.get("input"), list):
        raise Refusal(detail("Input must be a list"))


def _model(world: World, request: Request, body: Body) -> None:
    slug = body.get("model")
    model = world.model(slug)
    if model is None:
        raise Refusal(detail(f"The '{slug}' model is not supported when using Codex with a ChatGPT account."))
    if not serves(model, request.headers.get("version")):
        raise Refusal(gated(str(slug)))
    reasoning = body.get("reasoning")
    of_type(reasoning, dict, "reasoning", "an object")
    effort = (reasoning or {}).get("effort")
    efforts = efforts_of(model)
    if effort is not None and effort not in efforts:
        names = ", ".join(f"'{name}'" for name in efforts)
        complaint = f"'{effort}' is not supported with the '{slug}' model"
        message = f"Unsupported value: {complaint}. Supported values are: {names}."
        raise Refusal(api_error(message, param="reasoning.effort", code="unsupported_value"))
    one_of((reasoning or {}).get("summary"), SUMMARIES, "reasoning.summary")


def gated(slug: str) -> Reply:
    """The reply to a client that is too old for a model; reported in 2026."""
    advice = "Please upgrade to the latest app or CLI and try again."
    return detail(f"The '{slug}' model requires a newer version of Codex. {advice}")


def _simple_values(world: World, request: Request, body: Body) -> None:
    of_type(body.get("parallel_tool_calls"), bool, "parallel_tool_calls", "a boolean")
    of_type(body.get("prompt_cache_key"), str, "prompt_cache_key", "a string")
    of_type(body.get("instructions"), str, "instructions", "a string")
    of_type(body.get("reasoning"), dict, "reasoning", "an object")
    one_of(body.get("service_tier"), SERVICE_TIERS, "service_tier")
    of_type(body.get("include"), list, "include", "an array")
    for index, name in enumerate(body.get("include") or []):
        one_of(name, INCLUDABLE, f"include[{index}]")
    metadata = body.get("client_metadata")
    of_type(metadata, dict, "client_metadata", "an object")
    for name, value in (metadata or {}).items():
        of_type(value, str, f"client_metadata.{name}", "a string")


FORMAT_TYPES = ("text", "json_object", "json_schema")


def _text(world: World, request: Request, body: Body) -> None:
    text = body.get("text")
    of_type(text, dict, "text", "an object")
    one_of((text or {}).get("verbosity"), VERBOSITIES, "text.verbosity")
    text_format = (text or {}).get("format")
    of_type(text_format, dict, "text.format", "an object")
    if text_format is None:
        return
    if text_format.get("type") is None:
        raise missing("text.format.type")
    one_of(text_format["type"], FORMAT_TYPES, "text.format.type")
    if text_format["type"] == "json_schema":
        _json_schema(text_format)
    if text_format["type"] == "json_object":
        _mentions_json(body)


def _json_schema(text_format: Body) -> None:
    """The format of a Responses request: flat, where Chat Completions has a `json_schema` inside."""
    for name, kind in (("name", str), ("schema", dict)):
        if text_format.get(name) is None:
            raise missing(f"text.format.{name}")
        of_type(text_format[name], kind, f"text.format.{name}", "a string" if kind is str else "an object")
    check_format_name(text_format["name"], "text.format.name")
    subject = Subject(f"response_format '{text_format['name']}'", "text.format.schema", "invalid_json_schema")
    check_format_schema(text_format["schema"], subject, strict=text_format.get("strict") is True)


def check_format_name(name: str, param: str) -> None:
    """Raise unless a response format may be called that."""
    if not FORMAT_NAME.fullmatch(name):
        rule = "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$', with at most 64 characters."
        message = f"Invalid '{param}': string does not match pattern. {rule}"
        raise Refusal(api_error(message, param=param, code="invalid_value"))


def _mentions_json(body: Body) -> None:
    # Only `input` counts, not `instructions`.
    if b"json" not in msgspec.json.encode(body.get("input")).lower():
        message = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'."
        )
        raise Refusal(api_error(message, param="text.format"))


def _cache_breakpoints(world: World, request: Request, body: Body) -> None:
    """Refuse `prompt_cache_breakpoint` in content parts: only the platform takes it (pydantic-ai 2.68)."""
    for index, item in enumerate(body["input"]):
        content = item.get("content") if isinstance(item, dict) else None
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and "prompt_cache_breakpoint" in part:
                param = f"input[{index}].content[{number}].prompt_cache_breakpoint"
                raise Refusal(
                    api_error(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
                )


def _compaction(world: World, request: Request, body: Body) -> None:
    """Refuse to compact for a client that does not say that it knows how; the official one always does."""
    last = body["input"][-1] if body["input"] else None
    asked = isinstance(last, dict) and last.get("type") == "compaction_trigger"
    if asked and COMPACTION not in request.headers.get("x-codex-beta-features", "").split(","):
        where = f"input[{len(body['input']) - 1}]"
        raise refuse("Invalid value: 'compaction_trigger'.", f"{where}.type", "invalid_value")


def _window(world: World, request: Request, body: Body) -> None:
    check_window(world, body)


def _input(world: World, request: Request, body: Body) -> None:
    check_input(world, body)


def _tools(world: World, request: Request, body: Body) -> None:
    of_type(body.get("tools"), list, "tools", "an array")
    check_tools(body.get("tools") or [], "tools")
    check_tool_choice(body)


def _hosted_tools(world: World, request: Request, body: Body) -> None:
    """Refuse hosted search and images from models that take their tools inside `input`.

    The official client never offers search to them. What the service answers is not known; these are its
    words for a hosted tool of images.
    """
    model = world.model(body["model"]) or {}
    for tool in body.get("tools") or []:
        if tool["type"] in ("web_search", "image_generation") and model.get("use_responses_lite"):
            message = f"Tool '{tool['type']}' is not supported with {body['model']}."
            raise Refusal(api_error(message, param="tools"))
        # The free plan has no images, as a gateway tells it (Wei-Shaw/sub2api issue 2232).
        if tool["type"] == "image_generation" and world.scenario.plan == "free" and body.get("tool_choice"):
            message = "Tool choice 'image_generation' not found in 'tools' parameter."
            raise Refusal(api_error(message, param="tool_choice"))


# Rules that the platform shares.
COMMON_RULES: tuple[Callable[[World, Request, Body], None], ...] = (_simple_values, _text, _input, _tools)
RULES = (
    *(_parameters, _fixed_values, _model, _cache_breakpoints, _compaction),
    *(*COMMON_RULES, _hosted_tools, _window),
)
