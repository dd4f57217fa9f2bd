"""One WebSocket connection: whole text messages taken out of the bytes at once, and signs of life watched.

Everything that is not the ordinary frame of an answer goes to the library: the upgrade, control frames,
fragments, and what breaks the protocol.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from onplan.errors import DisconnectError, IdleTimeoutError, TransportError
from onplan.responses.sse import MAXIMUM_EVENT_SIZE
from onplan.transports import Timeouts

if TYPE_CHECKING:
    from websockets.client import ClientProtocol
    from websockets.protocol import Event

# Seconds of silence after which we ask whether somebody is there, and then wait for the answer.
PING_SECONDS = 20.0
# Bytes that wait to be read, beyond which no more are taken from the network.
MOST_UNREAD = 1024 * 1024

_WHOLE_TEXT = 0x81
_PONG = 0x8A

# The library logs the headers of the upgrade, and so the token, where it is asked for debug messages.
LIBRARY_LOGGER = logging.Logger("onplan.websocket", logging.WARNING)  # noqa: LOG001 - nobody finds it by name
LIBRARY_LOGGER.parent = logging.getLogger("onplan")


class Connection(ClientConnection):
    """A connection that one turn at a time reads from.

    Attributes:
        failure: why it cannot be used any more.
    """

    def __init__(self, protocol: ClientProtocol, *, origin: str, timeouts: Timeouts, **options: Any) -> None:
        super().__init__(protocol, **options)
        self.failure: TransportError | None = None
        self._origin = origin
        self._idle, self._write = timeouts.idle, timeouts.write
        self._ping = min(PING_SECONDS, timeouts.idle / 3)
        self._payloads: list[bytes] = []
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None
        self._in_turn = self._held_up = False
        self._sending: asyncio.TimerHandle | None = None
        self._pending: list[bytes] = []  # of the frame that is not whole yet
        self._pending_size, self._wanted = 0, 2
        self._fragments: list[bytes] = []
        self._upgraded = False
        # When something came, when something came that shows the backend at work, when we asked.
        self._heard = self._lively = self._pinged = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- for a turn ---------------------------------------------------------------------------------

    async def begin(self, data: bytes) -> None:
        """Send a turn's message. Raises TransportError."""
        if self.failure:
            raise self.failure
        self._in_turn, self._lively = True, self.loop.time()
        self.take()
        limit = asyncio.timeout(self._write)
        try:
            async with limit:
                self._look_on(limit, len(data) + 1)
                await self.send(data, text=True)
        except TimeoutError:
            raise IdleTimeoutError(f"{self._origin} stopped listening.") from None
        except ConnectionClosed:
            raise self.failure or DisconnectError(f"The connection to {self._origin} broke.") from None
        finally:
            if self._sending:
                self._sending.cancel()
                self._sending = None
            self._heard = self._lively = self.loop.time()

    def _look_on(self, limit: asyncio.Timeout, unsent: int) -> None:
        """Put off ``limit`` while something of what is sent is taken, as far as that can be seen."""
        left = self.transport.get_write_buffer_size()
        if left < unsent:
            limit.reschedule(self.loop.time() + self._write)
        self._sending = self.loop.call_later(self._write / 4, self._look_on, limit, left)

    async def read(self) -> list[bytes]:
        """The messages that are there, one at least. Raises TransportError."""
        while not self._payloads:
            if self.failure:
                raise self.failure
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def take(self) -> list[bytes]:
        """The messages that are there."""
        payloads, self._payloads, self._unread = self._payloads, [], 0
        if self._held_up:
            self._held_up = False
            self._heard = self._lively = self.loop.time()
            self.transport.resume_reading()
        return payloads

    def end(self) -> None:
        """The turn is over; what may come now belongs to none."""
        self._in_turn = False

    def leave(self) -> None:
        """Say goodbye and close, without waiting for an answer."""
        if self.state is State.OPEN:
            self.protocol.send_close(1000)
            self.send_data()
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    # --- what comes ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the network, split anywhere."""
        self._heard = self.loop.time()
        if not self._upgraded:
            data = self._upgrade(data)
        if self.state is not State.OPEN:
            if data:
                super().data_received(data)
            return
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= self._wanted:
            data = b"".join(self._pending) if len(self._pending) > 1 else data
            rest = data[self._split(data) :]
            self._pending, self._pending_size = [rest], len(rest)
        if self._pending_size:
            self._lively = self._heard
        self._wake()

    def _upgrade(self, data: bytes) -> bytes:
        """Give the library the head of the answer to the upgrade; what follows it are frames, or a body."""
        data = b"".join((*self._pending, data))
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._pending = [data]
            return b""
        self._pending, self._upgraded = [], True
        super().data_received(head + end)
        if self.state is State.OPEN:
            self._watch()
        return rest

    def _split(self, data: bytes) -> int:
        """Take out the whole frames; gives where the first one begins that is not whole."""
        position, end, only_pongs, keep = 0, len(data), True, self._payloads.append
        self._wanted = 2
        while end - position >= 2:
            first, size, start = data[position], data[position + 1], position + 2
            if 125 < size < 128:
                start += 2 if size == 126 else 8
                if start > end:
                    self._wanted = start - position
                    break
                size = int.from_bytes(data[position + 2 : start], "big")
            elif size > 127:  # servers mask nothing
                first = size = 0
            stop = start + size
            if stop > end and size <= MAXIMUM_EVENT_SIZE:
                self._wanted = stop - position
                break
            if first != _PONG:
                only_pongs = False
            if first == _WHOLE_TEXT and size <= MAXIMUM_EVENT_SIZE and not self._fragments:
                keep(data[start:stop])
            else:
                super().data_received(data[position:stop])
                if self.state is not State.OPEN:
                    self._fail(DisconnectError(f"{self._origin} broke the protocol."))
                    self.transport.close()
                    return end
            position = stop
        if not only_pongs:
            self._lively = self._heard
        self._unread += position
        if self._unread > MOST_UNREAD and not self._held_up:
            self._held_up = True
            self.transport.pause_reading()
        return position

    def process_event(self, event: Event) -> None:
        """What the library made of what it was given."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.BINARY:
            self._fail(DisconnectError(f"{self._origin} sent a binary message."))
            self.abort()
        elif event.opcode in (Opcode.TEXT, Opcode.CONT):
            self._fragments.append(bytes(event.data))
            if sum(map(len, self._fragments)) > MAXIMUM_EVENT_SIZE:
                self._fail(DisconnectError(f"{self._origin} sent a message that is too large."))
                self.abort()
            if event.fin:
                self._payloads.append(b"".join(self._fragments))
                self._fragments.clear()
        elif event.opcode is Opcode.CLOSE:
            closed = self.protocol.close_rcvd
            reason = f" ({closed.code}{': ' if closed.reason else ''}{closed.reason})" if closed else ""
            self._fail(DisconnectError(f"{self._origin} closed the connection{reason}."))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()
        self._fail(DisconnectError(f"The connection to {self._origin} broke."))

    def _fail(self, error: TransportError) -> None:
        if self.failure is None:
            self.failure = error
        self._wake()

    def _wake(self) -> None:
        if (self._payloads or self.failure) and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # --- signs of life ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Called now and then: give up, ask whether somebody is there, or come back when it may be time to.

        That our pings are answered shows that the connection lives, not that the backend is at work.
        """
        if self.state is not State.OPEN:
            return
        now = self.loop.time()
        asked = self._pinged > self._heard
        busy = self._held_up or self._sending is not None  # a ping would wait behind what is being sent
        times = [now + self._ping if busy else max(self._heard, self._pinged) + self._ping]
        if self._in_turn and not busy:
            times.append(self._lively + self._idle)
            if times[1] <= now:
                self._give_up(IdleTimeoutError(f"{self._origin} stopped answering."))
                return
        if times[0] <= now:
            if asked:
                self._give_up(DisconnectError(f"{self._origin} does not answer any more."))
                return
            self._pinged = now
            times[0] = now + self._ping
            self.protocol.send_ping(b"")
            self.send_data()
        self._timer = self.loop.call_at(min(times), self._watch)

    def _give_up(self, error: TransportError) -> None:
        self._fail(error)
        self.abort()


class Connect(connect):
    """Opens a connection. Redirects are not followed: a token does not go where it was not sent."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Not followed."""
        return exc
