"""Locks that processes of one machine share. Threads exclude each other as processes do.

The system releases one when its process ends, however it ends. A process that is frozen keeps it; then the
others say who it is.
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

from filelock import FileLock, Timeout

from onplan.config.environment import state_folder
from onplan.config.file_errors import explained
from onplan.config.private_files import make_private_folder
from onplan.errors import StoreError
from onplan.forking import reset_in_child

# Longer than a refresh may take.
LOCK_TIMEOUT = 90.0
_patience: ContextVar[float] = ContextVar("patience", default=math.inf)
_SLICE = 0.5  # how often somebody who waits looks whether the program is ending


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """Within, this thread gives up sooner than usual when somebody else has a lock."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def patience(usual: float) -> float:
    """How many seconds to wait for a lock: as usual, unless whoever wants it has less time."""
    return min(usual, _patience.get())


class ProcessLock:
    """A lock on the file ``path``, re-entrant within a thread.

    Args:
        path: made when it is needed, for its owner alone, and left behind.
        subject: what is locked, for people.
        poll_interval: seconds between two looks at whether it is free.
    """

    def __init__(self, path: Path, subject: str, poll_interval: float = 0.05) -> None:
        self._path, self._subject, self._poll_interval = path, subject, poll_interval
        self.reset_in_child()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """A lock of this process: what is inherited is held by a thread of the parent, or by none."""
        # Not the library's way out where there is no flock(2): a file that a killed process leaves locked.
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
        seconds = patience(LOCK_TIMEOUT)
        deadline = time.monotonic() + seconds
        while True:
            try:
                filelock.acquire(timeout=_SLICE, poll_interval=self._poll_interval)
            except Timeout:
                leaving = not threading.main_thread().is_alive()  # the program ends; nothing is under way yet
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
    """A lock for something that is no file."""
    return ProcessLock(user_lock_path(name), subject, poll_interval)


def user_lock_path(name: str) -> Path:
    """A file for locks in the user's own state folder, wherever ONPLAN_HOME is. Raises ConfigurationError."""
    return state_folder() / "locks" / f"{name}.lock"


def _holder(path: Path) -> int | None:
    """The process that holds the lock, where the system tells (Linux: proc_locks(5))."""
    try:
        found = path.stat()
        inode = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            columns = line.split()
            if inode in columns and "->" not in columns:
                return int(columns[4]) if int(columns[4]) > 0 else None
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    return None
