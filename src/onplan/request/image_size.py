"""Reads the size of an image from its first bytes."""

from __future__ import annotations

import io
from contextlib import suppress

from onplan.request.image_types import type_of

# Where the library looks at the beginning only. It reads other formats as XML, or follows their offsets.
_MEASURED = ("image/png", "image/jpeg", "image/webp", "image/gif")
HEAD = 256 * 1024  # bytes; a JPEG that has its size later than that is hostile
_LARGEST_SIDE = 100_000  # pixels


def pixels_of(data: bytes) -> tuple[int, int] | None:
    """Width and height by the first ``HEAD`` bytes of an image; None if they are unknown or make no sense."""
    import imagesize  # type: ignore[import-untyped]

    if type_of(data) not in _MEASURED:
        return None
    width, height = -1, -1
    with suppress(Exception):  # imagesize 1.4 raises errors of many kinds for a damaged image, 2.0 none
        width, height = imagesize.get(io.BytesIO(data[:HEAD]))
    sides = (width, height)
    known = all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in sides)
    return sides if known else None
