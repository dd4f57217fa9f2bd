"""Files to which one process appends responses, and which other processes read.

A record is a header, names, the encoded response and an end. It is written by one system call and never
moved, so a place where it was found stays right for as long as the file exists. A record that is not whole,
because its writer was killed, does not count.
"""

from __future__ import annotations

import os
import secrets
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple

# Of the data: when it was kept (Unix seconds), its bytes; the number of names; whether it was removed.
_HEADER = Struct("<dQIB3x")
_REMOVED = _HEADER.size - 4  # where that stands
_NAME = 64  # characters
_END = Struct("<I4s")  # the number of records in the file up to here
_WHOLE = b"\nend"
_ZEROS = bytes(1024 * 1024)


class Place(NamedTuple):
    """Where a record is.

    Attributes:
        path: of the file.
        start: where its header begins.
        names: how many it has.
        size: of its data, in bytes.
        at: when it was kept, Unix seconds.
    """

    path: str
    start: int
    names: int
    size: int
    at: float

    @property
    def data(self) -> int:
        """Where its data begin."""
        return self.start + _HEADER.size + self.names * _NAME

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.data + self.size + _END.size


class Segment:
    """A file to which this process appends: locked until it is closed, be it by the end of the process.

    Args:
        folder: where it is made.
        now: Unix seconds.

    Attributes:
        began: when it was made.
        count, size: records, and their bytes.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path, now: float) -> None:
        import fcntl

        self.began, self.count, self.size = now, 0, 0
        # Their names are in the order in which files were made.
        self._path = f"{folder}/{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self.close = weakref.finalize(self, os.close, self._descriptor)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def add(self, names: Sequence[str], data: bytes, now: float) -> bool:
        """Append a record; the first name is that of the response. False if there is no room for it.

        A file without records is removed then: while a disk is full, each attempt would leave one.
        """
        head = _HEADER.pack(now, len(data), len(names), 0) + "".join(names).encode()
        record = b"".join((head, data, _END.pack(self.count + 1, _WHOLE)))
        written = 0
        with suppress(OSError):
            written = os.write(self._descriptor, record)
        if written != len(record):
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            if not self.count:
                with suppress(OSError):  # another process has removed it
                    Path(self._path).unlink()
            return False
        self.count, self.size = self.count + 1, self.size + written
        return True


def records(path: str, start: int, end: int) -> Iterator[tuple[Place, list[str]]]:
    """The whole records between two places of a file, with their names. Raises OSError."""
    with _opened(path, os.O_RDONLY) as descriptor:
        while start + _HEADER.size <= end:
            at, size, count, _ = _HEADER.unpack(os.pread(descriptor, _HEADER.size, start))
            place = Place(path, start, count, size, at)
            if place.end > end:
                return
            names = os.pread(descriptor, count * _NAME, start + _HEADER.size).decode()
            yield place, [names[first : first + _NAME] for first in range(0, len(names), _NAME)]
            start = place.end


def data_at(place: Place) -> bytes | None:
    """The data of a record; None if it was removed. Raises OSError."""
    with _opened(place.path, os.O_RDONLY) as descriptor:
        data = os.pread(descriptor, place.size, place.data)
        return None if _is_removed(descriptor, place) else data  # looked at last: then the data are removed


def remove_at(place: Place) -> bool:
    """Remove a record, and overwrite its data. Return whether it was there. Raises OSError."""
    with _opened(place.path, os.O_RDWR) as descriptor:
        if _is_removed(descriptor, place):
            return False
        before = os.fstat(descriptor)
        os.pwrite(descriptor, b"\1", place.start + _REMOVED)
        for start in range(0, place.size, len(_ZEROS)):
            os.pwrite(descriptor, _ZEROS[: place.size - start], place.data + start)
        # The file is as old as its newest record, and given up by that.
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        return True


def records_in(path: str, size: int) -> int:
    """About how many records a file of this size has. Raises OSError."""
    with _opened(path, os.O_RDONLY) as descriptor:
        end = os.pread(descriptor, _END.size, max(0, size - _END.size))
    count, mark = _END.unpack(end) if len(end) == _END.size else (0, b"")
    return int(count) if mark == _WHOLE else 1


def is_closed(path: str) -> bool:
    """Whether no process appends to a file any more. Raises OSError."""
    import fcntl

    with _opened(path, os.O_RDONLY) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _is_removed(descriptor: int, place: Place) -> bool:
    return os.pread(descriptor, 1, place.start + _REMOVED) != b"\0"


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
