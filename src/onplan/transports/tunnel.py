"""Connects to a server: as a stream for httpcore2, or, through a proxy, as a socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import cast

import httpcore2

from onplan.transports.connection_errors import no_answer
from onplan.transports.happy_eyeballs import connect, connect_async
from onplan.transports.httpcore2_streams import BROKEN, Countdown, Stream
from onplan.transports.proxy_handshake import shake_hands, shake_hands_async
from onplan.transports.route import Proxy
from onplan.transports.tracebacks import forget_frames

_READ_SIZE = 64 * 1024


def open_stream(
    proxy: Proxy | None, certificates: ssl.SSLContext, host: str, port: int, left: Countdown
) -> Stream:
    """A connection to ``host``, without TLS to it yet. Raises OSError, ProxyError, CertificateError."""
    if proxy is None:
        return Stream(_without_delay(connect(host, port, left)), left)
    try:
        stream = Stream(_without_delay(connect(proxy.host, proxy.port, left)), left)
        if proxy.scheme == "https":
            secured = stream.start_tls(certificates, proxy.host)
            stream = cast("Stream", secured)  # it is the first layer of TLS
    except (OSError, *BROKEN) as error:
        forget_frames(error)
        raise no_answer(proxy, error) from None
    try:
        shake_hands(stream, proxy, host, port, left)
    except BaseException:
        stream.close()
        raise
    return stream


async def open_tunnel(
    proxy: Proxy, certificates: ssl.SSLContext | None, host: str, port: int
) -> socket.socket:
    """A non-blocking socket connected to ``host`` through ``proxy``. The caller limits the time.

    ``certificates`` are for a proxy that speaks TLS itself. Raises ProxyError, CertificateError.
    """
    try:
        opened = await connect_async(proxy.host, proxy.port)
    except OSError as error:
        raise no_answer(proxy, error) from None
    try:
        if proxy.scheme == "https":
            return await _tunnel_in_tls(proxy, certificates, host, port, opened)
        await shake_hands_async(_OnSocket(opened), proxy, host, port)
    except BaseException:
        opened.close()
        raise
    return opened


def _without_delay(opened: socket.socket) -> socket.socket:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


# --- sockets under an event loop ----------------------------------------------------------------------------


class _OnSocket(httpcore2.AsyncNetworkStream):
    """A socket as a stream of httpcore2, for the handshake with a proxy. The caller limits the time."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the interface
        """Some bytes, at most ``max_bytes``; ``b""`` at the end."""
        return await asyncio.get_running_loop().sock_recv(self._socket, max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of the interface
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self._socket, buffer)

    async def aclose(self) -> None:
        """Does nothing: the function that opened it closes it."""


class _OnStreams(httpcore2.AsyncNetworkStream):
    """A connection with TLS as a stream of httpcore2, for the handshake with a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the interface
        """Some bytes, at most ``max_bytes``; ``b""`` at the end."""
        return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of the interface
        """Send all of it."""
        self._writer.write(buffer)
        await self._writer.drain()

    async def aclose(self) -> None:
        """Does nothing: the function that opened it closes it."""


_relays: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly


async def _tunnel_in_tls(
    proxy: Proxy, certificates: ssl.SSLContext | None, host: str, port: int, opened: socket.socket
) -> socket.socket:
    """A tunnel through a proxy that speaks TLS, as a socket: a second layer of TLS can run over it."""
    try:
        reader, writer = await asyncio.open_connection(
            sock=opened, ssl=certificates, server_hostname=proxy.host
        )
    except OSError as error:
        raise no_answer(proxy, error) from None
    try:
        await shake_hands_async(_OnStreams(reader, writer), proxy, host, port)
        near, far = socket.socketpair()
    except BaseException:
        writer.transport.abort()
        raise
    near.settimeout(0)
    far.settimeout(0)
    relay = asyncio.get_running_loop().create_task(_relay(reader, writer, far))
    _relays.add(relay)

    def end(relay: asyncio.Task[None]) -> None:  # also called for a task that is cancelled before it begins
        _relays.discard(relay)
        far.close()
        writer.transport.abort()

    relay.add_done_callback(end)
    return near


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: socket.socket) -> None:
    """Pass bytes on in both directions until one side closes its connection."""
    loop = asyncio.get_running_loop()

    async def there() -> None:
        while data := await loop.sock_recv(far, _READ_SIZE):
            writer.write(data)
            await writer.drain()

    async def back() -> None:
        while data := await reader.read(_READ_SIZE):
            await loop.sock_sendall(far, data)

    ways = [loop.create_task(there()), loop.create_task(back())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
