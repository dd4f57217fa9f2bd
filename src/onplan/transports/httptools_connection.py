"""One HTTP/1.1 connection under asyncio: one exchange at a time, its time limits, and whether it can go on.

What the bytes mean is decided by ``answer_parser.py``, which is pure.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import cast

from onplan.errors import TransportError
from onplan.flow import Request
from onplan.secret import SecretBytes
from onplan.transports.answer_parser import AnswerParser, BadAnswerError
from onplan.transports.base import PIECE_SIZE, Timeouts, pieces
from onplan.transports.connection_errors import broken, stopped_answering, stopped_listening
from onplan.transports.readiness import is_readable
from onplan.turn.steps import Head

# Bytes that wait for the program; beyond these nothing more is read from the network.
MOST_UNREAD = 256 * 1024


class Connection(asyncio.BufferedProtocol):
    """A connection to one server.

    Args:
        origin: of the server.
        buffer: for what comes, until it is parsed, which is at once, so all connections of a loop share
            it. asyncio would make a new one of 256 KiB for each read: a third of the cost of an event.

    Attributes:
        closed: done when the socket is closed.
        has_heard: whether bytes have come since the last request.
        deadline: of what is being waited for, on the loop's clock; None for none.
        idle_since: when its last exchange ended, on the loop's clock.
    """

    def __init__(self, origin: str, buffer: memoryview) -> None:
        self.origin, self._buffer = origin, buffer
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.has_heard = False
        self.deadline: float | None = None
        self.idle_since = 0.0
        self._process = os.getpid()
        self._transport: asyncio.Transport | None = None
        self._answer: AnswerParser | None = None  # None between two exchanges
        self._failure: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None  # of the task that waits for the server
        self._is_sent, self._is_writable, self._is_held_up = False, True, False
        self._unread = 0  # bytes that have come since some were taken
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    # --- an exchange --------------------------------------------------------------------------------

    async def ask(self, head: SecretBytes, request: Request, limits: Timeouts) -> Head:
        """Send a request and wait for the head of its answer. What comes early ends the sending.

        Args:
            head: its first bytes.
            request: its method and its body are used here.
            limits: ``write`` is for each piece of a body, ``idle`` for the head of the answer after that.

        Raises:
            TransportError: there is no answer.
        """
        self._answer = answer = AnswerParser(request.method)
        self.has_heard = self._is_sent = False
        self._unread = 0
        body = request.body or b""
        if len(body) <= PIECE_SIZE:
            self._socket.write(head + body)
            self._is_sent = True
        else:
            self._socket.write(head)
            self._is_sent = await self._send(body, answer, limits.write)
        while answer.head is None:
            if self._failure:
                raise self._failure
            await self.news(limits.idle)
        self.deadline = None
        return answer.head

    async def _send(self, body: bytes, answer: AnswerParser, seconds: float) -> bool:
        """Send a large body. False if it is not sent to its end, because the answer came or there is none."""
        for piece in pieces(body):
            self._socket.write(piece)
            while not (self._is_writable or answer.head or self._failure):
                await self.news(seconds)
            self.deadline = None
            if answer.head or self._failure:
                return False
        return True

    def news(self, seconds: float) -> asyncio.Future[None]:
        """Done when something has come, or can be sent, or has failed.

        ``seconds``: until this fails, unless a ``deadline`` is set already.
        """
        if self.deadline is None:
            self.deadline = self.loop.time() + seconds
            if self._alarm is None or self._alarm_at > self.deadline:
                self._set_alarm(self.deadline)
        self._waiter = waiter = self.loop.create_future()
        return waiter

    def take(self) -> bytes | None:
        """Bytes of the body that have come; None for none yet, ``b""`` at the end. Raises TransportError."""
        answer = self._answer
        if answer is None:
            raise RuntimeError("the exchange is over")
        if answer.parts:
            self._unread = 0
            if self._is_held_up:
                self._is_held_up = False
                self._socket.resume_reading()
            return answer.take()
        if answer.is_complete:
            return b""
        if self._failure:
            raise self._failure
        return None

    @property
    def is_at_end(self) -> bool:
        """Whether the answer has come and was taken, to its end."""
        answer = self._answer
        return answer is not None and answer.is_complete and not answer.parts

    def end(self) -> bool:
        """End the exchange. Gives whether there can be another one; if not, the connection is closed."""
        answer, self._answer = self._answer, None
        self.deadline = None
        goes_on = (
            answer is not None
            and answer.is_complete
            and answer.keeps_open
            and self._is_sent
            and not self._is_held_up
            and not self._socket.is_closing()
            and not self._socket.get_write_buffer_size()
        )
        self.idle_since = self.loop.time()
        if not goes_on:
            self.abort()
        return goes_on

    # --- between two exchanges ----------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked, as far as known.

        The socket is asked, too: the event loop may not have had the time to look.
        """
        if self._transport is None or self._transport.is_closing():
            return False
        return not is_readable(self._transport.get_extra_info("socket").fileno())

    def abort(self) -> None:
        """Close at once. In a child process nothing happens: the connection is the parent's."""
        if self._transport and os.getpid() == self._process:
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
        answer = self._answer
        if answer is None:
            self.abort()
            return
        self.has_heard = True
        try:
            answer.feed(self._buffer[:nbytes])
        except BadAnswerError as error:
            self._give_up(broken(self.origin, error))
            return
        self._unread += nbytes
        # Without a part of the body there is nothing to take, after which reading would go on.
        is_much = self._unread > MOST_UNREAD and bool(answer.parts)
        if is_much and not self._is_held_up and not answer.is_complete:
            self._is_held_up = True
            self._socket.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The server has closed the connection."""
        tls = self._socket.get_extra_info("ssl_object")
        self._end(is_clean=tls is None or _is_closed(tls))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if self._alarm:
            self._alarm.cancel()
        if exc is None:
            self._end(is_clean=False)
        self._fail(broken(self.origin, exc or EOFError("it was closed")))
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The system accepts no more to send, for now."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """The system accepts more to send."""
        self._is_writable = True
        self._wake()

    # --- inside -------------------------------------------------------------------------------------

    @property
    def _socket(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("there is no connection")
        return self._transport

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, *, is_clean: bool) -> None:
        try:
            if self._answer:
                self._answer.close(is_clean=is_clean)
        except BadAnswerError as error:
            self._fail(broken(self.origin, error))
        self._wake()

    def _fail(self, error: TransportError) -> None:
        self._failure = self._failure or error
        self._wake()

    def _give_up(self, error: TransportError) -> None:
        self._fail(error)
        self._socket.abort()

    def _set_alarm(self, at: float) -> None:
        """Look at the deadline then. A read that ends sooner leaves the alarm as it is: there are many."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self.loop.call_at(at, self._ring), at

    def _ring(self) -> None:
        self._alarm = None
        if self.deadline is None:
            return
        if self.loop.time() < self.deadline:
            self._set_alarm(self.deadline)
        else:
            self._give_up((stopped_answering if self._is_sent else stopped_listening)(self.origin))


def _is_closed(tls: ssl.SSLObject) -> bool:
    """Whether the other side has closed TLS, too. Without that, anyone may have ended the connection."""
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False
