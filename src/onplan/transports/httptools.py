"""HTTP over connections of onplan's own, parsed by httptools: what ``aiohttp.py`` does, for less CPU time.

Every failure is raised as a TransportError, which names the origin and nothing else of the request. Redirects
are never followed. Proxies and certificates are the same as with the others (``route.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from onplan.errors import TransportError
from onplan.flow import Request
from onplan.transports.async_base import AsyncHTTP, OpenAnswer
from onplan.transports.base import Timeouts, log_exchange
from onplan.transports.connection_errors import broken
from onplan.transports.decompression import DamagedBodyError, Decompressor, accepted, decompressor_of
from onplan.transports.httptools_connection import Connection
from onplan.transports.httptools_pool import ConnectionPool
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.request_head import RequestHeads
from onplan.transports.route import Route
from onplan.transports.tracebacks import forget_frames
from onplan.turn.steps import Head


class HttptoolsTransport(AsyncHTTP):
    """Sends requests over connections of its own.

    Args:
        timeouts: limits.
        route: proxies and certificates.
    """

    def __init__(self, timeouts: Timeouts | None = None, route: Route | None = None) -> None:
        super().__init__()
        self._timeouts = timeouts or Timeouts()
        self._heads = RequestHeads()
        make = partial(ConnectionPool, route or Route())
        self._pools: PerLoopClient[ConnectionPool] = PerLoopClient(
            make, None, running_loop, ConnectionPool.close
        )

    async def _send(self, timeout: float | None, request: Request) -> OpenAnswer:  # noqa: ASYNC109 - per read
        usual, limits = self._timeouts, self._timeouts
        if timeout:
            limits = Timeouts(connect=min(timeout, usual.connect), idle=timeout, write=timeout)
        pool = self._pools.get()
        try:
            connection, head = await pool.ask(self._heads.head_of(request, accepted()), request, limits)
        except BaseException as error:
            forget_frames(error)
            raise
        log_exchange(request, head.status)
        return _Answer(head, pool, connection, limits.idle)

    async def close(self) -> None:
        """Close the connections."""
        pool = self._pools.take()
        if pool is not None:
            await pool.close()


class _Decompressed:
    """The body of a compressed answer, decoded while it is read."""

    def __init__(self, connection: Connection, decompressor: Decompressor) -> None:
        self._connection, self._decompressor = connection, decompressor
        self._pieces: Iterator[bytes] = iter(())

    def take(self) -> bytes | None:
        """As that of ``Connection``. Raises DamagedBodyError, too."""
        while True:
            for piece in self._pieces:
                return piece
            data = self._connection.take()
            if not data:
                return data
            self._pieces = self._decompressor.feed(data)


class _Answer(OpenAnswer):
    """An open response."""

    def __init__(self, head: Head, pool: ConnectionPool, connection: Connection, idle: float) -> None:
        super().__init__(head, connection.origin, idle)
        decompressor = decompressor_of(head.headers.get("content-encoding", ""), head.status)
        self._take = (_Decompressed(connection, decompressor) if decompressor else connection).take
        self._pool, self._connection = pool, connection
        self._is_closed = False

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        # As in the base class, but without a coroutine in between: this runs for each event.
        events, connection = self._events, self._connection
        if events.is_over:
            return None
        try:
            while (data := self._take()) is None:
                await connection.news(self._idle)
        except BaseException as error:
            if not self._is_broken_by(error):
                raise
            return events.salvage(self._failure(error))
        connection.deadline = None
        return events.feed(data) if data else events.close()

    async def _read(self) -> bytes:
        try:
            while (data := self._take()) is None:
                await self._connection.news(self._idle)
        except BaseException as error:
            if not self._is_broken_by(error):
                raise
            raise self._failure(error) from None
        self._connection.deadline = None
        return data

    def _is_broken_by(self, error: BaseException) -> bool:
        """Whether ``error``, which ended a read, is about the connection."""
        forget_frames(error)
        self._connection.deadline = None
        return isinstance(error, DamagedBodyError | TransportError)

    def _failure(self, error: BaseException) -> TransportError:
        return error if isinstance(error, TransportError) else broken(self._origin, error)

    async def release(self) -> None:
        """Briefly read on to the end of a complete answer, so that its connection can be reused."""
        if not self._connection.is_at_end:  # as it nearly always is: the end comes with the last event
            await super().release()

    async def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""
        if not self._is_closed:
            self._is_closed = True
            self._pool.end(self._connection)
