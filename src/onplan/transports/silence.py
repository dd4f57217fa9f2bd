"""Whether what comes over a stream of events leads anywhere: comments and empty lines alone do not.

Pure: the time is given.
"""

from __future__ import annotations

from onplan.errors import IdleTimeoutError


class Silence:
    """Counts the seconds in which bytes come but nothing of an event's data.

    A server, or a proxy on the way, may send comments (``: keep-alive``) and empty events for ever.
    """

    def __init__(self, idle: float, origin: str) -> None:
        self._idle, self._origin = idle, origin
        self._since: float | None = None
        self._in_data = self._in_other = False  # what the line that has not ended yet is

    def end(self) -> None:
        """An event came."""
        self._since = None

    def check(self, data: bytes, now: float) -> None:
        """``data`` came at ``now``, and completed no event. Raises IdleTimeoutError after too much."""
        if self._has_content(data) or self._since is None:
            self._since = now
        elif now - self._since > self._idle:
            raise IdleTimeoutError(
                f"{self._origin} sent nothing but signs of life for {self._idle:g} seconds."
            )

    def _has_content(self, data: bytes) -> bool:
        """Whether it has any of a ``data`` line, or of the JSON that some servers send instead of events."""
        first, *others = data.replace(b"\r", b"\n").split(b"\n")
        found = bool(first) and self._counts(first)
        if others:
            found = found or any(map(_is_content, others))
            self._in_data = self._in_other = False
            self._counts(others[-1])
        return found

    def _counts(self, piece: bytes) -> bool:
        """Whether a piece of the line that has not ended belongs to content."""
        if not (self._in_data or self._in_other) and piece:
            self._in_data = _is_content(piece)
            self._in_other = not self._in_data
        return self._in_data


def _is_content(line: bytes) -> bool:
    beginning = line[:4]
    return bool(beginning) and (
        beginning == b"data"[: len(beginning)] or line.lstrip().startswith((b"{", b"\xef\xbb\xbf"))
    )
