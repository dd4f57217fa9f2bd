"""Checks what the platform asks of every request at `/v1`, and of a Responses request in particular."""

from __future__ import annotations

from typing import Any

from onplan.emulator.catalogue import efforts_of
from onplan.emulator.checks.refusals import of_type
from onplan.emulator.wire.replies import Refusal, Request, api_error
from onplan.emulator.world import World

# A model that does not reason; the others are those of the plan's catalogue.
PLAIN_MODEL = "gpt-4.1"
# Reasoning models that accept the effort "none", by the code of pydantic-ai 2.68.0; no catalogue says so.
TAKES_NO_EFFORT = frozenset({"gpt-6-sol", "gpt-6-luna", "gpt-6.1-terra"})
KNOWN = frozenset(
    [
        "background",
        "client_metadata",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
SAMPLING = ("temperature", "top_p")


def check_platform_response(world: World, body: dict[str, Any]) -> None:
    """Raise the Refusal for a parameter or model that a Responses request at the platform may not have."""
    for name in body:
        if name not in KNOWN:
            raise Refusal(api_error(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter"))
    of_type(body.get("input"), (str, list), "input", "a string or an array of objects")
    _check_model(world, body)


def _check_model(world: World, body: dict[str, Any]) -> None:
    of_type(body.get("reasoning"), dict, "reasoning", "an object")
    reasoning = body.get("reasoning") or {}
    if thinks(world, body.get("model")):
        for name in SAMPLING:
            if body.get(name) is not None:
                raise refuse_parameter(name)
        check_effort(world, body.get("model"), reasoning.get("effort"), "reasoning.effort")
        return
    if reasoning.get("effort") or reasoning.get("summary"):
        raise refuse_parameter("reasoning.effort")
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        raise Refusal(api_error("Encrypted content is not supported with this model.", param="include"))


def thinks(world: World, slug: Any) -> bool:
    """Whether a model reasons. Raises the Refusal for one that does not exist."""
    if slug == PLAIN_MODEL:
        return False
    if world.model(slug) is None:
        message = f"The model `{slug}` does not exist or you do not have access to it."
        raise Refusal(api_error(message, code="model_not_found", status=404))
    return True


def refuse_parameter(name: str, why: str = "is not supported with this model") -> Refusal:
    """The refusal of a parameter that a model does not take."""
    message = f"Unsupported parameter: '{name}' {why}."
    return Refusal(api_error(message, param=name, code="unsupported_parameter"))


def check_effort(world: World, slug: Any, effort: Any, param: str) -> None:
    """Raise unless the model knows this effort."""
    efforts = (("none",) if slug in TAKES_NO_EFFORT else ()) + efforts_of(world.model(slug) or {})
    if effort is not None and effort not in efforts:
        names = ", ".join(f"'{name}'" for name in efforts)
        message = f"Unsupported value: '{effort}' is not supported. Supported values are: {names}."
        raise Refusal(api_error(message, param=param, code="unsupported_value"))


def json_body(request: Request) -> dict[str, Any]:
    """The body. Raises the Refusal for one that is no JSON object."""
    if isinstance(request.body, dict) and request.media_type == "application/json":
        return request.body
    message = "We could not parse the JSON body of your request."
    raise Refusal(api_error(message))
