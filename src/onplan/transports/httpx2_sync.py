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
from onplan.transports.compression import Compression, open_smaller
from onplan.transports.deadline import Deadline
from onplan.transports.event_reader import EventReader
from onplan.transports.httpx2_pools import DEADLINE, client_for
from onplan.transports.httpx2_shared import ERRORS, Progress, decompressor_of, failure_of, timeout_of
from onplan.transports.per_loop_client import PerLoopClient
from onplan.transports.read_timer import ReadTimer
from onplan.transports.route import Route
from onplan.turn.steps import Head


def _content(body: bytes | None) -> bytes | Iterator[bytes] | None:
    """The write limit is for each piece: a slow network is none that has stopped."""
    return body if body is None or len(body) <= PIECE_SIZE else pieces(body)


def _decoded(response: httpx2.Response) -> Iterator[bytes]:
    decompressor = decompressor_of(response)
    if decompressor is None:
        return response.iter_bytes()
    return (piece for data in response.iter_raw() for piece in decompressor.feed(data))


class HTTPTransport:
    """Sends requests on the calling thread. May be used from several."""

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
        # A program that forgets to close it, or a script that just ends, leaves no open connection.
        weakref.finalize(self, _close, self._clients)

    def prepare(self) -> None:
        """Make the client, with its TLS context, now rather than with the first request."""
        self._clients.get()

    def fetch(self, request: Request, *, before_sending: Callable[[], object] | None = None) -> Response:
        """A whole response, within ``request.timeout`` seconds in all, on a connection of its own.

        ``before_sending`` is called when it is connected; what it raises keeps the request from being sent.
        Raises TransportError; a ConnectError if the time was over before anything was sent.
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
        """Send ``request`` and read the head of its answer, within ``left`` seconds for all of the answer.

        Raises TransportError.
        """
        send = partial(self._open, Deadline(left), timeout, None, trace, left=left, alone=trace is not None)
        return open_smaller(self._compression, request, send)

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

    ``left``: seconds until the connection is to be cut, where the client is the user's own: its streams know
    no deadline.
    """

    def __init__(
        self, response: httpx2.Response, origin: str, deadline: Deadline, idle: float, left: float | None
    ) -> None:
        self.head = Head(response.status_code, lower_case(response.headers))
        self._response, self._origin, self._deadline = response, origin, deadline
        self._watch = None if left is None else self._watched(left)
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
        watch = self._watched(seconds) if self._is_foreign else None
        try:
            return self._read()
        finally:
            self._deadline.begin_step(None)
            if watch:
                watch.end()

    def peek_body(self, timeout: float) -> bytes:
        """The whole body, which can be read once more."""
        self._body = self.read_body(timeout)
        return self._body

    def read_body(self, timeout: float | None = None) -> bytes:
        """The whole body, within ``timeout`` seconds, or the time for one read of a stream."""
        if self._body is not None:
            return self._body
        seconds = self._idle if timeout is None else timeout
        body, end = bytearray(), time.monotonic() + seconds
        self._deadline.begin_step(seconds)
        while data := self._read():
            body += data
            check_body(body, end, self._origin)
        return bytes(body)

    def release(self) -> None:
        """The answer is complete: let its last bytes come, briefly, so its connection can be reused."""
        self._deadline.begin_step(RELEASE_SECONDS)
        watch = self._watched(RELEASE_SECONDS) if self._is_foreign else None
        with contextlib.suppress(*ERRORS):
            for _ in self._reads:
                pass
        if watch:
            watch.end()

    @property
    def _is_foreign(self) -> bool:
        return DEADLINE not in self._response.extensions

    def _watched(self, seconds: float) -> ReadTimer | None:
        stream = self._response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream else None
        return socket and ReadTimer(socket, seconds)

    def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        if self._watch:
            self._watch.end()
        with contextlib.suppress(*ERRORS):
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
