"""What the transports have in common: interfaces, limits, and what becomes of bodies and failures."""

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

# An error body or a token response is small; a catalogue with its prompts is some megabytes.
MAXIMUM_BODY_SIZE = 32 * 1024 * 1024
# How long a finished answer's connection may take to end its response, so that it can be used again.
RELEASE_SECONDS = 0.5
# What is larger is sent in pieces, each with the write limit to itself.
PIECE_SIZE = 64 * 1024


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds.

    Attributes:
        connect: for a connection to be made, through a proxy if there is one.
        idle: between two reads of an answer; models think in silence for minutes.
        write: without a byte of a request being taken.
        total: for a turn as a whole, from its first step to its last chunk; None without a limit.
    """

    connect: float = 15.0
    idle: float = 300.0
    write: float = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what is no time to wait."""
        for name, seconds in vars(self).items():
            if seconds is None and name == "total":
                continue
            if not (isinstance(seconds, int | float) and seconds > 0):
                raise ConfigurationError(
                    f"The {name} timeout is {seconds!r}, which is not a number of seconds above 0.",
                    hint="Write `timeout=30` for each step, or `timeout=onplan.Timeouts(idle=600)` for one.",
                )


def timeouts_of(timeout: float | Timeouts | None) -> Timeouts:
    """The limits that a client's ``timeout`` means.

    A number counts for each of connect, idle and write, and None for the defaults.

    Raises:
        ConfigurationError: it is neither, or not a number above 0.
    """
    if timeout is None:
        return Timeouts()
    return timeout if isinstance(timeout, Timeouts) else Timeouts(timeout, timeout, timeout)


class Peekable(Protocol):
    """An open response to a request whose body was made smaller."""

    head: Head

    def peek_body(self, timeout: float) -> bytes:
        """The whole body, which can be read once more. Raises TransportError."""
        ...

    def close(self) -> None:
        """Close the response."""
        ...


class AsyncPeekable(Protocol):
    """The same under an event loop."""

    head: Head

    async def peek_body(self, timeout: float) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, which can be read once more. Raises TransportError."""
        ...

    async def close(self) -> None:
        """Close the response."""
        ...


class AsyncAnswer(Protocol):
    """An open response. What its methods raise is a TransportError, or a StreamError of the decoder's."""

    head: Head

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        ...

    async def read_body(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, within ``timeout`` seconds if given."""
        ...

    async def release(self) -> None:
        """The answer is complete: let its last bytes come, briefly, so its connection can be reused."""
        ...

    async def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
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
    """A WebSocket while a turn has it; or the refusal to open one, of which there is only a body."""

    joined: Joined

    async def send(self, data: bytes) -> None:
        """Send a text message. Raises TransportError."""
        ...


class AsyncWebSockets(Protocol):
    """Opens WebSockets under the running event loop, and keeps them open between turns."""

    async def join(self, join: Join) -> AsyncExchange | None:
        """A connection for one turn. Raises TransportError.

        None if only a fitting one is wanted, and there is none.
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
    """Where and how it went; no query, header or body."""
    path = request.url.removeprefix(request.origin).partition("?")[0]
    logger.info("%s %s%s: %d", request.method, request.origin, path, status)


def check_size(body: bytearray, origin: str) -> None:
    """Raise UnexpectedReplyError if ``body``, as far as it has come, is too large."""
    if len(body) > MAXIMUM_BODY_SIZE:
        raise UnexpectedReplyError(f"{origin} answered with more than {MAXIMUM_BODY_SIZE:,} bytes.")


def length_of(request: Request) -> dict[str, str]:
    """Bodies that go in pieces say how long they are."""
    return {"content-length": str(len(request.body))} if request.body else {}
