"""HTTP through httpx2 on the calling thread: whole responses for sign-in, event streams for turns.

Every failure is raised as a TransportError, which names the origin and nothing else of the request. Redirects
are never followed: a redirect could send the token to another host. ``httpx2_async.py`` does the same under
an event loop.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self

import httpx2

from onplan.errors import TransportError
from onplan.flow import Request, Response
from onplan.interruption import stop_if_interrupted
from onplan.transports.base import (
    PIECE_SIZE,
    RELEASE_SECONDS,
    Timeouts,
    check_size,
    length_of,
    log_exchange,
    lower_case,
    pieces,
)
from onplan.transports.compression import Compression, open_compressed
from onplan.transports.connection_errors import took_too_long
from onplan.transports.deadline import Deadline
from onplan.transports.event_reader import EventReader
from onplan.transports.httpx2_pools import DEADLINE, client_for
from onplan.transports.httpx2_shared import ERRORS, Progress, decompressor_of, failure_of, timeout_of
from onplan.transports.per_loop_client import PerLoopClient
from onplan.transports.read_timer import ReadTimer
from onplan.transports.route import Route
from onplan.transports.tracebacks import forget_frames
from onplan.turn.steps import Head


def _content(body: bytes | None) -> bytes | Iterator[bytes] | None:
    """A large body goes in pieces, so that each has its own write limit."""
    return body if body is None or len(body) <= PIECE_SIZE else pieces(body)


def _decoded(response: httpx2.Response) -> Iterator[bytes]:
    decompressor = decompressor_of(response)
    if decompressor is None:
        return response.iter_bytes()
    return (piece for data in response.iter_raw() for piece in decompressor.feed(data))


class HTTPTransport:
    """Sends requests through httpx2 on the calling thread. Several threads may use it.

    Args:
        timeouts: limits.
        client: the user's own client, instead of one that follows ``route``.
        route: proxies and certificates.
    """

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        client: httpx2.Client | None = None,
        route: Route | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._compression = Compression()
        self._given = client is not None
        self._clients = PerLoopClient(partial(client_for, route or Route()), client, os.getpid)
        # So that a program that forgets to close it, or a script that just ends, leaves no connection open.
        weakref.finalize(self, _close, self._clients)

    def prepare(self) -> None:
        """Make the httpx2 client, with its TLS context, now instead of with the first request."""
        self._clients.get()

    def fetch(self, request: Request, *, before_sending: Callable[[], object] | None = None) -> Response:
        """A whole response, within ``request.timeout`` seconds in all, on a connection of its own.

        Args:
            request: what to send.
            before_sending: called when there is a connection; if it raises, nothing is sent.

        Raises:
            TransportError: there is no whole response; a ConnectError if nothing was sent.
        """
        deadline = Deadline(request.timeout)
        with self._open(deadline, request.timeout, before_sending, None, request, alone=True) as answer:
            return Response(answer.head.status, answer.head.headers, answer.read_body())

    def open(
        self,
        request: Request,
        timeout: float | None = None,
        trace: Callable[..., None] | None = None,
        left: float | None = None,
    ) -> Answer:
        """Send ``request`` and read the head of its answer.

        Args:
            request: its body is compressed if the server takes it so.
            timeout: seconds for each read and each write, instead of the transport's own.
            trace: gets httpcore2's reports of the steps of the exchange.
            left: seconds for the whole answer, its body included.

        Raises:
            TransportError: there is no head of an answer.
        """
        send = partial(self._open, Deadline(left), timeout, None, trace, left=left, alone=trace is not None)
        return open_compressed(self._compression, request, send)

    def _open(
        self,
        deadline: Deadline,
        each: float | None,
        before_sending: Callable[[], object] | None,
        trace: Callable[..., None] | None,
        request: Request,
        *,
        left: float | None = None,
        alone: bool = False,
    ) -> Answer:
        idle = each or self._timeouts.idle
        progress = Progress(deadline, idle, before_sending, trace)
        try:
            client = self._clients.get()
            response = client.send(
                client.build_request(
                    request.method,
                    request.url,
                    headers={
                        **request.headers,
                        **length_of(request),
                        **({"connection": "close"} if alone else {}),
                    },
                    content=_content(request.body),
                    timeout=timeout_of(self._timeouts, each, left),  # also where the client is the user's own
                    extensions={"trace": progress.report, DEADLINE: deadline},
                ),
                stream=True,
                follow_redirects=False,
            )
        except ERRORS as error:
            forget_frames(error)
            raise failure_of(error, request.origin) from None
        except BaseException as error:
            forget_frames(error)
            raise
        log_exchange(request, response.status_code)
        return Answer(response, request.origin, deadline, idle, left if self._given else None)

    def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        _close(self._clients)


def _close(clients: PerLoopClient[httpx2.Client]) -> None:
    client = clients.take()
    if client is not None:
        client.close()


class Answer:
    """An open response.

    Args:
        response: of httpx2, whose body is unread.
        origin: of the server, for error messages.
        deadline: of the exchange; streams of onplan's own client keep to it.
        idle: seconds for each read.
        left: seconds after which the connection is cut; for a client of the user's own, whose streams know no
            deadline.

    Attributes:
        head: status and headers.
    """

    def __init__(
        self, response: httpx2.Response, origin: str, deadline: Deadline, idle: float, left: float | None
    ) -> None:
        self.head = Head(response.status_code, lower_case(response.headers))
        self._response, self._origin, self._deadline = response, origin, deadline
        self._timer = None if left is None else self._start_timer(left)
        self._reads: Iterator[bytes] = _decoded(response)
        self._events = EventReader(idle, origin)
        self._idle = idle
        self._body: bytes | None = None

    def read_events(self, within: float | None = None) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end.

        ``within``: seconds after which the connection is given up if nothing has come.
        """
        if self._events.is_over:
            return None
        stop_if_interrupted()  # the sockets of a program's own client are not known
        self._deadline.begin_step(self._idle)
        try:
            data = self._read() if within is None else self._read_within(within)
        except TransportError as error:
            return self._events.salvage(error)
        return self._events.close() if data is None else self._events.feed(data)

    def _read(self) -> bytes | None:
        try:
            return next(self._reads, None)
        except ERRORS as error:
            forget_frames(error)
            raise failure_of(error, self._origin) from None
        except BaseException as error:
            forget_frames(error)
            raise

    def _read_within(self, seconds: float) -> bytes | None:
        self._deadline.begin_step(seconds)
        timer = self._start_timer(seconds) if self._is_users_client else None
        try:
            return self._read()
        finally:
            self._deadline.begin_step(None)
            if timer:
                timer.cancel()

    def peek_body(self, timeout: float) -> bytes:
        """The whole body, which can be read once more."""
        self._body = self.read_body(timeout)
        return self._body

    def read_body(self, timeout: float | None = None, maximum_size: int | None = None) -> bytes:
        """The whole body, within ``timeout`` seconds, or the time for one read of a stream."""
        if self._body is not None:
            return self._body
        seconds = self._idle if timeout is None else timeout
        body, end = bytearray(), time.monotonic() + seconds
        self._deadline.begin_step(seconds)
        while data := self._read():
            body += data
            check_size(body, self._origin, maximum_size)
            if time.monotonic() > end:
                raise took_too_long(self._origin)
        return bytes(body)

    def release(self) -> None:
        """Briefly read on to the end of a complete answer, so that its connection can be reused."""
        self._deadline.begin_step(RELEASE_SECONDS)
        timer = self._start_timer(RELEASE_SECONDS) if self._is_users_client else None
        with contextlib.suppress(*ERRORS):
            for _ in self._reads:
                pass
        if timer:
            timer.cancel()

    @property
    def _is_users_client(self) -> bool:
        return DEADLINE not in self._response.extensions

    def _start_timer(self, seconds: float) -> ReadTimer | None:
        stream = self._response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream else None
        return socket and ReadTimer(socket, seconds)

    def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""
        if self._timer:
            self._timer.cancel()
        with contextlib.suppress(*ERRORS):
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
