"""HTTP through aiohttp, asynchronous: what http.py does, for a fraction of the CPU.

Failures come out as ours, with the origin in their sentence and nothing else of the request. Redirects are
never followed. Proxies and certificates are those of http.py; SOCKS the library does not speak.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from onplan.backends import USER_AGENT
from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError, TransportError
from onplan.responses.sse import EventDecoder
from onplan.steps import Head
from onplan.transports import (
    PIECE_SIZE,
    RELEASE_SECONDS,
    Timeouts,
    check_body,
    log_exchange,
    lower_case,
    pieces,
    salvaged,
)
from onplan.transports.compression import Compression, open_smaller_async
from onplan.transports.handshake import refusal
from onplan.transports.owner import Owner, running_loop
from onplan.transports.route import Proxy, Route
from onplan.transports.tunnel import certificate_failure, no_answer
from onplan.wire import Request, Response

_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
_KEEP_ALIVE = 5.0  # as httpx2 keeps idle connections


class _Connecting:
    """One request's way to its connection. Of the library's errors, some leave open whether there was one."""

    def __init__(self, origin: str, proxy: Proxy | None) -> None:
        self.origin, self._proxy = origin, proxy
        self._transport: asyncio.Transport | None = None

    def done(self, transport: asyncio.Transport | None) -> None:
        """There is a connection."""
        self._transport = transport

    def abort(self) -> None:
        """Close it at once. The library would first send what is not sent yet."""
        if self._transport:
            self._transport.abort()

    def failure(self, error: Exception) -> TransportError:
        """What an exception of aiohttp means. Its request, which holds the token, stays behind."""
        reason = _reason(error)
        untrusted = certificate_failure(error, self._shown_by(error))
        if untrusted:
            return untrusted
        if self._proxy and not self._transport:
            return self._failure_of(self._proxy, error)
        match error:
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | aiohttp.InvalidURL():
                return ConnectError(f"{self.origin} could not be reached: {reason}.")
            case TimeoutError():
                return IdleTimeoutError(f"{self.origin} stopped answering.")
            case _:
                return DisconnectError(f"The connection to {self.origin} broke: {reason}.")

    def _shown_by(self, error: Exception) -> str:
        """Whose certificate an error is about."""
        proxy, host = self._proxy, getattr(error, "host", None)
        return proxy.address if proxy and proxy.scheme == "https" and host == proxy.host else self.origin

    def _failure_of(self, proxy: Proxy, error: Exception) -> TransportError:
        host = urlsplit(self.origin).hostname or ""
        match error:
            case aiohttp.ClientHttpProxyError():
                return refusal(proxy, host, f"{error.status} {error.message}".strip(), status=error.status)
            case aiohttp.ClientProxyConnectionError() | TimeoutError():
                return no_answer(proxy, TimeoutError() if isinstance(error, TimeoutError) else error)
            case aiohttp.ServerDisconnectedError():
                return refusal(proxy, host, "it closed the connection")
            case aiohttp.ClientConnectorError():
                return ConnectError(f"{self.origin} could not be reached: {_reason(error)}.")
            case _:
                return refusal(proxy, host, "it does not speak HTTP")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _session(route: Route) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(limit=0, keepalive_timeout=_KEEP_ALIVE, ssl=route.certificates()),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": USER_AGENT},
    )


_connecting: ContextVar[_Connecting | None] = ContextVar("_connecting", default=None)


class _Connector(aiohttp.TCPConnector):
    """Tells whose connection it is."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection, new or used before."""
        connection = await super().connect(*arguments, **options)
        whose = _connecting.get()
        if whose:
            whose.done(connection.transport)
        return connection


def _options(request: Request, proxy: Proxy | None) -> dict[str, Any]:
    headers = dict(request.headers)
    if request.body:  # said once more for bodies that go in pieces
        headers["content-length"] = str(len(request.body))
    if proxy is None:
        return {"headers": headers}
    authorization = {"proxy-authorization": proxy.authorization} if proxy.authorization else {}
    if request.url.startswith("http:"):  # the library tells a proxy its headers in a CONNECT only
        headers |= authorization
    return {"headers": headers, "proxy": proxy.address, "proxy_headers": authorization}


class _Sending:
    """The limit for a body while it is sent, for which the library has none: each piece has it to itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limit = asyncio.timeout(None)
        self._over = False

    def content(self, body: bytes | None) -> bytes | AsyncIterator[bytes] | None:
        """What the library is given to send."""
        return body if body is None or len(body) <= PIECE_SIZE else self._pieces(body)

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        for piece in pieces(body):
            self._until(now() + self._seconds)
            yield piece
        self._until(None)

    def _until(self, when: float | None) -> None:
        if not self._over:
            self._limit.reschedule(when)

    def failure(self, origin: str) -> IdleTimeoutError | None:
        """The error if the limit has passed."""
        return IdleTimeoutError(f"{origin} stopped listening.") if self._limit.expired() else None

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        await self._limit.__aexit__(kind, error, trace)


class AiohttpTransport:
    """Sends requests under the running event loop."""

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        client: aiohttp.ClientSession | None = None,
        route: Route | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._route = route or Route()
        self._given = client is not None
        self._compression = Compression()
        self._owner = Owner(partial(_session, self._route), client, running_loop)

    async def fetch(self, request: Request) -> Response:
        """A whole response. Raises TransportError."""
        async with await self.open(request, timeout=request.timeout) as answer:
            return Response(answer.head.status, answer.head.headers, await answer.read_body(request.timeout))

    async def open(self, request: Request, timeout: float | None = None) -> _Answer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        return await open_smaller_async(self._compression, request, partial(self._open, timeout))

    async def _open(self, each: float | None, request: Request) -> _Answer:
        proxy = None if self._given else self._route.proxy_for(request.url)
        connecting, sending = _Connecting(request.origin, proxy), _Sending(self._timeouts.write)
        idle, connect = (each, each) if each else (self._timeouts.idle, self._timeouts.connect)
        token = _connecting.set(connecting)
        try:
            async with sending:
                response = await self._owner.get().request(
                    request.method,
                    request.url,
                    data=sending.content(request.body),
                    timeout=aiohttp.ClientTimeout(
                        total=None, connect=connect, sock_connect=connect, sock_read=idle
                    ),
                    allow_redirects=False,
                    raise_for_status=False,  # whatever the user's own session is set to
                    **_options(request, proxy),
                )
        except _ERRORS as error:
            connecting.abort()
            raise sending.failure(request.origin) or connecting.failure(error) from None
        except ValueError:  # its text may hold the header that it complains about
            raise TransportError(f"The request to {request.origin} could not be written.") from None
        except BaseException:
            connecting.abort()
            raise
        finally:
            _connecting.reset(token)
        log_exchange(request, response.status)
        return _Answer(response, connecting)

    async def close(self) -> None:
        """Close the connections, unless the session is the user's own."""
        session = self._owner.take()
        if session is not None:
            await session.close()


class _Loss:
    """Tells who reads that the connection is lost, where the library does not.

    After bytes that it cannot parse it closes the connection and leaves the reader waiting for ever.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        protocol = None if response.connection is None else response.connection.protocol
        self._closed = None if protocol is None else protocol.closed
        if self._closed is not None:
            self._closed.add_done_callback(self._tell)
        elif protocol is not None:  # lost already
            self._tell(None)

    def _tell(self, closed: asyncio.Future[None] | None) -> None:
        if closed and not closed.cancelled():
            closed.exception()  # which is told elsewhere
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError("what came is no HTTP"))

    def forget(self) -> None:
        """Nobody reads any more; the connection may be used for something else."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._tell)


class _Answer:
    """An open response."""

    def __init__(self, response: aiohttp.ClientResponse, connection: _Connecting) -> None:
        self.head = Head(response.status, lower_case(response.headers))
        self._response, self._content, self._connection = response, response.content, connection
        self._decoder: EventDecoder | None = EventDecoder()
        self._body: bytes | None = None
        self._loss = _Loss(response)

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._decoder is None:
            return None
        try:
            data = await self._content.readany()
        except _ERRORS as error:
            return salvaged(self._decoder, self._connection.failure(error))
        if data:
            return self._decoder.feed(data)
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    async def peek_body(self, timeout: float) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, which can be read once more."""
        self._body = await self.read_body(timeout)
        return self._body

    async def read_body(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, within ``timeout`` seconds if given."""
        if self._body is not None:
            return self._body
        body, deadline = bytearray(), None if timeout is None else time.monotonic() + timeout
        try:
            while data := await self._content.readany():
                body += data
                check_body(body, deadline, self._connection.origin)
        except _ERRORS as error:
            raise self._connection.failure(error) from None
        return bytes(body)

    async def release(self) -> None:
        """The answer is complete: let its last bytes come, briefly, so its connection can be reused."""
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(RELEASE_SECONDS):
                while await self._content.readany():
                    pass

    async def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        self._loss.forget()
        self._response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
