"""WebSockets under an event loop: a pool of connections, each used by one turn at a time.

A connection stays open after its turn, so that the next turn of the session saves connecting and sends only
what the server has not seen yet.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from hashlib import sha256
from typing import Any, Self, cast

from onplan.errors import IdleTimeoutError, StreamCorruptError
from onplan.flow import Request
from onplan.responses.continuation import Continuation
from onplan.responses.events import Document, ErrorEvent, decode_event
from onplan.transports.base import Timeouts, log_exchange, logger
from onplan.transports.connection_errors import no_answer, unreachable
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.route import Route
from onplan.transports.sockets import READ_SIZE, open_socket, start_protocol
from onplan.transports.websocket_connection import CLOSE_SECONDS, Connection
from onplan.turn.steps import Head, Join, Joined

# In seconds. The backend ends connections after 60 minutes.
LONGEST_AGE = 55 * 60.0
LONGEST_IDLE = 5 * 60.0
MOST_IDLE = 16  # connections


class WebSockets:
    """Opens WebSockets under the running event loop, and keeps them open between turns."""

    def __init__(self, timeouts: Timeouts | None = None, route: Route | None = None) -> None:
        make = partial(_Pool, timeouts or Timeouts(), route or Route())
        self._clients: PerLoopClient[_Pool] = PerLoopClient(make, None, running_loop, _Pool.close)

    async def join(self, join: Join) -> Exchange | None:
        """A connection for one turn, or the server's refusal to open one. Raises TransportError.

        None if ``join`` asks only for a connection that the turn can continue on, and there is none.
        """
        return await self._clients.get().join(join)

    async def close(self) -> None:
        """Close the connections."""
        pool = self._clients.take()
        if pool is not None:
            await pool.close()


class _Member:
    """An open connection with its session, its credential and what the server has seen on it."""

    def __init__(self, connection: Connection, join: Join, head: Head) -> None:
        self.connection, self.head = connection, head
        self.session_id = join.session_id
        self.credential = _credential(join.request)
        self.seen = Continuation()
        self.opened = connection.loop.time()
        self.expiry: asyncio.TimerHandle | None = None

    def serves(self, request: Request) -> bool:
        """Whether the connection can still be used, with the credential of ``request``.

        Messages since its last turn belong to no turn. If more of them may be on their way, the next turn
        would take them for its own answer, so the connection is not used.
        """
        age = self.connection.loop.time() - self.opened
        return (
            self.connection.is_quiet
            and age < LONGEST_AGE
            and self.credential == _credential(request)
            and not any(map(_is_complaint, self.connection.take()))
        )


class _Pool:
    """The connections of one event loop."""

    def __init__(self, timeouts: Timeouts, route: Route) -> None:
        self._timeouts, self._route = timeouts, route
        self._idle: dict[_Member, None] = {}  # the one idle for longest first
        self._connections: set[Connection] = set()
        self._buffer = memoryview(bytearray(READ_SIZE))

    async def join(self, join: Join) -> Exchange | None:
        """An idle connection or a new one; for ``WebSockets.join``."""
        member = None if join.fresh else self._take(join)
        if member is not None:
            return Exchange(Joined(member.head, member.seen, warm=True), self, member)
        if join.fitting:
            return None
        connection = await self._open(join.request)
        head = cast("Head", connection.upgrade.head)
        log_exchange(join.request, head.status)
        if head.status != 101:
            connection.abort()
            return Exchange(Joined(head), body=connection.upgrade.body)
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        member = _Member(connection, join, head)
        return Exchange(Joined(member.head, member.seen), self, member)

    async def _open(self, request: Request) -> Connection:
        """A connection on which the server has answered. Raises TransportError.

        One limit is for all of it: name, addresses, proxy, TLS, the upgrade, and the body of a refusal. Of
        that body, what has come in time is enough.
        """
        connection, limit = (
            Connection(request, self._timeouts, self._buffer),
            asyncio.timeout(self._timeouts.connect),
        )
        opened: socket.socket | None = None
        try:
            async with limit:
                opened = await open_socket(self._route, request.url)
                await start_protocol(self._route, request.url, opened, connection, self._timeouts.connect)
                await connection.open(request)
        except OSError as error:  # a TimeoutError is one
            connection.abort()
            if not limit.expired():
                raise unreachable(request.origin, error) from None
            if not connection.connected:
                proxy = None if opened else self._route.proxy_for(request.url)
                late = TimeoutError("it took too long")
                raise (no_answer(proxy, late) if proxy else unreachable(request.origin, late)) from None
            if connection.upgrade.head is None:
                raise IdleTimeoutError(f"{request.origin} did not open a WebSocket in time.") from None
        except BaseException:
            connection.abort()
            raise
        return connection

    def _take(self, join: Join) -> _Member | None:
        """The session's idle connection on which the turn can continue, else the one used last."""
        mine = [member for member in self._idle if member.session_id == join.session_id]
        serving = []
        for member in mine:
            if member.serves(join.request):
                serving.append(member)
            else:
                self._drop(member)
        serving.sort(key=lambda member: member.seen.fits(join.create))
        if not serving or (join.fitting and not serving[-1].seen.fits(join.create)):
            return None
        self._forget(serving[-1])
        return serving[-1]

    def keep(self, member: _Member) -> None:
        """Keep the connection open for the next turn: its turn is over."""
        member.connection.end()
        if member.connection.failure is not None:
            member.connection.abort()
            return
        self._idle[member] = None
        member.expiry = member.connection.loop.call_later(LONGEST_IDLE, self._drop, member)
        if len(self._idle) > MOST_IDLE:
            self._drop(next(iter(self._idle)))

    def _forget(self, member: _Member) -> None:
        del self._idle[member]
        if member.expiry:
            member.expiry.cancel()

    def _drop(self, member: _Member) -> None:
        self._forget(member)
        member.connection.leave()

    async def close(self) -> None:
        """Close idle connections with a close frame, waiting briefly for its answer; abort the others."""
        closing = [connection.closed for connection in self._connections]
        for connection in self._connections.difference(member.connection for member in self._idle):
            connection.abort()
        for member in tuple(self._idle):
            self._drop(member)
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)


class Exchange:
    """A connection while one turn uses it, or the server's refusal to open one."""

    def __init__(
        self, joined: Joined, pool: _Pool | None = None, member: _Member | None = None, body: bytes = b""
    ) -> None:
        self.joined, self.head = joined, joined.head
        self._pool, self._member, self._body = pool, member, body

    async def send(self, data: bytes) -> None:
        """Send a turn's message. Raises TransportError."""
        logger.info("message over the WebSocket: %d bytes", len(data))
        await self._connection.begin(data)

    async def read_events(self) -> list[bytes]:
        """The messages that have come, at least one. Raises TransportError."""
        return await self._connection.read()

    async def read_body(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - of the whole
        maximum_size: int | None = None,
    ) -> bytes:
        """The body of the refusal."""
        return self._body

    async def release(self) -> None:
        """The turn is complete: keep the connection open for the next one."""
        await self.close()

    async def close(self) -> None:
        """Close the connection, unless the answer is complete: then it is kept for the next turn."""
        pool, member = self._pool, self._member
        self._pool = self._member = None
        if pool is not None and member is not None:
            pool.keep(member) if member.seen.settled else member.connection.abort()

    @property
    def _connection(self) -> Connection:
        if self._member is None:
            raise RuntimeError("the exchange has no connection")
        return self._member.connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self.close()


def _is_complaint(payload: bytes) -> bool:
    """Whether a message that belongs to no turn is an error, so that the connection is not used again."""
    try:
        return isinstance(decode_event(payload), ErrorEvent | Document)
    except StreamCorruptError:
        return True


def _credential(request: Request) -> bytes:
    return sha256(request.headers.get("authorization", "").encode()).digest()
