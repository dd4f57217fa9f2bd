"""Where a service keeps responses: in memory, or in a folder that several processes share."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
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


_SWEEP_SECONDS = 60.0
_SWEEP_SHARE = 8  # a process looks again when it has added this part of what may be kept
_NAME_LENGTH = 64


class FolderStore:
    """Keeps responses in a folder, where all workers of one server find them.

    A file has a response, or the name of the one that an item belongs to. Files appear whole or not at all. A
    disk that is full keeps nothing; answers do not fail for that.

    Args:
        folder: private (0700); whoever made it removes it.
        bounds: how much is kept, of all processes together; for a moment it may be some more.
    """

    def __init__(self, folder: Path, bounds: Bounds | None = None) -> None:
        self._folder, self._bounds = folder, bounds or Bounds()
        self._swept, self._count, self._size = time.monotonic(), 0, 0

    async def put(self, name: str, items: Sequence[str], data: bytes) -> None:
        """Keep ``data``."""
        await asyncio.to_thread(self._put, name, items, data)

    async def get(self, name: str) -> bytes | None:
        """What is kept."""
        return await asyncio.to_thread(self._get, name)

    async def remove(self, name: str) -> bool:
        """Give up a response."""
        return await asyncio.to_thread(self._remove, name)

    def _put(self, name: str, items: Sequence[str], data: bytes) -> None:
        if len(data) > self._bounds.size:
            return
        with suppress(OSError):
            self._write(name, data)
            for item in items:
                self._write(item, name.encode())
        self._count, self._size = self._count + 1, self._size + len(data)
        share = self._bounds.count // _SWEEP_SHARE, self._bounds.size // _SWEEP_SHARE
        is_much = self._count > share[0] or self._size > share[1]
        if is_much or time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._sweep()

    def _write(self, name: str, data: bytes) -> None:
        written = self._folder / f"{secrets.token_hex(8)}.new"
        try:
            with open(written, "xb", opener=_private) as file:
                file.write(data)
            written.replace(self._folder / name)
        except OSError:
            written.unlink(missing_ok=True)
            raise

    def _get(self, name: str) -> bytes | None:
        data = self._read(name)
        return self._read(data.decode()) if data is not None and len(data) == _NAME_LENGTH else data

    def _read(self, name: str) -> bytes | None:
        try:
            with (self._folder / name).open("rb") as file:
                is_old = time.time() - os.fstat(file.fileno()).st_mtime > self._bounds.age
                return None if is_old else file.read()
        except OSError:
            return None

    def _remove(self, name: str) -> bool:
        try:
            (self._folder / name).unlink()
        except OSError:
            return False
        return True

    def _sweep(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        self._swept, self._count, self._size = time.monotonic(), 0, 0
        found: list[tuple[float, int, str]] = []
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process has removed it
                    facts = entry.stat()
                    found.append((facts.st_mtime, facts.st_size, entry.path))
        found.sort(reverse=True)
        oldest, count, size = time.time() - self._bounds.age, 0, 0
        for changed, length, path in found:
            count, size = count + (length != _NAME_LENGTH), size + length
            if changed < oldest or count > self._bounds.count or size > self._bounds.size:
                with suppress(OSError):
                    Path(path).unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
