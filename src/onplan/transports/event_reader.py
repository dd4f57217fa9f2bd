"""Turns the bytes of an answer's body into the payloads of its events, and detects silence."""

from __future__ import annotations

import time

from onplan.answers.sse import EventDecoder
from onplan.errors import TransportError
from onplan.transports.silence import Silence


class EventReader:
    """Decodes the body of one answer, for every HTTP transport.

    Args:
        idle: seconds in which bytes may come that belong to no event.
        origin: of the server, for error messages.

    Attributes:
        is_over: whether the end of the body has been read.
    """

    __slots__ = ("_decoder", "_is_silent", "_silence", "is_over")

    def __init__(self, idle: float, origin: str) -> None:
        self.is_over = self._is_silent = False
        self._decoder = EventDecoder()
        self._silence = Silence(idle, origin)

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that ``data`` completes. Raises IdleTimeoutError, StreamError."""
        payloads = self._decoder.feed(data)
        if not payloads:
            self._is_silent = True
            self._silence.check(data, time.monotonic())
        elif self._is_silent:
            self._is_silent = False
            self._silence.end()
        return payloads

    def close(self) -> list[bytes]:
        """The body has ended: its last payloads. Raises StreamError."""
        self.is_over = True
        return self._decoder.close()

    def salvage(self, failure: TransportError) -> list[bytes]:
        """The payloads that were complete when the connection broke; raises ``failure`` if there are none."""
        payloads = self._decoder.salvage()
        if not payloads:
            try:
                raise failure from None
            finally:
                del failure  # else it holds this frame, which holds it, and all that the callers have read
        return payloads
