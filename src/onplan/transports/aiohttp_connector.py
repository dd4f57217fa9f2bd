"""aiohttp sessions whose connections go directly or through a proxy, and that report when one is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from onplan.backends import USER_AGENT
from onplan.transports.route import Proxy, Route
from onplan.transports.tunnel import open_tunnel

_KEEP_ALIVE = 5.0  # seconds; httpx2 keeps idle connections as long


class ConnectionTracker:
    """Knows whether one request has a connection: aiohttp raises the same errors before and after connecting.

    Args:
        when_connected: called when there is a connection, new or used before.
    """

    def __init__(self, when_connected: Callable[[], object]) -> None:
        self._when_connected = when_connected
        self._transport: asyncio.Transport | None = None

    def connected(self, transport: asyncio.Transport | None) -> None:
        """The request got a connection, new or used before."""
        self._transport = transport
        self._when_connected()

    @property
    def is_connected(self) -> bool:
        """Whether the request got a connection."""
        return self._transport is not None

    def abort(self) -> None:
        """Close the connection at once. aiohttp would first send what is not sent yet."""
        if self._transport:
            self._transport.abort()


# The tracker of the request that the running task is sending.
current_tracker: ContextVar[ConnectionTracker | None] = ContextVar("current_tracker", default=None)


class Sessions:
    """One aiohttp session for direct connections, and one for each proxy."""

    def __init__(self, route: Route) -> None:
        self._certificates = route.certificates()
        self._sessions: dict[Proxy | None, aiohttp.ClientSession] = {}

    def get(self, proxy: Proxy | None) -> aiohttp.ClientSession:
        """The session for requests that go through ``proxy``, or directly for None."""
        session = self._sessions.get(proxy)
        if session is None:
            options: dict[str, Any] = {"limit": 0, "keepalive_timeout": _KEEP_ALIVE}
            session = self._sessions[proxy] = aiohttp.ClientSession(
                connector=_DirectConnector(ssl=self._certificates, **options)
                if proxy is None
                else _ProxyConnector(proxy, self._certificates, **options),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": USER_AGENT},
            )
        return session

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()


class _TrackedConnector(aiohttp.BaseConnector):
    """Reports to the current tracker when its request has a connection."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection, new or used before."""
        connection = await super().connect(*arguments, **options)
        tracker = current_tracker.get()
        if tracker:
            tracker.connected(connection.transport)
        return connection


class _DirectConnector(_TrackedConnector, aiohttp.TCPConnector):
    """Makes connections without a proxy."""


class _ProxyConnector(_TrackedConnector):
    """Makes connections through a proxy with ``tunnel.py``.

    aiohttp 3.14 itself speaks no SOCKS, and drops what a proxy says when it refuses.
    """

    def __init__(self, proxy: Proxy, certificates: SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._proxy, self._certificates = proxy, certificates

    async def _create_connection(
        self, req: aiohttp.ClientRequest, *_arguments: Any, **_options: Any
    ) -> ResponseHandler:
        """The method that aiohttp's reference names for subclasses of ``BaseConnector`` to define.

        Raises ProxyError, CertificateError, OSError.
        """
        url, loop = req.url, asyncio.get_running_loop()
        host = url.raw_host or ""
        opened = await open_tunnel(self._proxy, self._certificates, host, url.port or 0)
        tls: dict[str, Any] = {}
        if url.scheme == "https":
            tls = {"ssl": self._certificates, "server_hostname": host.rstrip(".")}
        try:
            _, protocol = await loop.create_connection(lambda: ResponseHandler(loop), sock=opened, **tls)
        except BaseException:
            opened.close()
            raise
        return protocol
