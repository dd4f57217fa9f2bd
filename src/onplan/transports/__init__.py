"""Sends requests and reads their answers over the network, over HTTP or a WebSocket.

Every transport hands over an answer event by event, so the turn does not know which one it has. ``base.py``
has their interfaces.

================ ============================================================================================
httpx2_sync.py   for the synchronous client
httptools.py     for the asynchronous client where httptools is installed (extra ``fast``): the least CPU time
aiohttp.py       where aiohttp is installed instead, and with an aiohttp session of the user's own
httpx2_async.py  for the asynchronous client otherwise, or with an httpx2 client of the user's own
websocket.py     for the asynchronous client where the backend speaks WebSocket (extra ``ws``)
================ ============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onplan.config.installation import missing_extra
from onplan.errors import ConfigurationError
from onplan.transports.base import (
    Answer,
    AsyncAnswer,
    AsyncExchange,
    AsyncTransport,
    AsyncWebSockets,
    Timeouts,
    timeouts_of,
)

if TYPE_CHECKING:
    from onplan.backends import Backend
    from onplan.transports.route import Route

__all__ = [
    "TRANSPORTS",
    "Answer",
    "AsyncAnswer",
    "AsyncExchange",
    "AsyncTransport",
    "AsyncWebSockets",
    "Timeouts",
    "choose",
    "choose_websocket",
    "require_http",
    "timeouts_of",
]


def choose(timeouts: Timeouts, route: Route, client: Any = None) -> AsyncTransport:
    """The transport for the user's own ``client``; without one, the fastest that is installed."""
    if client is None:
        try:
            from onplan.transports.httptools import HttptoolsTransport

            return HttptoolsTransport(timeouts, route)
        except ModuleNotFoundError:
            pass
    if client is None or type(client).__module__.partition(".")[0] == "aiohttp":
        try:
            from onplan.transports.aiohttp import AiohttpTransport

            return AiohttpTransport(timeouts, client, route)
        except ModuleNotFoundError:
            pass
    from onplan.transports.httpx2_async import AsyncHTTPTransport

    return AsyncHTTPTransport(timeouts, client, route)


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
            raise missing_extra("ws", 'transport="websocket"') from None
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
