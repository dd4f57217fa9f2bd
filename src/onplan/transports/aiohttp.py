"""HTTP through aiohttp: what ``httpx2_async.py`` does, for a fraction of the CPU time.

Every failure is raised as a TransportError, which names the origin and nothing else of the request. Redirects
are never followed. Proxies and certificates are the same as with httpx2 (``route.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import TracebackType

import aiohttp

from onplan.errors import ConnectError, IdleTimeoutError, TransportError
from onplan.flow import Request
from onplan.transports.aiohttp_connector import ConnectionTracker, current_tracker, session_for
from onplan.transports.async_base import AsyncHTTP, OpenAnswer
from onplan.transports.base import PIECE_SIZE, Timeouts, length_of, log_exchange, lower_case, pieces
from onplan.transports.connection_errors import (
    broken,
    certificate_failure,
    no_answer,
    stopped_answering,
    stopped_listening,
    unreachable,
)
from onplan.transports.decompression import DamagedBodyError, Decompressor, accepted, decompressor_of
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.route import Proxy, Route
from onplan.transports.tracebacks import forget_frames
from onplan.turn.steps import Head

_ERRORS = (aiohttp.ClientError, DamagedBodyError, TimeoutError, OSError)
_LOOK_EVERY = 1.0  # seconds between two looks at a read that waits
_LOOK_AGAIN = 0.1  # seconds in which a lost connection may still hand over what had come


class _RequestTimeout:
    """Time limits that aiohttp does not have: for each piece of the body, and for the head of the answer.

    aiohttp's own limit for reads begins anew with all that comes, so informational responses (1xx) could put
    it off for ever.
    """

    def __init__(self, timeouts: Timeouts, idle: float, body: bytes | None) -> None:
        self._write, self._idle = timeouts.write, idle
        self._body, self._in_pieces = body, body is not None and len(body) > PIECE_SIZE
        self._limit = asyncio.timeout(None if self._in_pieces else timeouts.connect + idle)
        self._is_sending = self._is_over = False

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """The body as aiohttp takes it; a large one in pieces, so that each has its own write limit."""
        return self._pieces(self._body or b"") if self._in_pieces else self._body

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        for piece in pieces(body):
            self._begin(self._write, is_sending=True)
            yield piece
        self._begin(self._idle)

    def connected(self) -> None:
        """The request has a connection. A body that is not sent in pieces is on its way now."""
        if not self._in_pieces:
            self._begin(self._idle)

    def _begin(self, seconds: float, *, is_sending: bool = False) -> None:
        if not self._is_over and not self._limit.expired():
            self._is_sending = is_sending
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def failure(self, origin: str) -> IdleTimeoutError | None:
        """The error if a limit has passed, else None."""
        if not self._limit.expired():
            return None
        return stopped_listening(origin) if self._is_sending else stopped_answering(origin)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        await self._limit.__aexit__(kind, error, trace)


def _failure(error: Exception, origin: str) -> TransportError:
    """What an exception of aiohttp means, without its request, which holds the token."""
    untrusted = certificate_failure(error, origin)
    if untrusted:
        return untrusted
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | aiohttp.InvalidURL():
            return unreachable(origin, error)
        case TimeoutError():
            return stopped_answering(origin)
        case _:
            return broken(origin, error)


def _failure_to_connect(error: Exception, origin: str, proxy: Proxy | None) -> TransportError:
    """What an exception of aiohttp means while the request has no connection yet."""
    if isinstance(error, TimeoutError) and proxy:
        return no_answer(proxy, TimeoutError())
    failure = _failure(error, origin)
    return failure if isinstance(failure, ConnectError) else unreachable(origin, error)


class AiohttpTransport(AsyncHTTP):
    """Sends requests through aiohttp.

    Args:
        timeouts: limits.
        client: the user's own session, instead of sessions that follow ``route``.
        route: proxies and certificates.
    """

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        client: aiohttp.ClientSession | None = None,
        route: Route | None = None,
    ) -> None:
        super().__init__()
        self._timeouts = timeouts or Timeouts()
        self._is_users_client = client is not None
        self._sessions = PerLoopClient(
            partial(session_for, route or Route()), client, running_loop, aiohttp.ClientSession.close
        )

    async def _send(self, timeout: float | None, request: Request) -> OpenAnswer:  # noqa: ASYNC109 - per read
        idle, connect = timeout or self._timeouts.idle, self._timeouts.connect
        connect = min(timeout, connect) if timeout else connect
        limit = _RequestTimeout(self._timeouts, idle, request.body)
        tracker = ConnectionTracker(limit.connected)
        token = current_tracker.set(tracker)
        try:
            async with limit:
                response = await self._sessions.get().request(
                    request.method,
                    request.url,
                    data=limit.content(),
                    headers={"accept-encoding": accepted(), **request.headers, **length_of(request)},
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, connect=connect, sock_connect=connect, sock_read=idle
                    ),
                    allow_redirects=False,
                    raise_for_status=False,  # whatever the user's own session is set to
                )
        except BaseException as error:
            tracker.abort()
            forget_frames(error)
            failure = self._failure(error, request.origin, limit, tracker)
            if failure is None:
                raise
            raise failure from None
        finally:
            current_tracker.reset(token)
        log_exchange(request, response.status)
        return _Answer(response, request.origin, idle)

    def _failure(
        self,
        error: BaseException,
        origin: str,
        limit: _RequestTimeout,
        tracker: ConnectionTracker,
    ) -> TransportError | None:
        """What ``error``, which came before the answer, means; None if it is to be raised as it is."""
        match error:
            case aiohttp.ClientError() | TimeoutError() | OSError():
                if not (tracker.is_connected or self._is_users_client):
                    return _failure_to_connect(error, origin, tracker.proxy)
                return limit.failure(origin) or _failure(error, origin)
            case ValueError():  # its text may hold the header that it complains about
                return TransportError(f"The request to {origin} could not be written.")
        return None

    async def close(self) -> None:
        """Close the connections, unless the session is the user's own."""
        session = self._sessions.take()
        if session is not None:
            await session.close()


class _StalledReadGuard:
    """Ends reads that aiohttp 3.14.5 lets wait for ever, in two cases.

    After bytes that are not HTTP, ``ResponseHandler.data_received`` closes the connection and sets the
    exception on itself, but not on the body that is being read. And its limit for reads begins anew with
    bytes that lead to no data, such as an extension of a chunk without an end.

    Attributes:
        steps: counted up when a read begins and when it ends, so it is odd while one waits.
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
        if self._has_ended():
            return
        is_lost = self._transport is None or self._transport.is_closing()
        self._timer = (
            self._loop.call_later(_LOOK_AGAIN, self._end_lost_read)
            if is_lost
            else self._loop.call_later(self._every, self._look)
        )
        now = self._loop.time()
        if self.steps != self._seen or not self.steps % 2:
            self._seen, self._seen_at = self.steps, now
        elif now - self._seen_at > self._idle:
            self._content.set_exception(aiohttp.ServerTimeoutError())

    def _has_ended(self) -> bool:
        return self._content.is_eof() or self._content.exception() is not None

    def _end_lost_read(self) -> None:
        if not self._has_ended():
            self._content.set_exception(aiohttp.ClientPayloadError("what came is not HTTP"))

    def stop(self) -> None:
        """Nothing more of the answer is read; its connection may be used for another one."""
        if self._timer is not None:
            self._timer.cancel()


class _Decompressed:
    """The body of a compressed answer, decoded while it is read."""

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
    decompressor = decompressor_of(response.headers.get("content-encoding", ""), response.status)
    return _Decompressed(response.content, decompressor) if decompressor else response.content


class _Answer(OpenAnswer):
    """An open response of aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse, origin: str, idle: float) -> None:
        super().__init__(Head(response.status, lower_case(response.headers)), origin, idle)
        self._response = response
        self._content = _content(response)
        self._guard = _StalledReadGuard(response, idle)

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        # As in the base class, but without a coroutine in between: this runs for each event.
        guard, events = self._guard, self._events
        if events.is_over:
            return None
        guard.steps += 1
        try:
            data = await self._content.readany()
        except BaseException as error:
            forget_frames(error)
            if not isinstance(error, _ERRORS):
                raise
            return events.salvage(_failure(error, self._origin))
        guard.steps += 1
        return events.feed(data) if data else events.close()

    async def _read(self) -> bytes:
        self._guard.steps += 1
        try:
            data = await self._content.readany()
        except BaseException as error:
            forget_frames(error)
            if not isinstance(error, _ERRORS):
                raise
            raise _failure(error, self._origin) from None
        self._guard.steps += 1
        return data

    async def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""
        self._guard.stop()
        self._response.close()
