"""Where a service keeps responses: in memory, or in a folder that several processes share."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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
_SWEEP_SHARE = 2  # a process looks again when it has added this part of what may be kept
_SMALL = 256 * 1024  # bytes that are written at once: a thread for it would cost more than the writing
_ITEM = ".item"  # ends the names of files that are found by an item
_WHOLE = b"\n"  # the last byte of a file that is whole; encoded responses do not end like this


class FolderStore:
    """Keeps responses in a folder, where all workers of one server find them.

    Each response is a file, with a link for each of its items. A file that is not whole, or that was removed
    by its own name and is found by an item, is none. A disk that is full keeps nothing; answers do not fail
    for that.

    Args:
        folder: private (0700), on a local disk or in memory; what made it removes it.
        bounds: how much is kept, of all processes together; each may add half as much before it looks.
    """

    def __init__(self, folder: Path, bounds: Bounds | None = None) -> None:
        self._folder, self._bounds = folder, bounds or Bounds()
        self._swept, self._count, self._size = time.monotonic(), 0, 0

    async def put(self, name: str, items: Sequence[str], data: bytes) -> None:
        """Keep ``data``."""
        if len(data) > self._bounds.size:
            return
        if len(data) > _SMALL:
            await asyncio.to_thread(self._put, name, items, data)
        else:
            self._put(name, items, data)
        self._count, self._size = self._count + 1, self._size + len(data)
        share = self._bounds.count // _SWEEP_SHARE, self._bounds.size // _SWEEP_SHARE
        is_much = self._count > share[0] or self._size > share[1]
        if is_much or time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept, self._count, self._size = time.monotonic(), 0, 0
            await asyncio.to_thread(self._sweep)

    async def get(self, name: str) -> bytes | None:
        """What is kept."""
        return await asyncio.to_thread(self._get, name)

    async def remove(self, name: str) -> bool:
        """Give up a response."""
        return await asyncio.to_thread(self._remove, name)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _put(self, name: str, items: Sequence[str], data: bytes) -> None:
        path = self._path(name)
        with suppress(OSError):
            _in_place_of(path, lambda: _write(path, data + _WHOLE))
            for item in items:
                link = self._path(item + _ITEM)
                _in_place_of(link, partial(os.link, path, link))

    def _get(self, name: str) -> bytes | None:
        for path in (self._path(name), self._path(name + _ITEM)):
            with suppress(OSError), Path(path).open("rb") as file:
                is_old = time.time() - os.fstat(file.fileno()).st_mtime > self._bounds.age
                data = b"" if is_old else file.read()
                return data.removesuffix(_WHOLE) if data.endswith(_WHOLE) else None
        return None

    def _remove(self, name: str) -> bool:
        path = self._path(name)
        try:
            os.truncate(path, 0)  # for those that find it by an item
            Path(path).unlink()
        except OSError:
            return False
        return True

    def _sweep(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        found: dict[int, _Found] = {}
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process has removed it
                    facts = entry.stat()
                    file = found.setdefault(facts.st_ino, _Found(facts.st_mtime, facts.st_size))
                    file.paths.append(entry.path)
        oldest, size = time.time() - self._bounds.age, 0
        for count, file in enumerate(sorted(found.values(), key=lambda file: file.changed, reverse=True), 1):
            size += file.size
            if file.changed < oldest or count > self._bounds.count or size > self._bounds.size:
                for path in file.paths:
                    with suppress(OSError):
                        Path(path).unlink()


@dataclass(slots=True)
class _Found:
    """A file: when it was written (Unix seconds), its bytes, and its names."""

    changed: float
    size: int
    paths: list[str] = field(default_factory=list)


def _in_place_of(path: str, make: Callable[[], object]) -> None:
    """Make the file ``path``, in the place of another one."""
    try:
        make()
    except FileExistsError:
        Path(path).unlink()
        make()


def _write(path: str, data: bytes) -> None:
    """Write a new file, for its owner alone. Raises OSError, and leaves none, if it does not fit."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, data) != len(data):
            Path(path).unlink()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
