"""Locks among the threads and processes of one machine, on files.

The system releases a lock when its process ends, however it ends. A suspended process keeps its lock; the
error of those who wait names that process.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from onplan.config.environment import state_folder
from onplan.config.file_errors import explained
from onplan.config.private_files import make_private_folder
from onplan.errors import StoreError
from onplan.forking import reset_in_child

if TYPE_CHECKING:
    from filelock import FileLock

# Longer than a refresh may take.
LOCK_TIMEOUT = 90.0
_patience: ContextVar[float] = ContextVar("patience", default=math.inf)
_SLICE = 0.5  # seconds between checks whether the program is ending, while waiting


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """Within the ``with`` block, this thread waits for a lock no longer than ``seconds``."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def patience(usual: float) -> float:
    """Seconds to wait for a lock: ``usual``, or less within ``waiting_at_most``."""
    return min(usual, _patience.get())


class ProcessLock:
    """A lock on the file ``path``, re-entrant within a thread.

    Args:
        path: the file; created when needed, private to its owner, and not removed.
        subject: what is locked, for messages.
        poll_interval: seconds between two attempts.
    """

    def __init__(self, path: Path, subject: str, poll_interval: float = 0.05) -> None:
        self._path, self._subject, self._poll_interval = path, subject, poll_interval
        self.reset_in_child()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """Begin with a free lock in a forked process: an inherited one belongs to a thread of the parent."""
        from filelock import FileLock

        # Not the library's fallback where there is no flock(2): a lock file that a killed process leaves.
        self._filelock = FileLock(str(self._path), mode=0o600, thread_local=True, fallback_to_soft=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it. Raises StoreError if it cannot be had within LOCK_TIMEOUT seconds."""
        with explained(self._subject, "locked"):
            make_private_folder(self._path.parent)
            filelock = self._filelock
            self._acquire(filelock)
        try:
            yield
        finally:
            filelock.release()

    def _acquire(self, filelock: FileLock) -> None:
        from filelock import Timeout

        seconds = patience(LOCK_TIMEOUT)
        deadline = time.monotonic() + seconds
        while True:
            try:
                filelock.acquire(timeout=_SLICE, poll_interval=self._poll_interval)
            except Timeout:
                leaving = not threading.main_thread().is_alive()  # the program ends; nothing has begun
                if leaving or time.monotonic() > deadline:
                    raise self._taken(seconds) from None
            else:
                return

    def _taken(self, seconds: float) -> StoreError:
        holder = _holder(self._path)
        who = f"process {holder}" if holder else "another program"
        end = f"`kill {holder}`" if holder else "End it"
        return StoreError(
            f"{self._subject} has been locked by {who} for {seconds:.0f} seconds. Nothing is lost.",
            hint=f"{end} if it hangs, then run the command again.",
        )


def user_lock(name: str, subject: str, poll_interval: float = 0.05) -> ProcessLock:
    """A lock for something that is not a file."""
    return ProcessLock(user_lock_path(name), subject, poll_interval)


def user_lock_path(name: str) -> Path:
    """A lock file in the user's state folder, whatever ONPLAN_HOME is. Raises ConfigurationError."""
    return state_folder() / "locks" / f"{name}.lock"


def _holder(path: Path) -> int | None:
    """The id of the process that holds the lock, on Linux (/proc/locks, proc(5)); else None."""
    try:
        found = path.stat()
        file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        return _holder_listed(Path("/proc/locks").read_text(), file)
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _holder_listed(locks: str, file: str) -> int | None:
    """The process that holds the lock on ``file`` by a text of /proc/locks; None if it has no number here."""
    rows = (line.split() for line in locks.splitlines())
    # Processes that wait for a lock are listed after the one that holds it. A process of another container
    # has the number 0, a lock of an open file description -1.
    process = next((int(row[4]) for row in rows if file in row), 0)
    return process if process > 0 else None
