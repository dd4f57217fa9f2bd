"""The connections of one event loop for ``httptools.py``: which one a request takes, and how one is made."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from onplan.errors import DisconnectError
from onplan.flow import Request
from onplan.secret import SecretBytes
from onplan.transports.base import Timeouts
from onplan.transports.connection_errors import no_answer, unreachable
from onplan.transports.httptools_connection import Connection
from onplan.transports.request_head import is_idempotent
from onplan.transports.route import Route
from onplan.transports.sockets import READ_SIZE, open_socket, start_protocol
from onplan.turn.steps import Head

LONGEST_IDLE: Final = 5.0  # seconds; the other transports keep idle connections as long
MOST_IDLE: Final = 100  # connections, whatever their servers
_CLOSE_SECONDS = 1.0  # for the event loop to close the sockets


class ConnectionPool:
    """Connections to any servers, each with one exchange at a time.

    Args:
        route: proxies and certificates.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # the one idle for longest first
        self._expiry: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def ask(self, head: SecretBytes, request: Request, limits: Timeouts) -> tuple[Connection, Head]:
        """Send ``request`` on an idle connection or a new one; the one that it was, and the answer's head.

        A server may close an idle connection while a request is on its way on it. Then the request is sent
        again, unless it may have been carried out and must not be twice.

        Raises TransportError, ConfigurationError.
        """
        idle = self._take(request.origin)
        if idle is not None:
            try:
                return idle, await self._asked(idle, head, request, limits)
            except DisconnectError:
                if idle.has_heard or not is_idempotent(request.method):
                    raise
        made = await self._connect(request, limits.connect)
        return made, await self._asked(made, head, request, limits)

    async def _asked(
        self, connection: Connection, head: SecretBytes, request: Request, limits: Timeouts
    ) -> Head:
        try:
            return await connection.ask(head, request, limits)
        except BaseException:
            connection.abort()
            raise

    def end(self, connection: Connection) -> None:
        """The exchange on ``connection`` is over; it is kept for the next one if its answer is complete."""
        if not connection.end():
            return
        if self._is_closed:  # while this one was being made
            connection.abort()
            return
        self._idle[connection] = None
        if len(self._idle) > MOST_IDLE:
            self._drop(next(iter(self._idle)))
        if self._expiry is None:
            self._expiry = connection.loop.call_later(LONGEST_IDLE, self._expire, connection.loop)

    def _take(self, origin: str) -> Connection | None:
        """The idle connection that was used last."""
        while True:
            found = next((each for each in reversed(self._idle) if each.origin == origin), None)
            if found is None:
                return None
            del self._idle[found]
            if found.is_usable:
                return found
            found.abort()

    def _drop(self, connection: Connection) -> None:
        del self._idle[connection]
        connection.abort()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close those that were idle for too long, and look again when the next one will have been."""
        self._expiry = None
        for connection in tuple(self._idle):
            end = connection.idle_since + LONGEST_IDLE
            if end > loop.time():
                self._expiry = loop.call_at(end, self._expire, loop)
                return
            self._drop(connection)

    async def _connect(self, request: Request, seconds: float) -> Connection:
        """A new connection, within ``seconds`` for name, addresses, proxy and TLS. Raises TransportError."""
        connection, limit = Connection(request.origin, self._buffer), asyncio.timeout(seconds)
        opened: socket.socket | None = None
        try:
            async with limit:
                opened = await open_socket(self._route, request.url)
                await start_protocol(self._route, request.url, opened, connection, seconds)
        except OSError as error:  # a TimeoutError is one
            connection.abort()
            if not limit.expired():
                raise unreachable(request.origin, error) from None
            proxy = None if opened else self._route.proxy_for(request.url)
            late = TimeoutError("it took too long")
            raise (no_answer(proxy, late) if proxy else unreachable(request.origin, late)) from None
        except BaseException:
            connection.abort()
            raise
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._forget(connection))
        return connection

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.pop(connection, None)

    async def close(self) -> None:
        """Close all connections, also those that are in use."""
        self._is_closed = True
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None
        self._idle.clear()
        closing = [connection.closed for connection in self._connections]
        for connection in self._connections:
            connection.abort()
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
