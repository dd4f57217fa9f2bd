"""Bytes over the network. The seam is one event at a time, above framing: the turn does not know the wire.

``http.py`` speaks through httpx2, ``aiohttp.py`` through aiohttp where the extra ``fast`` has installed it:
the same behaviour for a fraction of the CPU. ``choose`` decides. ``websocket.py`` speaks WebSocket, where the
backend does and the extra ``ws`` is installed; ``choose_websocket`` decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from onplan.errors import ConfigurationError, IdleTimeoutError, MissingExtraError, UnexpectedReplyError
from onplan.wire import is_loopback

if TYPE_CHECKING:
    from onplan.backends import Backend
    from onplan.steps import Head, Join, Joined
    from onplan.wire import Request, Response

logger = logging.getLogger("onplan.http")

# An error body or a token response is small; a catalogue with its prompts is some megabytes.
MAXIMUM_BODY_SIZE = 32 * 1024 * 1024
# How long a finished answer's connection may take to end its response, so that it can be used again.
RELEASE_SECONDS = 0.5


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds.

    Attributes:
        connect: for a connection to be made.
        idle: between two reads of an answer; models think in silence for minutes.
    """

    connect: float = 15.0
    idle: float = 300.0


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


def choose(timeouts: Timeouts, client: Any = None) -> AsyncTransport:
    """The transport for the user's own ``client``; without one, the fastest that is installed.

    aiohttp does not speak SOCKS and only some kinds of proxy: where the environment names one, httpx2 does.
    """
    from urllib.request import getproxies

    kind = type(client).__module__.partition(".")[0]
    if kind == "aiohttp" or (client is None and not getproxies()):
        try:
            from onplan.transports.aiohttp import AiohttpTransport

            return AiohttpTransport(timeouts, client)
        except ModuleNotFoundError:
            pass
    from onplan.transports.http import AsyncHTTPTransport

    return AsyncHTTPTransport(timeouts, client)


def choose_websocket(
    wanted: str, timeouts: Timeouts, backend: Backend, base_url: str, client: Any = None
) -> AsyncWebSockets | None:
    """What speaks WebSocket, or None where SSE is to be used.

    Args:
        wanted: ``auto``, ``websocket`` or ``sse``.
        timeouts: limits.
        backend: the row that says whether the backend speaks it.
        base_url: where the backend is.
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
    if wanted == "auto" and (client is not None or _needs_socks(base_url)):
        return None
    try:
        from onplan.transports.websocket import WebSockets
    except ModuleNotFoundError:
        if wanted == "websocket":
            raise MissingExtraError("ws", 'transport="websocket"') from None
        return None
    return WebSockets(timeouts)


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for ``url``; none for this very machine."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _needs_socks(url: str) -> bool:
    """Whether there is a SOCKS proxy on the way through which HTTP may get, but no WebSocket."""
    from importlib.util import find_spec

    return (proxy_for(url) or "").startswith("socks") and find_spec("python_socks") is None


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
