"""The interfaces of the transports, their time limits, and helpers that all of them use."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from onplan.errors import ConfigurationError, UnexpectedReplyError

if TYPE_CHECKING:
    from onplan.flow import Request, Response
    from onplan.turn.steps import Head, Join, Joined

logger = logging.getLogger("onplan.http")

# In bytes. An error body or a token response is small; a model catalogue with prompts is a few megabytes.
MAXIMUM_BODY_SIZE = 32 * 1024 * 1024
# Seconds to wait for a response to end after its answer is complete, so that its connection can be reused.
RELEASE_SECONDS = 0.5
# In bytes. A larger body is sent in pieces, each with its own write limit.
PIECE_SIZE = 64 * 1024


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds.

    Attributes:
        connect: for a connection to be made, through a proxy if there is one.
        idle: between two reads of an answer; models think in silence for minutes.
        write: for the server to accept the next piece of the request.
        total: for a turn as a whole, from its first step to its last chunk; None for no limit.
    """

    connect: float = 15.0
    idle: float = 300.0
    write: float = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a value that is not a number above 0."""
        for name, seconds in vars(self).items():
            if seconds is None and name == "total":
                continue
            if isinstance(seconds, bool) or not (isinstance(seconds, int | float) and seconds > 0):
                raise ConfigurationError(
                    f"The {name} timeout is {seconds!r}, which is not a number of seconds above 0.",
                    hint="Write `timeout=30` for each step, or `timeout=onplan.Timeouts(idle=600)` for one.",
                )


def timeouts_of(timeout: float | Timeouts | None) -> Timeouts:
    """The limits that a client's ``timeout`` means.

    A number sets connect, idle and write alike; None means the defaults.

    Raises:
        ConfigurationError: ``timeout`` is none of these, or not a number above 0.
    """
    if timeout is None:
        return Timeouts()
    return timeout if isinstance(timeout, Timeouts) else Timeouts(timeout, timeout, timeout)


class Peekable(Protocol):
    """An open response to a request whose body was compressed."""

    head: Head

    def peek_body(self, timeout: float) -> bytes:
        """The whole body, within ``timeout`` seconds; it can be read once more. Raises TransportError."""
        ...

    def close(self) -> None:
        """Close the response."""
        ...


class AsyncPeekable(Protocol):
    """``Peekable`` under an event loop."""

    head: Head

    async def peek_body(self, timeout: float) -> bytes:  # noqa: ASYNC109 - for the whole body
        """The whole body, within ``timeout`` seconds; it can be read once more. Raises TransportError."""
        ...

    async def close(self) -> None:
        """Close the response."""
        ...


class Answer(Protocol):
    """An open response. Its methods raise TransportError, and StreamError for events that are not valid."""

    head: Head

    def read_events(self, within: float | None = None) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end.

        ``within``: seconds after which the connection is given up if nothing has come.
        """
        ...

    def read_body(self, timeout: float | None = None, maximum_size: int | None = None) -> bytes:
        """The whole body: within ``timeout`` seconds, and of at most ``maximum_size`` bytes, if given."""
        ...

    def release(self) -> None:
        """Briefly read on to the end of a complete answer, so that its connection can be reused."""
        ...

    def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""
        ...


class AsyncAnswer(Protocol):
    """An open response. Its methods raise TransportError, and StreamError for events that are not valid."""

    head: Head

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        ...

    async def read_body(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - for the whole body
        maximum_size: int | None = None,
    ) -> bytes:
        """The whole body: within ``timeout`` seconds, and of at most ``maximum_size`` bytes, if given."""
        ...

    async def release(self) -> None:
        """Briefly read on to the end of a complete answer, so that its connection can be reused."""
        ...

    async def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *details: Any) -> None: ...


class AsyncTransport(Protocol):
    """Sends requests under the running event loop."""

    async def fetch(self, request: Request) -> Response:
        """A whole response. Raises TransportError."""
        ...

    async def open(self, request: Request, timeout: float | None = None) -> AsyncAnswer:  # noqa: ASYNC109
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        ...

    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        ...


class AsyncExchange(AsyncAnswer, Protocol):
    """A WebSocket connection while one turn uses it, or the server's refusal to open one, with its body."""

    joined: Joined

    async def send(self, data: bytes) -> None:
        """Send a text message. Raises TransportError."""
        ...


class AsyncWebSockets(Protocol):
    """Opens WebSockets under the running event loop, and keeps them open between turns."""

    async def join(self, join: Join) -> AsyncExchange | None:
        """A connection for one turn, or the server's refusal to open one. Raises TransportError.

        None if ``join`` asks only for a connection that the turn can continue on, and there is none.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def pieces(body: bytes) -> Iterator[bytes]:
    """``body`` in pieces of at most ``PIECE_SIZE``."""
    view = memoryview(body)
    return (bytes(view[start : start + PIECE_SIZE]) for start in range(0, len(view), PIECE_SIZE))


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers under lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def log_exchange(request: Request, status: int) -> None:
    """Log method, URL without its query, and status; no header and no body."""
    if not logger.isEnabledFor(logging.INFO):
        return
    path = request.url.removeprefix(request.origin).partition("?")[0]
    logger.info("%s %s%s: %d", request.method, request.origin, path, status)


def check_size(body: bytearray, origin: str, maximum_size: int | None = None) -> None:
    """Raise UnexpectedReplyError if ``body``, as far as it has come, is too large."""
    most = MAXIMUM_BODY_SIZE if maximum_size is None else maximum_size
    if len(body) > most:
        raise UnexpectedReplyError(f"{origin} answered with more than {most:,} bytes.")


def length_of(request: Request) -> dict[str, str]:
    """The ``content-length`` header of a request with a body: the libraries omit it for a body in pieces."""
    return {"content-length": str(len(request.body))} if request.body else {}
