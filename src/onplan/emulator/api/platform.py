"""The platform at `/v1`: API keys, the list of models, and what both of its APIs have in common."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from onplan.emulator.api.model import answer
from onplan.emulator.checks.platform import PLAIN_MODEL, thinks
from onplan.emulator.wire.items import Reasoning, Turn
from onplan.emulator.wire.replies import Headers, Refusal, Reply, Request, api_error, json_reply
from onplan.emulator.world import World

# Models that are listed, and not for text.
NOT_FOR_TEXT = ("text-embedding-3-large", "whisper-1", "gpt-image-1")
LAST_CREATED = 1_790_000_000
DAY = 86_400

KEYS = "https://platform.openai.com/account/api-keys"
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    f"auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from {KEYS}."
)


def authenticate(world: World, request: Request) -> None:
    """Raise a Refusal unless the bearer is an API key; a plan's access token is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Refusal(api_error(NO_KEY, status=401))
    accepted = world.scenario.api_keys
    if key not in accepted if accepted is not None else not key.startswith("sk-"):
        shown = f"{key[:3]}{'*' * 8}{key[-4:]}"
        message = f"Incorrect API key provided: {shown}. You can find your API key at {KEYS}."
        raise Refusal(api_error(message, code="invalid_api_key", status=401))


def served(handler: Callable[[World, Request], Reply]) -> Callable[[World, Request], Reply]:
    """The handler, whose refusals get the headers of every platform answer."""

    def serve(world: World, request: Request) -> Reply:
        try:
            return handler(world, request)
        except Refusal as refusal:
            return replace(refusal.reply, headers=(*refusal.reply.headers, *headers()))

    return serve


def headers() -> Headers:
    """The headers of every platform answer."""
    return (
        ("openai-version", "2020-10-01"),
        ("openai-processing-ms", "5"),
        ("x-request-id", f"req_{secrets.token_hex(16)}"),
    )


def models(world: World, request: Request) -> Reply:
    """All models, also those that are not for text."""
    authenticate(world, request)
    shown = [model["slug"] for model in world.catalogue if model.get("visibility", "list") == "list"]
    slugs = [*NOT_FOR_TEXT, *shown, PLAIN_MODEL]
    data = [
        {"id": slug, "object": "model", "created": LAST_CREATED - index * DAY, "owned_by": "openai"}
        for index, slug in enumerate(slugs)
    ]
    return json_reply({"object": "list", "data": data}, headers=headers())


def turn_of(world: World, asked: Request) -> Turn:
    """The model's turn, without reasoning and its cost if the model or the effort has none."""
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
