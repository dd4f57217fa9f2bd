"""One WebSocket connection under asyncio: its socket, its time limits and how it is closed.

The bytes are read and written by ``websocket_upgrade.py`` and ``websocket_messages.py``, which are pure, with
the sans-I/O ``ClientProtocol`` of websockets.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import cast

from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from onplan.errors import DisconnectError, OnplanError
from onplan.flow import Request
from onplan.transports.base import PIECE_SIZE, Timeouts
from onplan.transports.connection_errors import stopped_answering, stopped_listening
from onplan.transports.websocket_messages import MessageReader
from onplan.transports.websocket_upgrade import Upgrade

# Seconds without a byte after which a ping is sent; the server has as long to answer it.
PING_SECONDS = 20.0
# Bytes of messages that wait for the program; beyond these nothing more is read from the network.
MOST_UNREAD = 1024 * 1024
# Bytes of one message that count as progress: a server that sends it byte by byte counts as silent.
PROGRESS = 16 * 1024
# Seconds that closing a connection may take; after that it is aborted.
CLOSE_SECONDS = 1.0

# At the level DEBUG, websockets logs frames, which contain what people write.
LIBRARY_LOGGER = logging.Logger("onplan.websocket", logging.WARNING)  # noqa: LOG001 - for the library
LIBRARY_LOGGER.parent = logging.getLogger("onplan")


class Connection(asyncio.BufferedProtocol):
    """A connection, used by one turn at a time.

    Args:
        request: the one that opens it; only its URL is used here.
        timeouts: ``idle`` is between the messages of a turn; pings and pongs do not count as messages.
        buffer: for what comes, until it is copied, which is at once, so all connections of a loop share it.
            asyncio would make a new one of 256 KiB for each read.

    Attributes:
        failure: why the connection cannot be used any more; None while it can.
        upgrade: the request that opens it, and the server's answer.
        closed: done when the socket is closed.
    """

    def __init__(self, request: Request, timeouts: Timeouts, buffer: memoryview) -> None:
        self.loop = asyncio.get_running_loop()
        self.failure: OnplanError | None = None
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._process, self._buffer = os.getpid(), buffer
        self._origin = request.origin
        self._idle, self._write = timeouts.idle, timeouts.write
        self._ping = min(PING_SECONDS, timeouts.idle / 3)
        uri = parse_uri("ws" + request.url.removeprefix("http"))
        self._protocol = ClientProtocol(uri, logger=LIBRARY_LOGGER)
        self.upgrade = Upgrade(self._protocol, self._origin)
        self._reader = MessageReader(self._protocol, self._origin)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None  # of the task that waits for messages
        self._writable: asyncio.Future[None] | None = None  # while the system accepts no more to send
        self._is_open = self._in_turn = self._sending = self._held_up = False
        self._progress = 0  # bytes of the message that had come at the last progress
        # Times: of the last byte, of the last progress of a message, of the last ping that was sent.
        self._heard = self._lively = self._pinged = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None

    # --- opening ------------------------------------------------------------------------------------

    async def open(self, request: Request) -> None:
        """Send the upgrade request and wait for the whole answer, also if it is a refusal.

        Raises:
            TransportError: there is no answer, or it is not that of a WebSocket server.
        """
        self._socket.write(self.upgrade.request(request))
        while not self.upgrade.finished:
            if self.failure:
                raise self.failure
            await self._wait()

    @property
    def connected(self) -> bool:
        """Whether there is a connection on which the upgrade request can be sent."""
        return self._transport is not None

    # --- turns --------------------------------------------------------------------------------------

    async def begin(self, data: bytes) -> None:
        """Send a turn's message. Raises TransportError."""
        self._check_process()
        if self.failure:
            raise self.failure
        self.take()
        self._in_turn = self._sending = True
        try:
            self._protocol.send_text(data)
            self._flush()
            await self._drain()
        finally:
            self._sending = False
            self._restart_silence()

    async def _drain(self) -> None:
        """Wait until the system has accepted what was sent. The write limit is for each 64 KiB of it."""
        left, deadline = self._socket.get_write_buffer_size(), self.loop.time() + self._write
        while self._writable is not None and not self.failure:
            await asyncio.wait([self._writable], timeout=self._write / 8)
            now, still = self.loop.time(), self._socket.get_write_buffer_size()
            if left - still >= PIECE_SIZE:
                left, deadline = still, now + self._write
            elif now >= deadline and self._writable is not None:
                self._give_up(stopped_listening(self._origin))
        if self.failure:
            raise self.failure

    async def read(self) -> list[bytes]:
        """The messages that have come, at least one.

        Raises:
            TransportError: the connection has ended.
            StreamCorruptError: a message is too large.
        """
        while not self._reader.messages:
            self._check_process()
            if self.failure:
                raise self.failure
            await self._wait()
        return self.take()

    def take(self) -> list[bytes]:
        """The messages that have come, perhaps none."""
        if self._held_up:
            self._held_up = False
            self._socket.resume_reading()
            self._restart_silence()
        return self._reader.take()

    @property
    def is_quiet(self) -> bool:
        """Whether it can be used, and no message is known to be on its way."""
        return self.failure is None and not self._held_up and not self._reader.partial

    def end(self) -> None:
        """The turn is over; messages that come now belong to no turn."""
        self._in_turn = False

    def leave(self) -> None:
        """Send a close frame and close, without waiting for an answer."""
        if os.getpid() != self._process:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        self._close()

    def abort(self) -> None:
        """Close at once. In a child process nothing happens: the connection is the parent's."""
        if os.getpid() == self._process and self._transport:
            self._transport.abort()

    # --- called by the event loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes are to go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the network, split anywhere."""
        data = bytes(self._buffer[:nbytes])
        self._heard = self.loop.time()
        if not self._is_open:
            data = self._open_with(data)
        reader = self._reader
        before = len(reader.messages)
        reader.feed(data)
        if len(reader.messages) > before:
            self._lively, self._progress = self._heard, 0
            self._wake(self._waiter)
            if reader.unread > MOST_UNREAD and not self._held_up:
                self._held_up = True
                self._socket.pause_reading()
        elif reader.partial >= self._progress + PROGRESS:
            self._lively, self._progress = self._heard, reader.partial
        if reader.ping is not None or reader.failure:
            self._answer()

    def pause_writing(self) -> None:
        """The system accepts no more to send, for now."""
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """The system accepts more to send."""
        writable, self._writable = self._writable, None
        self._wake(writable)
        self._answer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        for timer in filter(None, (self._timer, self._closing)):
            timer.cancel()
        if not self._is_open:
            try:
                self.upgrade.close()
            except DisconnectError as error:
                self._fail(error)
        self._fail(DisconnectError(f"The connection to {self._origin} broke."))
        self._wake(self.closed)

    # --- inside -------------------------------------------------------------------------------------

    @property
    def _socket(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("the WebSocket is not connected")
        return self._transport

    def _open_with(self, data: bytes) -> bytes:
        """Feed ``data`` to the upgrade; returns the bytes that follow it on the open connection."""
        try:
            data = self.upgrade.feed(data)
        except DisconnectError as error:
            self._give_up(error)
            return b""
        if self.upgrade.finished:
            self._wake(self._waiter)
        if self._protocol.state is State.OPEN:
            self._is_open = True
            self._restart_silence()
        return data

    def _answer(self) -> None:
        """Answer the latest ping when that can be sent; close if the server closed or broke the protocol."""
        reader = self._reader
        if reader.failure:
            self._flush()
            self._fail(reader.failure)
            self._close()
        elif reader.ping is not None and self._writable is None:
            self._protocol.send_pong(reader.ping)
            reader.ping = None
            self._flush()

    def _flush(self) -> None:
        """Send the frames that ``ClientProtocol`` has ready."""
        self._socket.write(b"".join(self._protocol.data_to_send()))

    def _close(self) -> None:
        """Close when everything is sent, or after ``CLOSE_SECONDS``."""
        if not self._socket.is_closing():
            self._socket.close()
            self._closing = self.loop.call_later(CLOSE_SECONDS, self._socket.abort)

    async def _wait(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self, waiter: asyncio.Future[None] | None) -> None:
        if waiter and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: OnplanError) -> None:
        self.failure = self.failure or error
        self._wake(self._waiter)
        self._wake(self._writable)

    def _give_up(self, error: OnplanError) -> None:
        self._fail(error)
        self._socket.abort()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise DisconnectError(f"The connection to {self._origin} belongs to another process.")

    # --- silence ------------------------------------------------------------------------------------

    def _restart_silence(self) -> None:
        """Measure silence from now on: until now the server had no reason to send anything."""
        self._heard = self._lively = self.loop.time()
        if self._timer:
            self._timer.cancel()
        self._watch()

    def _watch(self) -> None:
        """Give up after too much silence, send a ping when it is due, and schedule the next call."""
        if self.failure or self._socket.is_closing():
            return
        now = self.loop.time()
        asked = self._pinged > self._heard
        busy = self._held_up or self._sending  # a ping would wait behind what is being sent
        times = [now + self._ping if busy else max(self._heard, self._pinged) + self._ping]
        if self._in_turn and not busy:
            times.append(self._lively + self._idle)
            if times[1] <= now:
                self._give_up(stopped_answering(self._origin))
                return
        if times[0] <= now:
            if asked:
                self._give_up(DisconnectError(f"{self._origin} does not answer any more."))
                return
            self._pinged = now
            times[0] = now + self._ping
            self._protocol.send_ping(b"")
            self._flush()
        self._timer = self.loop.call_at(min(times), self._watch)
