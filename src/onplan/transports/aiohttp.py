"""HTTP through aiohttp: what ``httpx2_async.py`` does, for a fraction of the CPU time.

Every failure is raised as a TransportError, which names the origin and nothing else of the request. Redirects
are never followed. Proxies and certificates are the same as with httpx2 (``route.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import TracebackType
from typing import Self

import aiohttp

from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError, TransportError
from onplan.flow import Request, Response
from onplan.transports.aiohttp_connector import Connecting, Sessions, connecting
from onplan.transports.base import (
    PIECE_SIZE,
    RELEASE_SECONDS,
    Timeouts,
    check_body,
    forget_frames,
    length_of,
    log_exchange,
    lower_case,
    pieces,
)
from onplan.transports.compression import Compression, open_smaller_async
from onplan.transports.connection_errors import certificate_failure, no_answer, unreachable
from onplan.transports.decompression import (
    DamagedBodyError,
    Decompressor,
    Unknown,
    accepted,
    decompressor_for,
)
from onplan.transports.event_reader import EventReader
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.route import Proxy, Route
from onplan.turn.steps import Head

_ERRORS = (aiohttp.ClientError, DamagedBodyError, TimeoutError, OSError)
_LOOK_EVERY = 1.0  # seconds

_LOOK_AGAIN = 0.1


class _Waiting:
    """Limits that the library does not have: for each piece of a body that is sent, and for a head.

    Its own limit for reading begins anew with all that comes: informational responses (1xx) never let it end.
    """

    def __init__(self, timeouts: Timeouts, idle: float, body: bytes | None) -> None:
        self._write, self._idle = timeouts.write, idle
        self._body, self._in_pieces = body, body is not None and len(body) > PIECE_SIZE
        self._limit = asyncio.timeout(None if self._in_pieces else timeouts.connect + idle)
        self._is_sending = self._is_over = False

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """What the library is given to send."""
        return self._pieces(self._body or b"") if self._in_pieces else self._body

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        for piece in pieces(body):
            self._begin(self._write, is_sending=True)
            yield piece
        self._begin(self._idle)

    def connected(self) -> None:
        """There is a connection; what is not sent in pieces is on its way."""
        if not self._in_pieces:
            self._begin(self._idle)

    def _begin(self, seconds: float, *, is_sending: bool = False) -> None:
        if not self._is_over and not self._limit.expired():
            self._is_sending = is_sending
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def failure(self, origin: str) -> IdleTimeoutError | None:
        """The error if a limit has passed."""
        if not self._limit.expired():
            return None
        return IdleTimeoutError(f"{origin} stopped {'listening' if self._is_sending else 'answering'}.")

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        await self._limit.__aexit__(kind, error, trace)


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _failure(error: Exception, origin: str) -> TransportError:
    """What an exception of aiohttp means. Its request, which holds the token, stays behind."""
    untrusted = certificate_failure(error, origin)
    if untrusted:
        return untrusted
    reason = _said(error)
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | aiohttp.InvalidURL():
            return unreachable(origin, error)
        case TimeoutError():
            return IdleTimeoutError(f"{origin} stopped answering.")
        case _:
            return DisconnectError(f"The connection to {origin} broke: {reason}.")


def _failure_on_the_way(error: Exception, origin: str, proxy: Proxy | None) -> TransportError:
    """The same while there is no connection yet."""
    if isinstance(error, TimeoutError) and proxy:
        return no_answer(proxy, TimeoutError())
    failure = _failure(error, origin)
    return failure if isinstance(failure, ConnectError) else unreachable(origin, error)


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
        self._given = client
        self._compression = Compression()
        self._clients: PerLoopClient[Sessions] = PerLoopClient(
            partial(Sessions, self._route), None, running_loop
        )

    async def fetch(self, request: Request) -> Response:
        """A whole response, within ``request.timeout`` seconds in all. Raises TransportError."""
        try:
            async with asyncio.timeout(request.timeout):
                async with await self.open(request, timeout=request.timeout) as answer:
                    return Response(answer.head.status, answer.head.headers, await answer.read_body())
        except TimeoutError:
            raise IdleTimeoutError(f"{request.origin} took too long to answer.") from None

    async def open(self, request: Request, timeout: float | None = None) -> _Answer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        return await open_smaller_async(self._compression, request, partial(self._open, timeout))

    async def _open(self, each: float | None, request: Request) -> _Answer:
        proxy = None if self._given else self._route.proxy_for(request.url)
        idle, connect = (each, each) if each else (self._timeouts.idle, self._timeouts.connect)
        waiting = _Waiting(self._timeouts, idle, request.body)
        way = Connecting(waiting.connected)
        token = connecting.set(way)
        try:
            async with waiting:
                response = await (self._given or self._clients.get().get(proxy)).request(
                    request.method,
                    request.url,
                    data=waiting.content(),
                    headers={"accept-encoding": accepted(), **request.headers, **length_of(request)},
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, connect=connect, sock_connect=connect, sock_read=idle
                    ),
                    allow_redirects=False,
                    raise_for_status=False,  # whatever the user's own session is set to
                )
        except BaseException as error:
            way.abort()
            forget_frames(error)
            failure = self._failure(error, request.origin, waiting, way, proxy)
            if failure is None:
                raise
            raise failure from None
        finally:
            connecting.reset(token)
        log_exchange(request, response.status)
        return _Answer(response, request.origin, idle)

    def _failure(
        self, error: BaseException, origin: str, waiting: _Waiting, way: Connecting, proxy: Proxy | None
    ) -> TransportError | None:
        """What ends a request before its answer begins; None for what is ours, or the program's, already."""
        match error:
            case aiohttp.ClientError() | TimeoutError() | OSError():
                if not (way.is_done or self._given):
                    return _failure_on_the_way(error, origin, proxy)
                return waiting.failure(origin) or _failure(error, origin)
            case ValueError():  # its text may hold the header that it complains about
                return TransportError(f"The request to {origin} could not be written.")
        return None

    async def close(self) -> None:
        """Close the connections, unless the session is the user's own."""
        sessions = self._clients.take()
        if sessions is not None:
            await sessions.close()


class _Loss:
    """Ends reads that the library would let wait for ever.

    After bytes that it cannot parse it closes the connection and leaves the reader waiting (aiohttp 3.14.5:
    ``ResponseHandler.data_received`` sets the exception on itself and not on the payload). And its limit for
    reading begins anew with bytes that lead to no data, such as an extension of a chunk without an end.

    Attributes:
        steps: counted up when a read begins, and when it ends.
    """

    def __init__(self, response: aiohttp.ClientResponse, idle: float) -> None:
        self.steps = 0
        self._idle, self._seen, self._seen_at = idle, 0, 0.0
        self._content = response.content
        self._transport = response.connection.transport if response.connection else None
        self._timer: asyncio.TimerHandle | None = None
        if response.connection:
            self._loop = asyncio.get_running_loop()
            self._every = min(_LOOK_EVERY, idle / 2)
            self._look()

    def _look(self) -> None:
        if not self._is_known():
            is_lost = self._transport is None or self._transport.is_closing()
            self._timer = (
                self._loop.call_later(_LOOK_AGAIN, self._tell)
                if is_lost
                else self._loop.call_later(self._every, self._look)
            )
            now = self._loop.time()
            if self.steps != self._seen or not self.steps % 2:
                self._seen, self._seen_at = self.steps, now
            elif now - self._seen_at > self._idle:
                self._content.set_exception(aiohttp.ServerTimeoutError())

    def _is_known(self) -> bool:
        return self._content.is_eof() or self._content.exception() is not None

    def _tell(self) -> None:
        if not self._is_known():
            self._content.set_exception(aiohttp.ClientPayloadError("what came is no HTTP"))

    def forget(self) -> None:
        """The answer is not read any more; its connection may be used for another one."""
        if self._timer is not None:
            self._timer.cancel()


class _Decompressed:
    """The content of a compressed answer."""

    def __init__(self, content: aiohttp.StreamReader, decompressor: Decompressor) -> None:
        self._content, self._decompressor = content, decompressor
        self._pieces: Iterator[bytes] = iter(())

    async def readany(self) -> bytes:
        """Some bytes, or none at the end."""
        while True:
            for piece in self._pieces:
                return piece
            data = await self._content.readany()
            if not data:
                return b""
            self._pieces = self._decompressor.feed(data)


def _content(response: aiohttp.ClientResponse) -> aiohttp.StreamReader | _Decompressed:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return response.content
    decompressor = decompressor_for(encoding)
    if decompressor is None and response.status >= 400:  # the status is what counts
        return response.content
    return _Decompressed(response.content, decompressor or Unknown(encoding))


class _Answer:
    """An open response."""

    def __init__(self, response: aiohttp.ClientResponse, origin: str, idle: float) -> None:
        self.head = Head(response.status, lower_case(response.headers))
        self._response, self._origin = response, origin
        self._content = _content(response)
        self._events = EventReader(idle, origin)
        self._idle = idle
        self._body: bytes | None = None
        self._loss = _Loss(response, idle)

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._events.is_over:
            return None
        self._loss.steps += 1
        try:
            data = await self._content.readany()
            self._loss.steps += 1
        except _ERRORS as error:
            forget_frames(error)
            return self._events.salvage(_failure(error, self._origin))
        return self._events.feed(data) if data else self._events.close()

    async def peek_body(self, timeout: float) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, which can be read once more."""
        self._body = await self.read_body(timeout)
        return self._body

    async def read_body(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, within ``timeout`` seconds, or the time for one read of a stream."""
        if self._body is not None:
            return self._body
        body = bytearray()
        limit = asyncio.timeout(self._idle if timeout is None else timeout)
        try:
            async with limit:
                while data := await self._content.readany():
                    body += data
                    check_body(body, None, self._origin)
        except _ERRORS as error:
            forget_frames(error)
            if limit.expired():
                raise IdleTimeoutError(f"{self._origin} took too long to answer.") from None
            raise _failure(error, self._origin) from None
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
