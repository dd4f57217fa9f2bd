"""Reads large bodies on another thread, so that other requests are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LARGE = 256 * 1024  # bytes; what is smaller is read in a few milliseconds, and a thread costs some of them


async def read_body(read: Callable[[bytes], T], body: bytes) -> T:
    """What ``read`` makes of ``body``. Raises what it raises."""
    return await asyncio.to_thread(read, body) if len(body) > _LARGE else read(body)
