"""Clients of httpx2 whose requests go the way that the route says."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore2
import httpx2

from onplan.backends import USER_AGENT
from onplan.transports.route import Proxy, Route
from onplan.transports.tunnel import AsyncDirect, AsyncTunnel, Tunnel


def client_for(route: Route) -> httpx2.Client:
    """One of ours. Raises ConfigurationError when ``route`` cannot be gone."""
    return httpx2.Client(transport=_Ways(route), **_options())


def async_client_for(route: Route) -> httpx2.AsyncClient:
    """The same for an event loop."""
    return httpx2.AsyncClient(transport=_AsyncWays(route), **_options())


def _options() -> dict[str, Any]:
    return {"headers": {"user-agent": USER_AGENT}, "follow_redirects": False, "trust_env": False}


def _pool_options(certificates: ssl.SSLContext) -> dict[str, Any]:
    return {
        "ssl_context": certificates,
        "max_connections": None,
        "max_keepalive_connections": 20,
        "keepalive_expiry": 5.0,
    }


class _Way(httpx2.HTTPTransport):
    """Connections of one kind. The library's own transport has no way to say how they are made."""

    def __init__(self, proxy: Proxy | None, certificates: ssl.SSLContext) -> None:
        super().__init__(verify=certificates)
        backend = Tunnel(proxy, certificates) if proxy else None
        self._pool = httpcore2.ConnectionPool(network_backend=backend, **_pool_options(certificates))


class _AsyncWay(httpx2.AsyncHTTPTransport):
    """The same under an event loop."""

    def __init__(self, proxy: Proxy | None, certificates: ssl.SSLContext) -> None:
        super().__init__(verify=certificates)
        backend = AsyncTunnel(proxy, certificates) if proxy else AsyncDirect()
        self._pool = httpcore2.AsyncConnectionPool(network_backend=backend, **_pool_options(certificates))


class _Ways(httpx2.BaseTransport):
    """A transport for each way that requests go."""

    def __init__(self, route: Route) -> None:
        self._route, self._certificates = route, route.certificates()
        self._ways: dict[str, _Way] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it the way that its address wants."""
        origin = _origin(request)
        way = self._ways.get(origin)
        if way is None:  # another thread may be as fast
            way = self._ways.setdefault(origin, _Way(self._route.proxy_for(origin), self._certificates))
        return way.handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        for way in self._ways.values():
            way.close()


class _AsyncWays(httpx2.AsyncBaseTransport):
    """The same under an event loop."""

    def __init__(self, route: Route) -> None:
        self._route, self._certificates = route, route.certificates()
        self._ways: dict[str, _AsyncWay] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it the way that its address wants."""
        origin = _origin(request)
        if origin not in self._ways:
            self._ways[origin] = _AsyncWay(self._route.proxy_for(origin), self._certificates)
        return await self._ways[origin].handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for way in self._ways.values():
            await way.aclose()


def _origin(request: httpx2.Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc.decode()}"
