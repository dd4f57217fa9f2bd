"""What each key has used: in one file, which all processes of the server map into their memory.

A record for each key, found by the hash of its name, changed under a lock of the file. Whatever is killed in
the middle leaves at most one record half counted. Limits hold across workers and across restarts. What a key
without limits uses is written once a second (``App.tick``).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct

from onplan.config.private_files import make_private_folder

FILE = "server-usage"
_MAGIC = b"onplan-ledger-1\n"
_RECORD = Struct("<16s8q")
_RECORDS = 1_024
_SIZE = len(_MAGIC) + _RECORDS * _RECORD.size
_FREE = bytes(16)


@dataclass(slots=True)
class Used:
    """What one key has used.

    Attributes:
        requests, prompt_tokens, completion_tokens: since the key is counted.
        bucket: requests that the key may make now, in thousandths; see ``limits.py``.
        bucket_at: when that was so, in milliseconds since 1970.
        day: the number of the day, UTC, since 1970.
        day_tokens: the tokens of that day.
        reserved: not used.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    bucket: int = 0
    bucket_at: int = 0
    day: int = 0
    day_tokens: int = 0
    reserved: int = 0


class Ledger:
    """The records.

    Args:
        path: the file; None keeps them in memory, for this process and those that it forks.
    """

    def __init__(self, path: Path | None) -> None:
        self._descriptor = None if path is None else _opened(path)
        self._memory = mmap.mmap(-1 if self._descriptor is None else self._descriptor, _SIZE)
        if self._memory[: len(_MAGIC)] != _MAGIC:
            self._memory[:] = _MAGIC + bytes(_SIZE - len(_MAGIC))
        self._places: dict[str, int] = {}

    def close(self) -> None:
        """Close the file."""
        self._memory.close()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, name: str) -> Used:
        """What the key ``name`` has used."""
        with self._locked():
            return self._read(self._place(name))

    @contextmanager
    def change(self, name: str) -> Iterator[Used]:
        """The record of the key ``name``, which is written when the block ends."""
        with self._locked():
            place = self._place(name)
            used = self._read(place)
            yield used
            key = self._memory[place : place + 16]
            _RECORD.pack_into(self._memory, place, key, *(getattr(used, each) for each in Used.__slots__))

    def forget(self, name: str) -> None:
        """Free the record of a key that is removed."""
        with self._locked():
            place = self._place(name)  # a new one, if it has none
            self._memory[place : place + _RECORD.size] = bytes(_RECORD.size)
        self._places.pop(name, None)

    def _read(self, place: int) -> Used:
        return Used(*_RECORD.unpack_from(self._memory, place)[1:])

    def _place(self, name: str) -> int:
        """Where the record is; a new one if there is none."""
        key = _key(name)
        place = self._places.get(name)
        if place is not None and self._memory[place : place + 16] == key:
            return place
        free = None
        for number in range(_RECORDS):
            place = len(_MAGIC) + number * _RECORD.size
            found = self._memory[place : place + 16]
            if found == key:
                break
            if found == _FREE and free is None:
                free = place
        else:
            place = len(_MAGIC) if free is None else free  # the first record is given up if all are taken
            _RECORD.pack_into(self._memory, place, key, *[0] * 8)
        self._places[name] = place
        return place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._descriptor is None:
            yield
            return
        import fcntl

        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _key(name: str) -> bytes:
    return sha256(name.encode()).digest()[:16]


def _opened(path: Path) -> int | None:
    """The file, of full size; None where there can be none, such as in a folder that cannot be written."""
    try:
        make_private_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        os.posix_fallocate(descriptor, 0, _SIZE)  # a full disk is found now, and not when a record is written
    except OSError:
        with suppress(OSError):
            os.close(descriptor)
        return None
    return descriptor
