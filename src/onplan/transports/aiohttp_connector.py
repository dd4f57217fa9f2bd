"""Connections for aiohttp: requests know when they have one, and proxies are spoken to by tunnel.py."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from onplan.backends import USER_AGENT
from onplan.transports.route import Proxy, Route
from onplan.transports.tunnel import open_tunnel

_KEEP_ALIVE = 5.0  # as httpx2 keeps idle connections


class Connecting:
    """One request's way to its connection. Of the library's errors, some leave open whether there was one.

    ``when_connected`` is called when there is a connection, new or used before.
    """

    def __init__(self, when_connected: Callable[[], object]) -> None:
        self._when_connected = when_connected
        self._transport: asyncio.Transport | None = None

    def done(self, transport: asyncio.Transport | None) -> None:
        """There is a connection."""
        self._transport = transport
        self._when_connected()

    @property
    def is_done(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    def abort(self) -> None:
        """Close it at once. The library would first send what is not sent yet."""
        if self._transport:
            self._transport.abort()


connecting: ContextVar[Connecting | None] = ContextVar("connecting", default=None)


class Sessions:
    """A session for each way that requests go: directly, or through a proxy."""

    def __init__(self, route: Route) -> None:
        self._certificates = route.certificates()
        self._sessions: dict[Proxy | None, aiohttp.ClientSession] = {}

    def get(self, proxy: Proxy | None) -> aiohttp.ClientSession:
        """The session for requests that go through ``proxy``."""
        session = self._sessions.get(proxy)
        if session is None:
            options: dict[str, Any] = {
                "limit": 0,
                "keepalive_timeout": _KEEP_ALIVE,
                "ssl": self._certificates,
            }
            session = self._sessions[proxy] = aiohttp.ClientSession(
                connector=_Connector(**options) if proxy is None else _ProxyConnector(proxy, **options),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": USER_AGENT},
            )
        return session

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()


class _Connector(aiohttp.TCPConnector):
    """Tells whose connection it is."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection, new or used before."""
        connection = await super().connect(*arguments, **options)
        whose = connecting.get()
        if whose:
            whose.done(connection.transport)
        return connection


class _ProxyConnector(_Connector):
    """Makes connections through a proxy: the library knows no SOCKS, and drops what a proxy says.

    ``_wrap_create_connection`` is private. There is no public way to give the library a socket that is
    connected already; so pyproject.toml has an upper bound, and test_proxies.py fails when it changes.
    """

    def __init__(self, proxy: Proxy, *, ssl: ssl.SSLContext, **options: Any) -> None:
        super().__init__(ssl=ssl, resolver=_NoResolver(), **options)
        self._proxy, self._certificates = proxy, ssl

    async def _wrap_create_connection(
        self,
        *arguments: Any,
        req: aiohttp.ClientRequest,
        ssl: Any = None,
        server_hostname: Any = None,
        **_: Any,
    ) -> Any:
        host, port = req.url.raw_host or "", req.url.port or 0
        opened = await open_tunnel(self._proxy, self._certificates, host, port)
        try:
            return await asyncio.get_running_loop().create_connection(
                *arguments, sock=opened, ssl=ssl, server_hostname=server_hostname
            )
        except BaseException:
            opened.close()
            raise


class _NoResolver(AbstractResolver):
    """Looks nothing up: the proxy does."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The name itself."""
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """There is nothing to close."""
