"""Detects an event stream on which nothing comes but comments and empty lines.

Pure: the time is given.
"""

from __future__ import annotations

from onplan.errors import IdleTimeoutError


class Silence:
    """Measures how long bytes have come that belong to no event's data.

    A server, or a proxy on the way, may send comments (``: keep-alive``) and empty events for ever.

    Args:
        idle: seconds after which that is an error.
        origin: of the server, for the error.
    """

    def __init__(self, idle: float, origin: str) -> None:
        self._idle, self._origin = idle, origin
        self._since: float | None = None
        self._in_data = self._in_other = False  # what the line that has not ended yet is

    def end(self) -> None:
        """An event came: start anew."""
        self._since = None

    def check(self, data: bytes, now: float) -> None:
        """``data`` came at ``now`` (monotonic seconds) and completed no event. Raises IdleTimeoutError."""
        if self._has_content(data) or self._since is None:
            self._since = now
        elif now - self._since > self._idle:
            raise IdleTimeoutError(
                f"{self._origin} sent only keep-alive messages for {self._idle:g} seconds."
            )

    def _has_content(self, data: bytes) -> bool:
        """Whether ``data`` has some of a ``data:`` line, or of JSON that a server sends instead of events."""
        first, *others = data.replace(b"\r", b"\n").split(b"\n")
        found = bool(first) and self._counts(first)
        if others:
            found = found or any(map(_is_content, others))
            self._in_data = self._in_other = False
            self._counts(others[-1])
        return found

    def _counts(self, piece: bytes) -> bool:
        """Whether ``piece``, of a line that has not ended, belongs to such content."""
        if not (self._in_data or self._in_other) and piece:
            self._in_data = _is_content(piece)
            self._in_other = not self._in_data
        return self._in_data


def _is_content(line: bytes) -> bool:
    beginning = line[:4]
    return bool(beginning) and (
        beginning == b"data"[: len(beginning)] or line.lstrip().startswith((b"{", b"\xef\xbb\xbf"))
    )
