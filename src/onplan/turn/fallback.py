"""When a session goes over SSE although the backend speaks WebSocket: after refusals and breaks in a row."""

from __future__ import annotations

BREAKS = 2  # in a row, after which a session falls back
REFUSALS = 3  # in a row, after which all sessions do
SESSIONS = 1_000  # of those that broke, the latest, which are remembered
# Bytes of a message. From 16 MiB on the backend closes the connection with 1009 (seen November 2026).
LARGEST_MESSAGE = 16 * 1024 * 1024 - 1


class Fallback:
    """Which sessions of a client go over SSE although the backend speaks WebSocket. Shared by its turns.

    Args:
        allowed: whether any may; if not, WebSocket is the only transport.
    """

    def __init__(self, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self._largest = LARGEST_MESSAGE
        self._everywhere = False
        self._refusals = 0
        self._breaks: dict[str, int] = {}

    def applies(self, session_id: str) -> bool:
        """Whether this session is to go over SSE."""
        return self._everywhere or self._breaks.get(session_id, 0) >= BREAKS

    def takes(self, size: int) -> bool:
        """Whether a message of so many bytes may go over a WebSocket."""
        return size <= self._largest

    def too_large(self, size: int) -> None:
        """A message of so many bytes was refused for its size: later ones as large go over SSE at once."""
        if self.allowed:
            self._largest = min(self._largest, size - 1)

    def refused(self, session_id: str, status: int | None = None) -> bool:
        """A connection could not be opened or used. Whether the session falls back to SSE."""
        if not self.allowed:
            return False
        self._refusals += 1
        # With 426 the service says that it speaks only SSE. After several refusals something on the way
        # probably lets no WebSocket through.
        if status == 426 or self._refusals >= REFUSALS:
            self._everywhere = True
        self._note(session_id, BREAKS)
        return True

    def broke(self, session_id: str) -> None:
        """A connection ended in the middle of a turn."""
        if self.allowed:
            self._note(session_id, self._breaks.get(session_id, 0) + 1)

    def worked(self, session_id: str) -> None:
        """An answer came whole over a WebSocket."""
        self._refusals = 0
        self._breaks.pop(session_id, None)

    def _note(self, session_id: str, breaks: int) -> None:
        self._breaks.pop(session_id, None)
        self._breaks[session_id] = breaks
        if len(self._breaks) > SESSIONS:
            del self._breaks[next(iter(self._breaks))]
