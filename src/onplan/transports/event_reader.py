"""From the body of an answer to the payloads of its events: decoded, and watched for silence."""

from __future__ import annotations

import time

from onplan.answers.sse import EventDecoder
from onplan.errors import TransportError
from onplan.transports.silence import Silence


class EventReader:
    """What every HTTP transport does with what it has read.

    Args:
        idle: seconds in which bytes may come that say nothing.
        origin: of the server, for error messages.

    Attributes:
        is_over: whether the end of the body was read.
    """

    __slots__ = ("_decoder", "_silence", "is_over")

    def __init__(self, idle: float, origin: str) -> None:
        self.is_over = False
        self._decoder = EventDecoder()
        self._silence = Silence(idle, origin)

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that ``data`` completes. Raises IdleTimeoutError, StreamError."""
        payloads = self._decoder.feed(data)
        if payloads:
            self._silence.end()
        else:
            self._silence.check(data, time.monotonic())
        return payloads

    def close(self) -> list[bytes]:
        """The body has ended: its last payloads. Raises StreamError."""
        self.is_over = True
        return self._decoder.close()

    def salvage(self, failure: TransportError) -> list[bytes]:
        """What had come whole before the connection broke. Raises ``failure`` if there is nothing."""
        payloads = self._decoder.salvage()
        if not payloads:
            raise failure from None
        return payloads
