"""An aiohttp session whose connections go directly or through a proxy, and that reports when one is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from onplan.backends import USER_AGENT
from onplan.transports.route import Proxy, Route
from onplan.transports.sockets import tunnelled

_KEEP_ALIVE = 5.0  # seconds; httpx2 keeps idle connections as long


class ConnectionTracker:
    """Knows whether one request has a connection: aiohttp raises the same errors before and after connecting.

    Args:
        when_connected: called when there is a connection, new or used before.

    Attributes:
        proxy: the one through which a new connection is being made; None for none.
    """

    def __init__(self, when_connected: Callable[[], object]) -> None:
        self.proxy: Proxy | None = None
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
            protocol = self._transport.get_protocol()
            # aiohttp 3.13.0 gives an exception to what waits until more can be written, although nothing
            # awaits it any more, and asyncio logs that (December 2026; 3.14.5 does not).
            if isinstance(protocol, ResponseHandler) and protocol.writing_paused:
                protocol.resume_writing()
            self._transport.abort()


# The tracker of the request that the running task is sending.
current_tracker: ContextVar[ConnectionTracker | None] = ContextVar("current_tracker", default=None)


def session_for(route: Route) -> aiohttp.ClientSession:
    """A session that follows ``route``. Raises ConfigurationError if its certificates cannot be loaded."""
    return aiohttp.ClientSession(
        connector=_Connector(route),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": USER_AGENT},
    )


class _Connector(aiohttp.TCPConnector):
    """Makes connections directly or through a proxy, and reports to the tracker of the request.

    ``tunnel.py`` speaks to proxies: aiohttp 3.14 itself has no SOCKS, and drops what a proxy says when it
    refuses.
    """

    def __init__(self, route: Route) -> None:
        self._route, self._certificates = route, route.certificates()
        super().__init__(limit=0, keepalive_timeout=_KEEP_ALIVE, ssl=self._certificates)

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection, new or used before."""
        connection = await super().connect(*arguments, **options)
        tracker = current_tracker.get()
        if tracker:
            tracker.connected(connection.transport)
        return connection

    async def _create_connection(
        self, req: aiohttp.ClientRequest, *arguments: Any, **options: Any
    ) -> ResponseHandler:
        """A new connection, by the method that aiohttp's reference names for subclasses to define.

        Raises ConfigurationError, ProxyError, CertificateError, OSError, aiohttp.ClientError.
        """
        proxy = self._route.proxy_for(str(req.url))
        if proxy is None:
            return await super()._create_connection(req, *arguments, **options)
        tracker = current_tracker.get()
        if tracker:
            tracker.proxy = proxy
        return await self._connect_through(proxy, req.url)

    async def _connect_through(self, proxy: Proxy, url: URL) -> ResponseHandler:
        loop, host = asyncio.get_running_loop(), url.raw_host or ""
        opened = await tunnelled(proxy, self._certificates, host, url.port or 0)
        tls: dict[str, Any] = {}
        if url.scheme == "https":
            tls = {"ssl": self._certificates, "server_hostname": host.rstrip(".")}
        try:
            _, protocol = await loop.create_connection(lambda: ResponseHandler(loop), sock=opened, **tls)
        except BaseException:
            opened.close()
            raise
        return protocol
