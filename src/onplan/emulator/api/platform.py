"""How does the platform answer, at `/v1`? API keys, its models, and the Responses API for those who pay."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from onplan.emulator.api.catalogue import efforts_of
from onplan.emulator.api.items import Reasoning, Turn
from onplan.emulator.api.model import answer
from onplan.emulator.checks.body import COMMON_RULES, of_type
from onplan.emulator.wire.replies import EVENT_STREAM, Call, Headers, Refusal, Reply, api_error, json_reply
from onplan.emulator.wire.stream import Stream
from onplan.emulator.world import World

# One that does not reason; the others are those of the plan's catalogue.
PLAIN_MODEL = "gpt-4.1"
# Those that need not reason; no catalogue says so, and neighbours refuse it (notes, section 17).
TAKES_NO_EFFORT = frozenset({"gpt-6-sol", "gpt-6-luna", "gpt-6.1-terra"})
# Listed as well.
NOT_FOR_TEXT = ("text-embedding-3-large", "whisper-1", "gpt-image-1")
LAST_CREATED = 1_790_000_000
DAY = 86_400

KEYS = "https://platform.openai.com/account/api-keys"
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    f"auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from {KEYS}."
)


def authenticate(world: World, call: Call) -> None:
    """Raise a Refusal unless the bearer is an API key; a plan's access token is none."""
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Refusal(api_error(NO_KEY, status=401))
    accepted = world.scenario.api_keys
    if key not in accepted if accepted is not None else not key.startswith("sk-"):
        shown = f"{key[:3]}{'*' * 8}{key[-4:]}"
        message = f"Incorrect API key provided: {shown}. You can find your API key at {KEYS}."
        raise Refusal(api_error(message, code="invalid_api_key", status=401))


def served(handler: Callable[[World, Call], Reply]) -> Callable[[World, Call], Reply]:
    """The handler, whose refusals carry what every answer of the platform carries."""

    def serve(world: World, call: Call) -> Reply:
        try:
            return handler(world, call)
        except Refusal as refusal:
            return replace(refusal.reply, headers=(*refusal.reply.headers, *headers()))

    return serve


def headers() -> Headers:
    """What every answer of the platform carries."""
    return (
        ("openai-version", "2020-10-01"),
        ("openai-processing-ms", "5"),
        ("x-request-id", f"req_{secrets.token_hex(16)}"),
    )


def models(world: World, call: Call) -> Reply:
    """All there are, and among them some that do not talk."""
    authenticate(world, call)
    shown = [model["slug"] for model in world.catalogue if model.get("visibility", "list") == "list"]
    slugs = [*NOT_FOR_TEXT, *shown, PLAIN_MODEL]
    data = [
        {"id": slug, "object": "model", "created": LAST_CREATED - index * DAY, "owned_by": "openai"}
        for index, slug in enumerate(slugs)
    ]
    return json_reply({"object": "list", "data": data}, headers=headers())


def thinks(world: World, slug: Any) -> bool:
    """Whether a model reasons. Raises the Refusal for one that does not exist."""
    if slug == PLAIN_MODEL:
        return False
    if world.model(slug) is None:
        message = f"The model `{slug}` does not exist or you do not have access to it."
        raise Refusal(api_error(message, code="model_not_found", status=404))
    return True


def turn_of(world: World, asked: Call) -> Turn:
    """The model's turn; one that does not reason, or is not to, leaves that out, and its cost."""
    turn = answer(world, asked)
    effort = (asked.body.get("reasoning") or {}).get("effort")
    if thinks(world, asked.body["model"]) and effort != "none":
        return turn
    tokens = turn.usage["output_tokens_details"]["reasoning_tokens"]
    usage = {
        **turn.usage,
        "output_tokens": turn.usage["output_tokens"] - tokens,
        "total_tokens": turn.usage["total_tokens"] - tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    items = tuple(item for item in turn.items if not isinstance(item, Reasoning))
    return replace(turn, items=items, usage=usage)


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


def json_body(call: Call) -> dict[str, Any]:
    """The body. Raises the Refusal for one that is no JSON object."""
    if isinstance(call.body, dict) and call.media_type == "application/json":
        return call.body
    message = "We could not parse the JSON body of your request."
    raise Refusal(api_error(message))


# --- the Responses API ------------------------------------------------------------------------------

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


def respond(world: World, call: Call) -> Reply:
    """A turn, in a stream or whole."""
    authenticate(world, call)
    body = json_body(call)
    for name in body:
        if name not in KNOWN:
            raise Refusal(api_error(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter"))
    of_type(body.get("input"), (str, list), "input", "a string or an array of objects")
    _check_model(world, body)
    asked = Call(call.method, call.path, "", _headers_of(call, body), msgspec.json.encode(_as_codex(body)))
    for rule in COMMON_RULES:
        rule(world, asked, asked.body)
    turn = turn_of(world, asked)
    if not body.get("stream"):
        output = [item.finished() for item in turn.items]
        return json_reply(turn.response("completed", output=output, usage=turn.usage), headers=headers())
    head = (("content-type", EVENT_STREAM), *headers())
    return Reply(headers=head, stream=Stream(turn=turn, interval=world.scenario.answer.interval))


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


def _headers_of(call: Call, body: dict[str, Any]) -> dict[str, str]:
    """Here the body's key finds the prompt in the cache; on a plan it is a header."""
    return {**call.headers, "session-id": str(body.get("prompt_cache_key") or "")}


def _as_codex(body: dict[str, Any]) -> dict[str, Any]:
    """The same, with what the Codex backend wants otherwise: a list, and no system messages."""
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    changed = [
        {**item, "role": "developer"} if isinstance(item, dict) and item.get("role") == "system" else item
        for item in items
    ]
    return {**body, "input": changed}
