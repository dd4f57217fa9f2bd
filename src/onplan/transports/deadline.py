"""Deadlines of one exchange, for streams of httpcore2, whose own limits are for single reads and writes.

A ``Limit`` passes through httpcore2 as the number that it is; our streams ask it how much time is left.
"""

from __future__ import annotations

import time

# Bytes that may come before the head of an answer is whole: informational responses (1xx), status, headers,
# and what comes of the body in the same read, 64 KiB at most.
MOST_BEFORE_HEAD = 512 * 1024


class Deadline:
    """When an exchange ends: as a whole, and the step that it is at. Without either it never does."""

    __slots__ = ("_head_bytes", "_step_ends", "_whole_ends")

    def __init__(self, seconds: float | None = None) -> None:
        self._whole_ends = None if seconds is None else time.monotonic() + seconds
        self._step_ends: float | None = None
        self._head_bytes: int | None = None

    def begin_step(self, seconds: float | None) -> None:
        """From now on there are ``seconds`` for what comes next, however many reads and writes that takes."""
        self._step_ends = None if seconds is None else time.monotonic() + seconds
        self._head_bytes = None

    def begin_head(self, seconds: float | None) -> None:
        """The same for the head of the answer, whose size is limited too."""
        self.begin_step(seconds)
        self._head_bytes = 0

    def left(self, seconds: float | None = None) -> float | None:
        """Seconds until the first of the ends, or ``seconds`` if that is less. Raises TimeoutError then."""
        if self._whole_ends is None and self._step_ends is None:
            return seconds
        now = time.monotonic()
        ends = [end - now for end in (self._whole_ends, self._step_ends) if end is not None]
        left = min(ends)
        if left <= 0:
            raise TimeoutError
        return left if seconds is None else min(left, seconds)

    def count(self, size: int) -> bool:
        """``size`` bytes have come. Whether that is still within reason."""
        if self._head_bytes is None:
            return True
        self._head_bytes += size
        return self._head_bytes <= MOST_BEFORE_HEAD


class Limit(float):
    """Seconds for a read or a write, of an exchange that has a deadline as well."""

    __slots__ = ("deadline",)
    deadline: Deadline

    @classmethod
    def of(cls, seconds: float, deadline: Deadline) -> Limit:
        """``seconds``, and not beyond ``deadline``."""
        limit = cls(seconds)
        limit.deadline = deadline
        return limit


def seconds_left(limit: float | None) -> float | None:
    """How long a read or a write may take now. Raises TimeoutError when the deadline is over."""
    return limit.deadline.left(float(limit)) if isinstance(limit, Limit) else limit


def arrived(limit: float | None, data: bytes) -> bool:
    """Count what was read. Whether it is still within reason."""
    return limit.deadline.count(len(data)) if isinstance(limit, Limit) else True
