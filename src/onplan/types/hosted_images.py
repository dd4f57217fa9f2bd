"""The images that the hosted tool of the Responses API made, in an answer's parts."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable

from onplan.types.parts import IMAGE_GENERATION, ContentPart, HostedToolCall, Image


def images_in(parts: Iterable[ContentPart]) -> list[Image]:
    """The images, in order; a call without one, or whose base64 is damaged, has none."""
    calls = (part for part in parts if isinstance(part, HostedToolCall) and part.name == IMAGE_GENERATION)
    return [Image(data=data) for call in calls if (data := decoded(call.fields.get("result")))]


def decoded(result: object) -> bytes | None:
    """The bytes of base64 text, alone or in a ``data:`` URL; None if it is neither."""
    if not isinstance(result, str):
        return None
    try:
        return b64decode(result.rpartition(",")[2] if result.startswith("data:") else result, validate=True)
    except (binascii.Error, ValueError):
        return None
