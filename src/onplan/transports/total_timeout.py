"""The limit of a turn as a whole, whatever its steps do."""

from __future__ import annotations

import time

from onplan.errors import TotalTimeoutError


class TotalTimeout:
    """Begins when it is made. ``seconds``: None for no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds; None without a limit. Raises TotalTimeoutError when there are none."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> TotalTimeoutError:
        """What is raised when the time is over."""
        return TotalTimeoutError(f"The turn was not over after {self._seconds:g} seconds.")
