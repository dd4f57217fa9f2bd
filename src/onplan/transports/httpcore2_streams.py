"""Network streams for httpcore2, on sockets that onplan connects, with deadlines for a whole exchange."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import anyio
import httpcore2
from anyio.streams.tls import TLSAttribute, TLSStream

from onplan.forking import no_fork
from onplan.interruption import interruptible
from onplan.transports.deadline import count_read, seconds_left
from onplan.transports.readiness import is_readable

_TLS_RECORD_SIZE = 16 * 1024
# The errors by which an exchange on a stream fails.
BROKEN = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError)
_TOO_MUCH = "the head of the answer is too long"


@contextmanager
def translated(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    """Raise ``timeout`` or ``failure``, classes of httpcore2, for the errors of a socket."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream) as error:
        raise failure(str(error)) from error


class Countdown:
    """The time that is left for connecting as a whole: name, addresses, proxy, TLS.

    Args:
        limit: seconds from now; None for no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._end = None if limit is None else time.monotonic() + limit

    def __call__(self, limit: float | None = None) -> float | None:
        """Seconds that are left, at most ``limit``; None for no limit. Raises TimeoutError if none are."""
        seconds = seconds_left(self._limit if limit is None else limit)
        if self._end is None or seconds is None:
            return seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, seconds)


class Stream(httpcore2.NetworkStream):
    """A connected, blocking socket, with TLS or without."""

    def __init__(self, opened: socket.socket, connecting: Countdown) -> None:
        self._socket, self._connecting = opened, connecting

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, at most ``max_bytes``; ``b""`` at the end."""
        with translated(httpcore2.ReadTimeout, httpcore2.ReadError), interruptible(self._socket):
            self._socket.settimeout(seconds_left(timeout))
            data = self._socket.recv(max_bytes)
        if not count_read(timeout, data):
            raise httpcore2.RemoteProtocolError(_TOO_MUCH)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``; the limit is for each part that the system accepts."""
        with translated(httpcore2.WriteTimeout, httpcore2.WriteError), interruptible(self._socket):
            view = memoryview(buffer)
            while view:
                self._socket.settimeout(seconds_left(timeout))
                view = view[self._socket.send(view) :]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same connection with TLS, within the time for connecting."""
        try:
            with translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                if isinstance(self._socket, ssl.SSLSocket):
                    inner = _InnerTLS(self, ssl_context, server_hostname)
                    inner.shake_hands(partial(self._connecting, timeout))
                    return inner
                secured = ssl_context.wrap_socket(
                    self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
                )
                self._socket = secured  # to be closed with this stream, should the handshake fail
                _shake_hands(secured, partial(self._connecting, timeout))
                return Stream(secured, self._connecting)
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """``socket``, ``ssl_object``, ``is_readable``, ``client_addr`` or ``server_addr``; else None."""
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        return _about(self._socket, info)


def _shake_hands(secured: ssl.SSLSocket, left: Callable[[], float | None]) -> None:
    """Do the TLS handshake. Raises OSError.

    A fork by another thread waits for each of OpenSSL's steps, but not for the network.
    """
    secured.settimeout(0)
    with interruptible(secured):
        while True:
            try:
                with no_fork():  # OpenSSL holds locks of its own in a handshake, which a child would inherit
                    secured.do_handshake()
            except ssl.SSLWantReadError:
                events = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                events = selectors.EVENT_WRITE
            else:
                return
            with selectors.DefaultSelector() as selector:
                selector.register(secured, events)
                if not selector.select(left()):
                    raise TimeoutError("the TLS handshake took too long")


class _InnerTLS(httpcore2.NetworkStream):
    """TLS inside TLS, for a server behind a proxy that speaks TLS too: an SSLSocket holds only one layer."""

    def __init__(self, outer: Stream, context: ssl.SSLContext, host: str | None) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, left: Any) -> None:
        """Do the TLS handshake. Raises OSError, or an error of the outer stream."""
        self._carry_out(self._tls.do_handshake, left, left)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, at most ``max_bytes``; ``b""`` at the end."""
        with translated(httpcore2.ReadTimeout, httpcore2.ReadError), suppress(ssl.SSLEOFError):
            limit = partial(lambda: timeout)
            return bytes(self._carry_out(partial(self._tls.read, max_bytes), limit, limit))
        return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``."""
        with translated(httpcore2.WriteTimeout, httpcore2.WriteError):
            view = memoryview(buffer)
            limit = partial(lambda: timeout)
            while view:
                view = view[self._carry_out(partial(self._tls.write, view), limit, limit) :]

    def _carry_out(self, act: Any, read_limit: Any, write_limit: Any) -> Any:
        while True:
            try:
                done = act()
            except ssl.SSLWantReadError:
                self._flush(write_limit)
                data = self._outer.read(_TLS_RECORD_SIZE, read_limit())
                self._incoming.write(data) if data else self._incoming.write_eof()
            else:
                self._flush(write_limit)
                return done

    def _flush(self, limit: Any) -> None:
        data = self._outgoing.read()
        if data:
            self._outer.write(data, limit())

    def close(self) -> None:
        """Close the connection."""
        self._outer.close()

    def get_extra_info(self, info: str) -> Any:
        """As for ``Stream``."""
        return self._tls if info == "ssl_object" else self._outer.get_extra_info(info)


def _about(opened: socket.socket, info: str) -> Any:
    match info:
        case "socket":
            return opened
        case "is_readable":
            return is_readable(opened.fileno())
        case "client_addr":
            return opened.getsockname()
        case "server_addr":
            return opened.getpeername()
    return None


class AsyncStream(httpcore2.AsyncNetworkStream):
    """A connection under an event loop, with TLS or without."""

    def __init__(self, stream: anyio.abc.ByteStream, connecting: Countdown) -> None:
        self._stream, self._connecting = stream, connecting

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the interface
        """Some bytes, at most ``max_bytes``; ``b""`` at the end."""
        with translated(httpcore2.ReadTimeout, httpcore2.ReadError), suppress(anyio.EndOfStream):
            with anyio.fail_after(seconds_left(timeout)):
                data = await self._stream.receive(max_bytes)
            if not count_read(timeout, data):
                raise httpcore2.RemoteProtocolError(_TOO_MUCH)
            return data
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of the interface
        """Send all of ``buffer``."""
        if not buffer:
            return
        with translated(httpcore2.WriteTimeout, httpcore2.WriteError):
            with anyio.fail_after(seconds_left(timeout)):
                await self._stream.send(buffer)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection with TLS, within the time for connecting."""
        try:
            with translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                with anyio.fail_after(self._connecting(timeout)):
                    secured = await TLSStream.wrap(
                        self._stream,
                        ssl_context=ssl_context,
                        hostname=server_hostname,
                        standard_compatible=False,
                    )
        except BaseException:  # also a cancellation: httpcore2 drops the connection without closing it
            await anyio.aclose_forcefully(self._stream)
            raise
        return AsyncStream(secured, self._connecting)

    def get_extra_info(self, info: str) -> Any:
        """As for ``Stream``."""
        if info == "ssl_object":
            return self._stream.extra(TLSAttribute.ssl_object, None)  # noqa: S610 - not Django's
        return _about(self._stream.extra(anyio.abc.SocketAttribute.raw_socket), info)  # noqa: S610
