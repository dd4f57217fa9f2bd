"""What one case may take of CPU time and memory, as limits that the system keeps."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CPU_SECONDS = 5.0  # of one case; a thousand times what one takes
MEMORY = 1024 * 1024 * 1024  # bytes, beyond what the process has already


class TooMuchTimeError(BaseException):
    """A case has used more CPU than it may; no handler of the code under test catches this."""


@contextmanager
def limited_memory() -> Iterator[None]:
    """Whatever asks for more than ``MEMORY`` in this block gets a MemoryError."""
    if sys.platform != "linux":
        yield
        return
    import resource
    from pathlib import Path

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


@contextmanager
def limited_time() -> Iterator[None]:
    """Raise TooMuchTimeError after ``CPU_SECONDS`` in this block."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def end(_: int, __: FrameType | None) -> None:
        raise TooMuchTimeError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
