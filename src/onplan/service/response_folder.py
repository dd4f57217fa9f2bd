"""Keeps responses in a folder that several processes share.

To keep one costs one system call. Whoever looks for one reads first what was added since he looked last.
Both happen on the event loop: a thread would have to wait for the interpreter at each of its system calls.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from onplan.dialects.openai_responses.stored import Bounds
from onplan.service.response_segments import (
    Place,
    Segment,
    data_at,
    is_closed,
    records,
    records_in,
    remove_at,
)

_SWEEP_SECONDS = 60.0
_PART = 8  # a file, and what is added between two sweeps, is this part of what may be kept
_SMALL = 256 * 1024  # bytes that are written on the event loop


class FolderStore:
    """Keeps responses in a folder, where all workers of one server find them.

    Each process appends to files of its own. A disk that is full keeps nothing, and no answer fails for that.

    Args:
        folder: private (0700), on a local disk or in memory; what made it removes it.
        bounds: how much is kept, of all processes together; each may add an eighth before it looks.
        clock: gives Unix seconds.
    """

    def __init__(
        self, folder: Path, bounds: Bounds | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._bounds, self._clock = folder, bounds or Bounds(), clock
        self._segment: Segment | None = None
        self._index = _Index(folder)
        self._swept, self._count, self._size = time.monotonic(), 0, 0

    async def put(self, name: str, items: Sequence[str], data: bytes) -> None:
        """Keep ``data``."""
        if len(data) > self._bounds.size:
            return
        if len(data) > _SMALL:
            await asyncio.to_thread(self._put_alone, (name, *items), data)
        else:
            self._put((name, *items), data)
        self._count, self._size = self._count + 1, self._size + len(data)
        if self._is_part(self._count, self._size) or time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept, self._count, self._size = time.monotonic(), 0, 0
            self._sweep()

    async def get(self, name: str) -> bytes | None:
        """What is kept."""
        self._index.read()
        place = self._index.responses.get(name) or self._index.items.get(name)
        if place is not None and self._clock() - place.at <= self._bounds.age:
            with suppress(OSError):  # another process has removed its file
                return data_at(place)
        return None

    async def remove(self, name: str) -> bool:
        """Give up a response."""
        self._index.read()
        place = self._index.responses.get(name)
        with suppress(OSError):  # another process has removed its file
            return place is not None and remove_at(place)
        return False

    def _is_part(self, count: int, size: int) -> bool:
        """Whether these are a part of what may be kept."""
        return count >= max(1, self._bounds.count // _PART) or size >= self._bounds.size // _PART

    def _put(self, names: Sequence[str], data: bytes) -> None:
        now, segment = self._clock(), self._segment
        with suppress(OSError):
            if segment is None or not 0 <= now - segment.began <= self._bounds.age / _PART:
                segment = self._begin(now)
            if not segment.add(names, data, now) or self._is_part(segment.count, segment.size):
                self._end()

    def _put_alone(self, names: Sequence[str], data: bytes) -> None:
        """Keep what is large in a file of its own, on another thread."""
        now = self._clock()
        with suppress(OSError):
            segment = Segment(self._folder, now)
            segment.add(names, data, now)
            segment.close()

    def _begin(self, now: float) -> Segment:
        self._end()
        self._segment = Segment(self._folder, now)
        return self._segment

    def _end(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _sweep(self) -> None:
        """Remove the files of which all is too old, and the oldest of what is too much."""
        count = size = 0
        now = self._clock()
        oldest = now - self._bounds.age
        for file in sorted(_not_later(_files(self._folder), now), key=_by_age, reverse=True):
            with suppress(OSError):  # another process has removed it
                is_much = count >= self._bounds.count or size + file.size > self._bounds.size
                count, size = count + records_in(file.path, file.size), size + file.size
                if file.changed < oldest or (is_much and is_closed(file.path)):
                    Path(file.path).unlink()


class _File(NamedTuple):
    path: str
    size: int
    changed: float  # Unix seconds


def _by_age(file: _File) -> tuple[float, str]:
    """By what files are sorted from the oldest to the newest: systems count the time in steps of 4 ms."""
    return file.changed, file.path


def _not_later(files: Iterable[_File], now: float) -> Iterator[_File]:
    """The files, each of them changed now at the latest.

    If a clock was set back, the files from before would else be newer than all that come, and stay in place
    of them.
    """
    for file in files:
        if file.changed > now:
            with suppress(OSError):  # another process has removed it
                os.utime(file.path, (now, now))
        yield file._replace(changed=min(file.changed, now))


def _files(folder: Path) -> list[_File]:
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # another process has removed it
                facts = entry.stat()
                found.append(_File(entry.path, facts.st_size, facts.st_mtime))
    return found


class _Index:
    """Where the responses of a folder are, as far as it has been read.

    Attributes:
        responses: by their names, the latest of each.
        items: by the names of items, the latest response with each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}  # the place up to which each file was read
        self.responses: dict[str, Place] = {}
        self.items: dict[str, Place] = {}

    def read(self) -> None:
        """Read what was added, and forget what was removed with its file."""
        sizes = {file.path: file.size for file in _files(self._folder)}
        if self._read.keys() - sizes.keys():
            self._read = {path: read for path, read in self._read.items() if path in sizes}
            self.responses = {name: place for name, place in self.responses.items() if place.path in sizes}
            self.items = {name: place for name, place in self.items.items() if place.path in sizes}
        for path, size in sizes.items():
            if size == (start := self._read.get(path, 0)):
                continue
            with suppress(OSError):  # another process has removed it
                for place, (name, *items) in records(path, start, size):
                    _note(self.responses, name, place)
                    for item in items:
                        _note(self.items, item, place)
                    self._read[path] = place.end


def _note(places: dict[str, Place], name: str, place: Place) -> None:
    known = places.get(name)
    if known is None or known.at <= place.at:
        places[name] = place
