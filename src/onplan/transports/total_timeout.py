"""The time limit of a whole turn, whatever its steps do."""

from __future__ import annotations

import time

from onplan.errors import TotalTimeoutError


class TotalTimeout:
    """Counts from its construction. ``seconds``: None for no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._end is not None

    def lift(self) -> None:
        """Take the limit away: what it was for has happened in time."""
        self._end = None

    def left(self) -> float | None:
        """Seconds that are left; None without a limit. Raises TotalTimeoutError when there are none."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def at_most(self, seconds: float) -> float:
        """``seconds``, or what is left if that is less. Raises TotalTimeoutError when nothing is."""
        left = self.left()
        return seconds if left is None else min(seconds, left)

    def until(self, seconds: float) -> float:
        """The time, on the clock ``time.monotonic``, when ``seconds`` or all that are left have passed."""
        return time.monotonic() + self.at_most(seconds)

    def error(self) -> TotalTimeoutError:
        """The error to raise when the time is over."""
        return TotalTimeoutError(f"The turn was not over after {self._seconds:g} seconds.")
