"""HTTP through httpx2, synchronous and asynchronous: whole responses for dialogues, events for turns.

Failures come out as ours, with the origin in their sentence and nothing else of the request. Redirects are
never followed: a token does not go where it was not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpcore2
import httpx2

from onplan.errors import (
    ConnectError,
    DisconnectError,
    IdleTimeoutError,
    TransportError,
)
from onplan.responses.sse import EventDecoder
from onplan.steps import Head
from onplan.transports.base import (
    PIECE_SIZE,
    RELEASE_SECONDS,
    Timeouts,
    check_body,
    forget_frames,
    log_exchange,
    lower_case,
    pieces,
    salvaged,
)
from onplan.transports.compression import Compression, open_smaller, open_smaller_async
from onplan.transports.deadline import Deadline
from onplan.transports.decompression import DamagedBodyError, Decompressor, Unknown, decompressor_for
from onplan.transports.owner import Owner, running_loop
from onplan.transports.pool import DEADLINE, async_client_for, client_for
from onplan.transports.proxy_errors import certificate_failure
from onplan.transports.route import Route
from onplan.transports.silence import Silence
from onplan.transports.watch import Watch
from onplan.wire import Request, Response


def _failure(error: Exception, origin: str) -> TransportError:
    """What an exception of httpx2 or httpcore2 means. Its request, which holds the token, stays behind."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    match error:
        case (
            httpx2.ConnectError()
            | httpx2.ConnectTimeout()
            | httpx2.ProxyError()
            | httpx2.UnsupportedProtocol()
            | httpcore2.ConnectError()
            | httpcore2.ConnectTimeout()
        ):
            return certificate_failure(error, origin) or ConnectError(
                f"{origin} could not be reached: {reason}."
            )
        case (
            httpx2.LocalProtocolError() | httpcore2.LocalProtocolError()
        ):  # its text may hold the header that it complains about
            return TransportError(f"The request to {origin} could not be written.")
        case httpx2.WriteTimeout() | httpcore2.WriteTimeout():
            return IdleTimeoutError(f"{origin} stopped listening.")
        case httpx2.TimeoutException() | httpcore2.TimeoutException() | TimeoutError():
            return IdleTimeoutError(f"{origin} stopped answering.")
        case _:
            return DisconnectError(f"The connection to {origin} broke: {reason}.")


# Those of httpx2 come from clients of the user's own, those of httpcore2 from the pools of pool.py.
_ERRORS = (
    httpx2.TransportError,
    httpx2.StreamError,
    httpx2.DecodingError,
    DamagedBodyError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


def _timeout(timeouts: Timeouts, each: float | None, left: float | None = None) -> httpx2.Timeout:
    """The limits of the steps: ``each``, or the usual ones; and none is longer than what is ``left``."""
    usual = (timeouts.idle, timeouts.connect, timeouts.write) if each is None else (each, each, each)
    idle, connect, write = (step if left is None else min(step, left) for step in usual)
    return httpx2.Timeout(idle, connect=connect, write=write)


def _length(request: Request) -> dict[str, str]:
    """Bodies that go in pieces say how long they are."""
    return {"content-length": str(len(request.body))} if request.body else {}


def _content(body: bytes | None) -> bytes | Iterator[bytes] | None:
    """The write limit is for each piece: a slow network is none that has stopped."""
    return body if body is None or len(body) <= PIECE_SIZE else pieces(body)


def _async_content(body: bytes | None) -> bytes | AsyncIterator[bytes] | None:
    async def each(body: bytes) -> AsyncIterator[bytes]:
        for piece in pieces(body):
            yield piece

    return body if body is None or len(body) <= PIECE_SIZE else each(body)


def _decompressor(response: httpx2.Response) -> Decompressor | None:
    """What decodes this body; None if it is not compressed, was read already, or the library has to do it."""
    if response.is_stream_consumed:
        return None
    encoding = response.headers.get("content-encoding", "")
    decompressor = decompressor_for(encoding)
    if decompressor is None and response.status_code < 400:  # of a refusal it is the status that counts
        accepted = response.request.headers.get("accept-encoding", "").lower()
        known = {"", "identity", *(name.partition(";")[0].strip() for name in accepted.split(","))}
        if any(name.strip().lower() not in known for name in encoding.split(",")):
            return Unknown(encoding)
    return decompressor


def _decoded(response: httpx2.Response) -> Iterator[bytes]:
    decompressor = _decompressor(response)
    if decompressor is None:
        return response.iter_bytes()
    return (piece for data in response.iter_raw() for piece in decompressor.feed(data))


def _decoded_async(response: httpx2.Response) -> AsyncIterator[bytes]:
    decompressor = _decompressor(response)
    if decompressor is None:
        return response.aiter_bytes()
    return (piece async for data in response.aiter_raw() for piece in decompressor.feed(data))


class _Progress:
    """Follows an exchange by httpcore2's reports: the head of an answer has a deadline of its own."""

    def __init__(
        self,
        deadline: Deadline,
        idle: float,
        before_sending: Callable[[], object] | None = None,
        trace: Callable[..., None] | None = None,
    ) -> None:
        self._deadline, self._idle = deadline, idle
        self._before_sending, self._trace = before_sending, trace

    def report(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore2's ``trace`` extension. Nothing is sent when the deadline is over."""
        if self._trace:
            self._trace(event, info)
        step = event.partition(".")[2]
        if step == "send_request_headers.started":
            if self._before_sending:
                self._before_sending()
            try:
                self._deadline.left()
            except TimeoutError:
                raise httpcore2.ConnectTimeout("connecting took too long") from None
        elif step in ("send_request_body.complete", "send_request_body.failed"):
            self.waits_for_head(self._idle)
        elif step.startswith("receive_response_headers.") and not step.endswith("started"):
            self.waits_for_head(None)

    def waits_for_head(self, seconds: float | None) -> None:
        """The request is sent, or, with None, the head of the answer is there."""
        if seconds is None:
            self._deadline.begin_step(None)
        else:
            self._deadline.begin_head(seconds)


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
        self._owner = Owner(partial(client_for, route or Route()), client, os.getpid)
        # A program that forgets to close it, or a script that just ends, leaves no open connection.
        weakref.finalize(self, _close, self._owner)

    def prepare(self) -> None:
        """Make the client, with its TLS context, now rather than with the first request."""
        self._owner.get()

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
        progress = _Progress(deadline, idle, before_sending, trace)
        try:
            client = self._owner.get()
            response = client.send(
                client.build_request(
                    request.method,
                    request.url,
                    headers={
                        **request.headers,
                        **_length(request),
                        **({"connection": "close"} if alone else {}),
                    },
                    content=_content(request.body),
                    timeout=_timeout(self._timeouts, each, left),  # also where the client is the user's own
                    extensions={"trace": progress.report, DEADLINE: deadline},
                ),
                stream=True,
                follow_redirects=False,
            )
        except _ERRORS as error:
            forget_frames(error)
            raise _failure(error, request.origin) from None
        except BaseException as error:
            forget_frames(error)
            raise
        log_exchange(request, response.status_code)
        return Answer(response, request.origin, deadline, idle, left if self._given else None)

    def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        _close(self._owner)


def _close(owner: Owner[httpx2.Client]) -> None:
    client = owner.take()
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
        self._decoder: EventDecoder | None = EventDecoder()
        self._idle, self._silence = idle, Silence(idle, origin)
        self._body: bytes | None = None

    def read_events(self, within: float | None = None) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end.

        ``within``: seconds after which the connection is given up if nothing has come.
        """
        if self._decoder is None:
            return None
        self._deadline.begin_step(self._idle)
        try:
            data = self._read() if within is None else self._read_within(within)
        except TransportError as error:
            return salvaged(self._decoder, error)
        if data is not None:
            payloads = self._decoder.feed(data)
            if payloads:
                self._silence.end()
            else:
                self._silence.check(data, time.monotonic())
            return payloads
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    def _read(self) -> bytes | None:
        try:
            return next(self._reads, None)
        except _ERRORS as error:
            forget_frames(error)
            raise _failure(error, self._origin) from None
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
        with contextlib.suppress(*_ERRORS):
            for _ in self._reads:
                pass
        if watch:
            watch.end()

    @property
    def _is_foreign(self) -> bool:
        return DEADLINE not in self._response.extensions

    def _watched(self, seconds: float) -> Watch | None:
        stream = self._response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream else None
        return socket and Watch(socket, seconds)

    def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        if self._watch:
            self._watch.end()
        with contextlib.suppress(*_ERRORS):
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# --- asynchronous -----------------------------------------------------------------------------------


class AsyncHTTPTransport:
    """Sends requests under the running event loop."""

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        client: httpx2.AsyncClient | None = None,
        route: Route | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._compression = Compression()
        self._owner = Owner(partial(async_client_for, route or Route()), client, running_loop)

    async def fetch(self, request: Request) -> Response:
        """A whole response, within ``request.timeout`` seconds in all. Raises TransportError."""
        try:
            async with asyncio.timeout(request.timeout):
                async with await self.open(request, timeout=request.timeout) as answer:
                    return Response(answer.head.status, answer.head.headers, await answer.read_body())
        except TimeoutError:
            raise IdleTimeoutError(f"{request.origin} took too long to answer.") from None

    async def open(self, request: Request, timeout: float | None = None) -> _AsyncAnswer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        return await open_smaller_async(self._compression, request, partial(self._open, timeout))

    async def _open(self, each: float | None, request: Request) -> _AsyncAnswer:
        idle = each or self._timeouts.idle
        waiting = asyncio.timeout(None)
        progress = _AsyncProgress(Deadline(), idle, waiting)
        try:
            client = self._owner.get()
            async with waiting:
                response = await client.send(
                    client.build_request(
                        request.method,
                        request.url,
                        headers={**request.headers, **_length(request)},
                        content=_async_content(request.body),
                        timeout=_timeout(self._timeouts, each),  # also where the client is the user's own
                        extensions={"trace": progress.report_async, DEADLINE: progress.deadline},
                    ),
                    stream=True,
                    follow_redirects=False,
                )
        except (*_ERRORS, TimeoutError) as error:
            forget_frames(error)
            raise _failure(error, request.origin) from None
        except BaseException as error:
            forget_frames(error)
            raise
        log_exchange(request, response.status_code)
        return _AsyncAnswer(response, request.origin, progress.deadline, idle)

    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        client = self._owner.take()
        if client is not None:
            await client.aclose()


class _AsyncProgress(_Progress):
    """The same under an event loop, which ends the wait for a head whatever the client is."""

    def __init__(self, deadline: Deadline, idle: float, waiting: asyncio.Timeout) -> None:
        super().__init__(deadline, idle)
        self.deadline = deadline
        self._waiting = waiting
        self._is_over = False

    async def report_async(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore2's ``trace`` extension."""
        self.report(event, info)

    def waits_for_head(self, seconds: float | None) -> None:
        """The request is sent, or, with None, the head of the answer is there."""
        super().waits_for_head(seconds)
        if not (self._is_over or self._waiting.expired()):
            self._is_over = seconds is None
            self._waiting.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


class _AsyncAnswer:
    """An open response."""

    def __init__(self, response: httpx2.Response, origin: str, deadline: Deadline, idle: float) -> None:
        self.head = Head(response.status_code, lower_case(response.headers))
        self._response, self._origin, self._deadline = response, origin, deadline
        self._reads: AsyncIterator[bytes] = _decoded_async(response)
        self._decoder: EventDecoder | None = EventDecoder()
        self._idle, self._silence = idle, Silence(idle, origin)
        self._body: bytes | None = None

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._decoder is None:
            return None
        self._deadline.begin_step(self._idle)
        try:
            data = await self._read()
        except TransportError as error:
            return salvaged(self._decoder, error)
        if data is not None:
            payloads = self._decoder.feed(data)
            if payloads:
                self._silence.end()
            else:
                self._silence.check(data, time.monotonic())
            return payloads
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    async def _read(self) -> bytes | None:
        try:
            return await anext(self._reads, None)
        except _ERRORS as error:
            forget_frames(error)
            raise _failure(error, self._origin) from None
        except BaseException as error:
            forget_frames(error)
            raise

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
                while data := await self._read():
                    body += data
                    check_body(body, None, self._origin)
        except TimeoutError:
            if not limit.expired():
                raise
            raise IdleTimeoutError(f"{self._origin} took too long to answer.") from None
        return bytes(body)

    async def release(self) -> None:
        """The answer is complete: let its last bytes come, briefly, so its connection can be reused."""
        with contextlib.suppress(*_ERRORS, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                async for _ in self._reads:
                    pass

    async def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        with contextlib.suppress(*_ERRORS):
            await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
