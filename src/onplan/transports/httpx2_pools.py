"""httpx2 clients over httpcore2's connection pools, with onplan's proxies, certificates and deadlines."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, cast

import anyio
import httpcore2
import httpx2

from onplan.backends import USER_AGENT
from onplan.transports.connection_errors import no_answer
from onplan.transports.deadline import Deadline, Limit
from onplan.transports.happy_eyeballs import connect_async
from onplan.transports.httpcore2_streams import AsyncStream, Countdown, Stream, translated
from onplan.transports.route import Proxy, Route
from onplan.transports.tunnel import open_stream, open_tunnel

DEADLINE = "onplan.deadline"  # the extension of a request that holds its ``Deadline``


def client_for(route: Route) -> httpx2.Client:
    """A client for threads. Raises ConfigurationError if the certificates of ``route`` cannot be loaded."""
    return httpx2.Client(transport=_RoutedTransport(route), **_options())


def async_client_for(route: Route) -> httpx2.AsyncClient:
    """A client for an event loop. Raises ConfigurationError as ``client_for`` does."""
    return httpx2.AsyncClient(transport=_AsyncRoutedTransport(route), **_options())


def _options() -> dict[str, Any]:
    return {"headers": {"user-agent": USER_AGENT}, "follow_redirects": False, "trust_env": False}


def _pool_options(certificates: ssl.SSLContext) -> dict[str, Any]:
    return {
        "ssl_context": certificates,
        "max_connections": None,
        "max_keepalive_connections": 20,
        "keepalive_expiry": 5.0,
    }


def _origin(request: httpx2.Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc.decode()}"


def _for_pool(request: httpx2.Request) -> httpcore2.Request:
    """``request`` for httpcore2, with limits that know its deadline."""
    url = request.url
    extensions = dict(request.extensions)
    deadline = extensions.get(DEADLINE)
    if isinstance(deadline, Deadline):
        limits = extensions.get("timeout", {}).items()
        extensions["timeout"] = {
            step: None if seconds is None else Limit.of(seconds, deadline) for step, seconds in limits
        }
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=extensions,
    )


def _from_pool(request: httpx2.Request, response: httpcore2.Response, stream: Any) -> httpx2.Response:
    """``response`` for httpx2, with the deadline of its request as an extension."""
    extensions = dict(response.extensions)
    if DEADLINE in request.extensions:
        extensions[DEADLINE] = request.extensions[DEADLINE]
    return httpx2.Response(response.status, headers=response.headers, stream=stream, extensions=extensions)


# --- synchronous ------------------------------------------------------------------------------------


class _Network(httpcore2.NetworkBackend):
    """Opens connections on the calling thread, through ``proxy`` if there is one."""

    def __init__(self, proxy: Proxy | None, certificates: ssl.SSLContext) -> None:
        self._proxy, self._certificates = proxy, certificates

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        """A connection to ``host``. Raises ProxyError, CertificateError."""
        with translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            return open_stream(self._proxy, self._certificates, host, port, Countdown(timeout))


class _RoutedTransport(httpx2.BaseTransport):
    """One connection pool for each origin, because the proxy depends on the origin."""

    def __init__(self, route: Route) -> None:
        self._route, self._certificates = route, route.certificates()
        self._pools: dict[str, httpcore2.ConnectionPool] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send ``request`` through the pool of its origin. Raises the errors of httpcore2."""
        origin = _origin(request)
        pool = self._pools.get(origin)
        if pool is None:  # another thread may make one at the same time
            network = _Network(self._route.proxy_for(origin), self._certificates)
            made = httpcore2.ConnectionPool(network_backend=network, **_pool_options(self._certificates))
            pool = self._pools.setdefault(origin, made)
        response = pool.handle_request(_for_pool(request))
        return _from_pool(request, response, _Body(response))

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return iter(cast("Iterable[bytes]", self._response.stream))

    def close(self) -> None:
        self._response.close()


# --- asynchronous -----------------------------------------------------------------------------------


class _AsyncNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections under an event loop, through ``proxy`` if there is one."""

    def __init__(self, proxy: Proxy | None, certificates: ssl.SSLContext) -> None:
        self._proxy, self._certificates = proxy, certificates

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncStream:
        """A connection to ``host``. Raises ProxyError, CertificateError."""
        left = Countdown(timeout)
        with translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                async with asyncio.timeout(left()):
                    if self._proxy is None:
                        opened = await connect_async(host, port)
                    else:
                        opened = await open_tunnel(self._proxy, self._certificates, host, port)
            except TimeoutError as error:
                if self._proxy is None:
                    raise
                raise no_answer(self._proxy, error) from None
            try:
                return AsyncStream(await anyio.abc.SocketStream.from_socket(opened), left)
            except BaseException:
                opened.close()
                raise


class _AsyncRoutedTransport(httpx2.AsyncBaseTransport):
    """One connection pool for each origin, under an event loop."""

    def __init__(self, route: Route) -> None:
        self._route, self._certificates = route, route.certificates()
        self._pools: dict[str, httpcore2.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send ``request`` through the pool of its origin. Raises the errors of httpcore2."""
        origin = _origin(request)
        if origin not in self._pools:
            network = _AsyncNetwork(self._route.proxy_for(origin), self._certificates)
            self._pools[origin] = httpcore2.AsyncConnectionPool(
                network_backend=network, **_pool_options(self._certificates)
            )
        response = await self._pools[origin].handle_async_request(_for_pool(request))
        return _from_pool(request, response, _AsyncBody(response))

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in cast("AsyncIterable[bytes]", self._response.stream):
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()
