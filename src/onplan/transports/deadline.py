"""Deadlines for whole exchanges over httpcore2, whose own limits are for single reads and writes.

A ``Limit`` is a float, so httpcore2 passes it on to the streams of ``httpcore2_streams.py``, which ask it how
much time is left.
"""

from __future__ import annotations

import time

# Bytes that may come before the head of an answer is whole: informational responses (1xx), status, headers,
# and what comes of the body in the same read, 64 KiB at most.
MOST_BEFORE_HEAD = 512 * 1024
FOREVER = 24 * 3600.0  # seconds, for a library's own limit where the deadline counts


class Deadline:
    """When an exchange has to end: as a whole, and its current step.

    Args:
        seconds: for the whole; None for no limit.
    """

    __slots__ = ("_head_bytes", "_step_ends", "_whole_ends")

    def __init__(self, seconds: float | None = None) -> None:
        self._whole_ends = None if seconds is None else time.monotonic() + seconds
        self._step_ends: float | None = None
        self._head_bytes: int | None = None

    def begin_step(self, seconds: float | None) -> None:
        """The next step has ``seconds``, however many reads and writes it takes; None for no limit."""
        self._step_ends = None if seconds is None else time.monotonic() + seconds
        self._head_bytes = None

    def begin_head(self, seconds: float | None) -> None:
        """The next step is the head of the answer: it has ``seconds``, and its size is limited too."""
        self.begin_step(seconds)
        self._head_bytes = 0

    def left(self, seconds: float | None = None) -> float | None:
        """Seconds that are left, at most ``seconds``; None for no limit. Raises TimeoutError if none are."""
        if self._whole_ends is None and self._step_ends is None:
            return seconds
        now = time.monotonic()
        ends = [end - now for end in (self._whole_ends, self._step_ends) if end is not None]
        left = min(ends)
        if left <= 0:
            raise TimeoutError
        return left if seconds is None else min(left, seconds)

    def count(self, size: int) -> bool:
        """Count ``size`` bytes that have come. False if the head of the answer is too large."""
        if self._head_bytes is None:
            return True
        self._head_bytes += size
        return self._head_bytes <= MOST_BEFORE_HEAD


class Limit(float):
    """Seconds for one read or write of an exchange that has a deadline as well."""

    __slots__ = ("deadline",)
    deadline: Deadline

    @classmethod
    def of(cls, seconds: float, deadline: Deadline) -> Limit:
        """``seconds``, but never beyond ``deadline``."""
        limit = cls(seconds)
        limit.deadline = deadline
        return limit


def seconds_left(limit: float | None) -> float | None:
    """Seconds that a read or a write may take now. Raises TimeoutError when the deadline has passed."""
    return limit.deadline.left(float(limit)) if isinstance(limit, Limit) else limit


def count_read(limit: float | None, data: bytes) -> bool:
    """Count what was read with ``limit``. False if the head of the answer is too large."""
    return limit.deadline.count(len(data)) if isinstance(limit, Limit) else True
