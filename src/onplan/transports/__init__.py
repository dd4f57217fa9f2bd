"""Bytes over the network. The seam is one event at a time, above framing: the turn does not know the wire.

``http.py`` speaks through httpx2, ``aiohttp.py`` through aiohttp where the extra ``fast`` has installed it:
the same behaviour for a fraction of the CPU. ``choose`` decides. ``websocket.py`` speaks WebSocket, where the
backend does and the extra ``ws`` is installed; ``choose_websocket`` decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from onplan.errors import ConfigurationError, IdleTimeoutError, MissingExtraError, UnexpectedReplyError

if TYPE_CHECKING:
    from onplan.backends import Backend
    from onplan.errors import TransportError
    from onplan.responses.sse import EventDecoder
    from onplan.steps import Head, Join, Joined
    from onplan.transports.route import Route
    from onplan.wire import Request, Response

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
                    f"{name}_timeout is {seconds!r}, and not a number of seconds.",
                    hint="Give it a number above 0.",
                )


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

    async def join(self, join: Join) -> AsyncExchange:
        """A connection for one turn. Raises TransportError."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def choose(timeouts: Timeouts, route: Route, base_url: str, client: Any = None) -> AsyncTransport:
    """The transport for the user's own ``client``; without one, the fastest that is installed.

    aiohttp does not speak SOCKS: through such a proxy httpx2 goes.
    """
    kind = type(client).__module__.partition(".")[0]
    if kind == "aiohttp" or (client is None and not _is_socks(route, base_url)):
        try:
            from onplan.transports.aiohttp import AiohttpTransport

            return AiohttpTransport(timeouts, client, route)
        except ModuleNotFoundError:
            pass
    from onplan.transports.http import AsyncHTTPTransport

    return AsyncHTTPTransport(timeouts, client, route)


def _is_socks(route: Route, base_url: str) -> bool:
    try:
        proxy = route.proxy_for(base_url)
    except ConfigurationError:  # told when there is something to send
        return False
    return proxy is not None and proxy.scheme == "socks5"


def choose_websocket(
    wanted: str, timeouts: Timeouts, route: Route, backend: Backend, client: Any = None
) -> AsyncWebSockets | None:
    """What speaks WebSocket, or None where SSE is to be used.

    Args:
        wanted: ``auto``, ``websocket`` or ``sse``.
        timeouts: limits.
        route: how connections are made.
        backend: the row that says whether the backend speaks it.
        client: the user's own HTTP client. It may know of proxies and certificates that a WebSocket would
            not know of, so ``auto`` keeps to it.

    Raises:
        ConfigurationError: ``wanted`` is none of these, or cannot be had.
    """
    _require_known(wanted)
    if wanted == "websocket" and backend.websocket is None:
        raise ConfigurationError(f"{backend.name} does not speak WebSocket.", hint='Use transport="auto".')
    if wanted == "sse" or backend.websocket is None:
        return None
    if wanted == "auto" and client is not None:
        return None
    try:
        from onplan.transports.websocket import WebSockets
    except ModuleNotFoundError:
        if wanted == "websocket":
            raise MissingExtraError("ws", 'transport="websocket"') from None
        return None
    return WebSockets(timeouts, route)


def require_http(wanted: str) -> None:
    """Raises ConfigurationError if ``wanted`` is no transport, or one that needs an event loop."""
    _require_known(wanted)
    if wanted == "websocket":
        raise ConfigurationError(
            "The synchronous client does not speak WebSocket.", hint="Use `onplan.AsyncClient`."
        )


TRANSPORTS = ("auto", "websocket", "sse")


def _require_known(wanted: str) -> None:
    if wanted not in TRANSPORTS:
        hint = f"Use one of: {', '.join(TRANSPORTS)}."
        raise ConfigurationError(f"There is no transport {wanted!r}.", hint=hint)


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


def check_body(body: bytearray, deadline: float | None, origin: str) -> None:
    """A body that is too large, or that trickles beyond its deadline (monotonic seconds), is no answer."""
    if len(body) > MAXIMUM_BODY_SIZE:
        raise UnexpectedReplyError(f"{origin} answered with more than {MAXIMUM_BODY_SIZE:,} bytes.")
    if deadline is not None and time.monotonic() > deadline:
        raise IdleTimeoutError(f"{origin} took too long to answer.")


def salvaged(decoder: EventDecoder, failure: TransportError) -> list[bytes]:
    """What had come whole before the connection broke. Raises ``failure`` if there is nothing."""
    payloads = decoder.salvage()
    if not payloads:
        raise failure from None
    return payloads
