"""Image generation and editing: of the Codex backend, and of the platform."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from onplan.emulator.api import codex_account, platform
from onplan.emulator.checks.images import check_images
from onplan.emulator.wire.png import png_of
from onplan.emulator.wire.replies import Headers, Refusal, Reply, Request, detail, json_reply
from onplan.emulator.world import World

# As reported of the real service: openai/codex issue 28723.
SQUARE, WIDE, HIGH, QUALITY = (1024, 1024), (1536, 1024), (1024, 1536), "medium"
MOST_ON_PLAN, MOST_ON_PLATFORM = 5, 16  # references
TOKENS = 4_000  # what one image uses of the plan: made up, for what it really costs is not known
FREE = "Image generation is not available on the free plan."


def of_the_plan(world: World, request: Request) -> Reply:
    """An image on the plan: one, whatever `n` says, and as large and as good as the service wants."""
    codex_account.authenticate(world, request)
    if world.scenario.plan == "free":
        raise Refusal(detail(FREE, 403))  # the status of the real refusal is not known
    body = check_images(request, MOST_ON_PLAN)
    codex_account.require_allowance(world)
    world.allowance.use(TOKENS)
    return _reply(body, 1, (("x-codex-imagegen-request-id", str(uuid4())),))


def of_the_platform(world: World, request: Request) -> Reply:
    """Images for an API key, with the tokens that they cost."""
    platform.authenticate(world, request)
    body = check_images(request, MOST_ON_PLATFORM)
    usage = {"input_tokens": 12, "output_tokens": TOKENS, "total_tokens": 12 + TOKENS}
    return _reply(body, body.get("n", 1), platform.headers(), output_format="png", usage=usage)


def _reply(body: Mapping[str, Any], count: int, headers: Headers, **more: Any) -> Reply:
    size = _size(body.get("size", "auto"))
    transparent = body.get("background") == "transparent"
    names = (f"{body['prompt']} {number}" for number in range(count))
    images = (png_of(name, *size, transparent=transparent) for name in names)
    reply = {
        "created": int(time.time()),
        "data": [{"b64_json": base64.b64encode(image).decode()} for image in images],
        "background": "transparent" if transparent else "opaque",
        "quality": QUALITY,
        "size": f"{size[0]}x{size[1]}",
        **more,
    }
    return json_reply(reply, headers=headers)


def _size(asked: str) -> tuple[int, int]:
    """The size that the service makes instead of the one asked for."""
    if asked == "auto":
        return SQUARE
    width, _, height = asked.partition("x")
    return SQUARE if int(width) == int(height) else WIDE if int(width) > int(height) else HIGH
