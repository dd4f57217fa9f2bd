"""Where a service keeps responses: what every such store can do, and the store of one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from onplan.dialects.openai_responses.stored import Bounds, KeptResponses


class ResponseStore(Protocol):
    """Keeps encoded responses by name, for a while. Names are 64 hexadecimal digits."""

    async def put(self, name: str, items: Sequence[str], data: bytes) -> None:
        """Keep ``data``; it is found by its own name and by those of its items."""
        ...

    async def get(self, name: str) -> bytes | None:
        """What is kept under the name of a response or of an item; None if it is not there."""
        ...

    async def remove(self, name: str) -> bool:
        """Give up the response of this name. Return whether it was there."""
        ...


class MemoryStore:
    """Keeps responses in this process."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._kept = KeptResponses(bounds)

    async def put(self, name: str, items: Sequence[str], data: bytes) -> None:
        """Keep ``data``."""
        self._kept.put(name, items, data, time.monotonic())

    async def get(self, name: str) -> bytes | None:
        """What is kept."""
        return self._kept.get(name, time.monotonic())

    async def remove(self, name: str) -> bool:
        """Give up a response."""
        return self._kept.remove(name)
