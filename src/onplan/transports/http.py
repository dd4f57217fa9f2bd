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
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self

import httpx2

from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError, OnplanError, TransportError
from onplan.responses.sse import EventDecoder
from onplan.steps import Head
from onplan.transports import (
    PIECE_SIZE,
    RELEASE_SECONDS,
    Timeouts,
    check_body,
    log_exchange,
    lower_case,
    pieces,
    salvaged,
)
from onplan.transports.compression import Compression, open_smaller, open_smaller_async
from onplan.transports.owner import Owner, running_loop
from onplan.transports.pool import async_client_for, client_for
from onplan.transports.route import Route
from onplan.transports.tunnel import certificate_failure
from onplan.transports.watch import Deadline, Watch
from onplan.wire import Request, Response


def _failure(error: Exception, origin: str) -> TransportError:
    """What an exception of httpx2 means. Its request, which holds the token, stays behind."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    match error:
        case (
            httpx2.ConnectError()
            | httpx2.ConnectTimeout()
            | httpx2.ProxyError()
            | httpx2.UnsupportedProtocol()
        ):
            return certificate_failure(error, origin) or ConnectError(
                f"{origin} could not be reached: {reason}."
            )
        case httpx2.LocalProtocolError():  # its text may hold the header that it complains about
            return TransportError(f"The request to {origin} could not be written.")
        case httpx2.WriteTimeout():
            return IdleTimeoutError(f"{origin} stopped listening.")
        case httpx2.TimeoutException():
            return IdleTimeoutError(f"{origin} stopped answering.")
        case _:
            return DisconnectError(f"The connection to {origin} broke: {reason}.")


_ERRORS = (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError)


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
        self._owner = Owner(partial(client_for, route or Route()), client, os.getpid)
        # A program that forgets to close it, or a script that just ends, leaves no open connection.
        weakref.finalize(self, _close, self._owner)

    def fetch(self, request: Request, *, before_sending: Callable[[], object] | None = None) -> Response:
        """A whole response, within ``request.timeout`` seconds, on a connection of its own.

        ``before_sending`` is called when it is connected; what it raises keeps the request from being sent.
        Raises TransportError.
        """
        with Deadline(request, before_sending) as deadline:
            answer = self.open(request, timeout=request.timeout, trace=deadline.trace)
            with answer:
                return Response(answer.head.status, answer.head.headers, answer.read_body(request.timeout))

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
        return open_smaller(self._compression, request, partial(self._open, timeout, trace, left))

    def _open(
        self,
        timeout: float | None,
        trace: Callable[..., None] | None,
        left: float | None,
        request: Request,
    ) -> Answer:
        client = self._owner.get()
        message = client.build_request(
            request.method,
            request.url,
            headers={**request.headers, **_length(request), **({"connection": "close"} if trace else {})},
            content=_content(request.body),
            timeout=_timeout(self._timeouts, timeout, left),  # also where the client is the user's own
            extensions={"trace": trace} if trace else None,
        )
        try:
            response = client.send(message, stream=True, follow_redirects=False)
        except _ERRORS as error:
            raise _failure(error, request.origin) from None
        except OnplanError as error:  # of ours, on the way through a library that holds the token
            raise error.with_traceback(None) from None
        log_exchange(request, response.status_code)
        return Answer(response, request.origin, left)

    def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        _close(self._owner)


def _close(owner: Owner[httpx2.Client]) -> None:
    client = owner.take()
    if client is not None:
        client.close()


class Answer:
    """An open response."""

    def __init__(self, response: httpx2.Response, origin: str, left: float | None) -> None:
        self.head = Head(response.status_code, lower_case(response.headers))
        self._response, self._origin = response, origin
        self._watch = None if left is None else self._watched(left)
        self._reads: Iterator[bytes] = response.iter_bytes()
        self._decoder: EventDecoder | None = EventDecoder()
        self._body: bytes | None = None

    def read_events(self, within: float | None = None) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end.

        ``within``: seconds after which the connection is shut down if nothing has come.
        """
        if self._decoder is None:
            return None
        watch = None if within is None else self._watched(within)
        try:
            data = next(self._reads, None)
        except _ERRORS as error:
            return salvaged(self._decoder, _failure(error, self._origin))
        finally:
            if watch:
                watch.end()
        if data is not None:
            return self._decoder.feed(data)
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    def peek_body(self, timeout: float) -> bytes:
        """The whole body, which can be read once more."""
        self._body = self.read_body(timeout)
        return self._body

    def read_body(self, timeout: float | None = None) -> bytes:
        """The whole body, within ``timeout`` seconds if given."""
        if self._body is not None:
            return self._body
        body, deadline = bytearray(), None if timeout is None else time.monotonic() + timeout
        try:
            for data in self._reads:
                body += data
                check_body(body, deadline, self._origin)
        except _ERRORS as error:
            raise _failure(error, self._origin) from None
        return bytes(body)

    def release(self) -> None:
        """The answer is complete: let its last bytes come, briefly, so its connection can be reused."""
        watch = self._watched(RELEASE_SECONDS)
        if watch is None:
            return
        with contextlib.suppress(*_ERRORS):
            for _ in self._reads:
                pass
        watch.end()

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
        """A whole response. Raises TransportError."""
        async with await self.open(request, timeout=request.timeout) as answer:
            return Response(answer.head.status, answer.head.headers, await answer.read_body(request.timeout))

    async def open(self, request: Request, timeout: float | None = None) -> _AsyncAnswer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        return await open_smaller_async(self._compression, request, partial(self._open, timeout))

    async def _open(self, each: float | None, request: Request) -> _AsyncAnswer:
        client = self._owner.get()
        message = client.build_request(
            request.method,
            request.url,
            headers={**request.headers, **_length(request)},
            content=_async_content(request.body),
            timeout=_timeout(self._timeouts, each),  # also where the client is the user's own
        )
        try:
            response = await client.send(message, stream=True, follow_redirects=False)
        except _ERRORS as error:
            raise _failure(error, request.origin) from None
        except OnplanError as error:  # of ours, on the way through a library that holds the token
            raise error.with_traceback(None) from None
        log_exchange(request, response.status_code)
        return _AsyncAnswer(response, request.origin)

    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        client = self._owner.take()
        if client is not None:
            await client.aclose()


class _AsyncAnswer:
    """An open response."""

    def __init__(self, response: httpx2.Response, origin: str) -> None:
        self.head = Head(response.status_code, lower_case(response.headers))
        self._response, self._origin = response, origin
        self._reads: AsyncIterator[bytes] = response.aiter_bytes()
        self._decoder: EventDecoder | None = EventDecoder()
        self._body: bytes | None = None

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._decoder is None:
            return None
        try:
            data = await anext(self._reads, None)
        except _ERRORS as error:
            return salvaged(self._decoder, _failure(error, self._origin))
        if data is not None:
            return self._decoder.feed(data)
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    async def peek_body(self, timeout: float) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, which can be read once more."""
        self._body = await self.read_body(timeout)
        return self._body

    async def read_body(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, within ``timeout`` seconds if given."""
        if self._body is not None:
            return self._body
        body, deadline = bytearray(), None if timeout is None else time.monotonic() + timeout
        try:
            async for data in self._reads:
                body += data
                check_body(body, deadline, self._origin)
        except _ERRORS as error:
            raise _failure(error, self._origin) from None
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
