"""Connections through a proxy, for httpx2 and for WebSockets.

httpx2 itself would give a proxy as much time as an answer, and reads SOCKS as if it came in one piece.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

from onplan.errors import CertificateError, ProxyError
from onplan.transports.handshake import Handshake, handshake
from onplan.transports.route import Proxy

_READ_SIZE = 4096


def no_answer(proxy: Proxy, error: BaseException) -> ProxyError | CertificateError:
    """The error when ``proxy`` itself cannot be spoken to."""
    untrusted = certificate_failure(error, proxy.address)
    if untrusted:
        return untrusted
    reason = " ".join(str(error).split()).rstrip(".") or "it took too long"
    return ProxyError(f"The proxy {proxy.address} does not answer: {reason}.")


def certificate_failure(error: BaseException | None, origin: str) -> CertificateError | None:
    """The error if ``error`` comes from a certificate that is not trusted."""
    reason = getattr(error, "verify_message", None)  # aiohttp's own kind of certificate error has none
    while error is not None and reason is None:
        error = error.__cause__ or error.__context__
        reason = getattr(error, "verify_message", None)
    if reason is None:
        return None
    reason = reason.rstrip(".") or "it is not trusted"
    return CertificateError(f"The certificate of {origin} is refused: {reason}.")


def _clock(seconds: float | None) -> Callable[[], float | None]:
    """What is left of ``seconds`` when it is called."""
    if seconds is None:
        return lambda: None
    end = time.monotonic() + seconds
    return lambda: max(0.001, end - time.monotonic())


class Tunnel(httpcore2.NetworkBackend):
    """Opens every connection through ``proxy``. ``certificates``: who may show that it is that proxy."""

    def __init__(self, proxy: Proxy, certificates: ssl.SSLContext) -> None:
        self._proxy, self._certificates = proxy, certificates
        self._direct = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to ``host``. Raises ProxyError, CertificateError."""
        proxy, left = self._proxy, _clock(timeout)
        try:
            stream = self._direct.connect_tcp(proxy.host, proxy.port, left(), local_address, socket_options)
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            raise no_answer(proxy, error) from None
        try:
            if proxy.scheme == "https":
                stream = stream.start_tls(self._certificates, proxy.host, left())
            self._shake_hands(stream, host, port, left)
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            stream.close()
            raise no_answer(proxy, error) from None
        except BaseException:
            stream.close()
            raise
        return stream

    def _shake_hands(
        self, stream: httpcore2.NetworkStream, host: str, port: int, left: Callable[[], float | None]
    ) -> None:
        steps = handshake(self._proxy, host, port)
        send = next(steps)
        while True:
            if send:
                stream.write(send, left())
            try:
                send = steps.send(stream.read(_READ_SIZE, left()))
            except StopIteration:
                return


class AsyncDirect(httpcore2.AnyIOBackend):
    """Opens connections that are closed when whoever waits for TLS leaves: the library forgets them."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to ``host``."""
        return _Careful(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Careful(httpcore2.AsyncNetworkStream):
    """A connection without TLS, or before it."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self.read, self.write, self.aclose = stream.read, stream.write, stream.aclose  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection with TLS."""
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise


class AsyncTunnel(httpcore2.AsyncNetworkBackend):
    """Opens every connection through ``proxy``, under an event loop."""

    def __init__(self, proxy: Proxy, certificates: ssl.SSLContext) -> None:
        self._proxy, self._certificates = proxy, certificates
        self._direct = AsyncDirect()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to ``host``. Raises ProxyError, CertificateError."""
        proxy, left = self._proxy, _clock(timeout)
        try:
            stream = await self._direct.connect_tcp(
                proxy.host, proxy.port, left(), local_address, socket_options
            )
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            raise no_answer(proxy, error) from None
        try:
            if proxy.scheme == "https":
                stream = await stream.start_tls(self._certificates, proxy.host, left())
            await self._shake_hands(stream, host, port, left)
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            await stream.aclose()
            raise no_answer(proxy, error) from None
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def _shake_hands(
        self, stream: httpcore2.AsyncNetworkStream, host: str, port: int, left: Callable[[], float | None]
    ) -> None:
        steps = handshake(self._proxy, host, port)
        send = next(steps)
        while True:
            if send:
                await stream.write(send, left())
            come = await stream.read(_READ_SIZE, left())
            try:
                send = steps.send(come)
            except StopIteration:
                return


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A socket that is connected to ``host`` through ``proxy``, one without TLS. Raises ProxyError."""
    loop = asyncio.get_running_loop()
    through: socket.socket | None = None
    try:
        through = await _connect(loop, proxy)
        await _shake_hands(loop, through, handshake(proxy, host, port))
    except OSError as error:
        if through:
            through.close()
        raise no_answer(proxy, error) from None
    except BaseException:
        if through:
            through.close()
        raise
    return through


async def _shake_hands(
    loop: asyncio.AbstractEventLoop, through: socket.socket, steps: Handshake[None]
) -> None:
    send = next(steps)
    while True:
        if send:
            await loop.sock_sendall(through, send)
        come = await loop.sock_recv(through, _READ_SIZE)
        try:
            send = steps.send(come)
        except StopIteration:
            return


async def _connect(loop: asyncio.AbstractEventLoop, proxy: Proxy) -> socket.socket:
    """Connected to the first of its addresses that answers. Raises OSError."""
    found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    failure = OSError("its name has no address")
    for family, kind, number, _, address in found:
        opened = socket.socket(family, kind, number)
        opened.settimeout(0)
        try:
            await loop.sock_connect(opened, address)
        except OSError as error:
            opened.close()
            failure = error
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise failure
