"""Faults of the image endpoints."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from onplan.emulator.faults.actions import changed, ended, error, server_error
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Reply, detail, json_reply

IMAGES = ("images",)


def _holding(data: object) -> Callable[[Reply], Reply]:
    """The reply with another `data`."""

    def change(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "data": data}

    return changed(change)


FAULTS = (
    Fault(
        "images_unauthorized",
        "401, as for an access token that was revoked early.",
        IMAGES,
        instead=lambda: detail("Unauthorized", 401),
    ),
    Fault(
        "images_forbidden",
        "403: the account may not generate images.",
        IMAGES,
        instead=error(403, "You are not allowed to use image generation.", code="permission_denied"),
    ),
    Fault(
        "images_refused",
        "400: the prompt is refused by the content policy.",
        IMAGES,
        instead=error(
            400, "Your request was rejected by the safety system.", code="moderation_blocked", param="prompt"
        ),
    ),
    Fault(
        "images_rate_limited",
        "429 of image generation, while most of the plan is left (openai/codex issue 26595).",
        IMAGES,
        instead=error(429, "image generation request was rate limited", kind="rate_limit_error"),
    ),
    Fault("images_500", "500 instead of an image.", IMAGES, instead=server_error),
    Fault("images_404", "404: there is no such endpoint.", IMAGES, instead=lambda: detail("Not Found", 404)),
    Fault("images_slow", "The image takes a while (1 s, or the seconds it was armed with).", IMAGES, delay=1),
    Fault("images_cut", "The connection ends in the middle of the image.", IMAGES, after=ended("cut")),
    Fault("images_empty", "A reply without image data.", IMAGES, after=_holding([])),
    Fault(
        "images_url",
        "The address of the image in place of the image.",
        IMAGES,
        after=_holding([{"url": "https://files.example.com/image.png"}]),
    ),
    Fault(
        "images_bad_base64",
        "An image whose base64 is damaged.",
        IMAGES,
        after=_holding([{"b64_json": "iVBORw0KGgo=!"}]),
    ),
    Fault(
        "images_not_an_image",
        "Text in place of the bytes of the image.",
        IMAGES,
        after=_holding([{"b64_json": b64encode(b"no image").decode()}]),
    ),
    Fault(
        "images_odd",
        "All fields of the reply but the image have values of other types.",
        IMAGES,
        after=changed(lambda body: {**body, "created": "now", "size": 5, "quality": None, "background": []}),
    ),
    Fault("images_list", "A JSON list instead of the reply.", IMAGES, instead=lambda: json_reply([1])),
)
