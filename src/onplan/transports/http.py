"""HTTP through httpx2, synchronous and asynchronous: whole responses for dialogues, events for turns.

Failures come out as ours, with the origin in their sentence and nothing else of the request. Redirects are
never followed: a token does not go where it was not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Self, TypeVar

import httpcore2  # noqa: F401 - httpx2 would import it inside the event loop, at the first request
import httpx2

from onplan.backends import USER_AGENT
from onplan.errors import (
    ConfigurationError,
    ConnectError,
    DisconnectError,
    IdleTimeoutError,
    MissingExtraError,
    TransportError,
)
from onplan.responses.sse import EventDecoder
from onplan.steps import Head
from onplan.transports import RELEASE_SECONDS, Timeouts, check_body, log_exchange, lower_case
from onplan.transports.owner import Owner, running_loop
from onplan.wire import Request, Response

_Client = TypeVar("_Client", httpx2.Client, httpx2.AsyncClient)


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
            return ConnectError(f"{origin} could not be reached: {reason}.")
        case httpx2.LocalProtocolError():  # its text may hold the header that it complains about
            return TransportError(f"The request to {origin} could not be written.")
        case httpx2.TimeoutException():
            return IdleTimeoutError(f"{origin} stopped answering.")
        case _:
            return DisconnectError(f"The connection to {origin} broke: {reason}.")


# A proxy is for the world outside: what is meant for this machine never leaves it.
_LOOPBACK: dict[str, Any] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}

_NOT_CONNECTED = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
_ERRORS = (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError)


def _making(kind: type[_Client]) -> Callable[[], _Client]:
    def make() -> _Client:
        try:
            return kind(
                mounts=_LOOPBACK,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
                headers={"user-agent": USER_AGENT},
                follow_redirects=False,
            )
        except ImportError:  # httpx2 found a SOCKS proxy in the environment
            raise MissingExtraError("socks", "A SOCKS proxy") from None
        except (OSError, ValueError, httpx2.InvalidURL):
            raise ConfigurationError(
                "The proxy or the certificate authorities that the environment names cannot be used.",
                hint="Run `onplan doctor`.",
            ) from None

    return make


def _timeout(timeouts: Timeouts, whole: float | None) -> httpx2.Timeout:
    if whole is not None:
        return httpx2.Timeout(whole)
    return httpx2.Timeout(timeouts.idle, connect=timeouts.connect)


class HTTPTransport:
    """Sends requests on the calling thread. May be used from several."""

    def __init__(self, timeouts: Timeouts | None = None, client: httpx2.Client | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._owner = Owner(_making(httpx2.Client), client, os.getpid)
        # A program that forgets to close it, or a script that just ends, leaves no open connection.
        weakref.finalize(self, _close, self._owner)

    def fetch(self, request: Request, *, before_sending: Callable[[], object] | None = None) -> Response:
        """A whole response, within ``request.timeout`` seconds, on a connection of its own.

        ``before_sending`` is called when it is connected; what it raises keeps the request from being sent.
        Raises TransportError.
        """
        with _Deadline(request, before_sending) as deadline:
            answer = self.open(request, timeout=request.timeout, trace=deadline.trace)
            with answer:
                return Response(answer.head.status, answer.head.headers, answer.read_body(request.timeout))

    def open(
        self, request: Request, timeout: float | None = None, trace: Callable[..., None] | None = None
    ) -> Answer:
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        client = self._owner.get()
        message = client.build_request(
            request.method,
            request.url,
            headers={**request.headers, **({"connection": "close"} if trace else {})},
            content=request.body,
            timeout=_timeout(self._timeouts, timeout),  # also where the client is the user's own
            extensions={"trace": trace} if trace else None,
        )
        try:
            response = client.send(message, stream=True, follow_redirects=False)
        except _ERRORS as error:
            raise _failure(error, request.origin) from None
        log_exchange(request, response.status_code)
        return Answer(response, request.origin)

    def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        _close(self._owner)


def _close(owner: Owner[httpx2.Client]) -> None:
    client = owner.take()
    if client is not None:
        client.close()


class Answer:
    """An open response."""

    def __init__(self, response: httpx2.Response, origin: str) -> None:
        self.head = Head(response.status_code, lower_case(response.headers))
        self._response, self._origin = response, origin
        self._reads: Iterator[bytes] = response.iter_bytes()
        self._decoder: EventDecoder | None = EventDecoder()

    def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._decoder is None:
            return None
        try:
            data = next(self._reads, None)
        except _ERRORS as error:
            raise _failure(error, self._origin) from None
        if data is not None:
            return self._decoder.feed(data)
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    def read_body(self, timeout: float | None = None) -> bytes:
        """The whole body, within ``timeout`` seconds if given."""
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
        stream = self._response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream else None
        if socket is None:
            return
        watch = _Watch(socket)
        with contextlib.suppress(*_ERRORS):
            for _ in self._reads:
                pass
        watch.end()

    def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        with contextlib.suppress(*_ERRORS):
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Deadline:
    """Ends an exchange that takes too long as a whole; the library knows limits for its steps only."""

    def __init__(self, request: Request, before_sending: Callable[[], object] | None) -> None:
        self._request, self._before_sending = request, before_sending
        self._stream: Any = None
        self._passed = False
        self._timer = threading.Timer(request.timeout, self._pass)
        self._timer.daemon = True

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The library's report of its steps."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info.get("return_value")
        elif event.endswith("send_request_headers.started") and self._before_sending:
            self._before_sending()

    def _pass(self) -> None:
        self._passed = True
        stream = self._stream
        with contextlib.suppress(OSError, AttributeError):
            stream.get_extra_info("socket").shutdown(SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._passed and isinstance(error, TransportError):
            raise IdleTimeoutError(f"{self._request.origin} took too long to answer.") from None


class _Watch:
    """Shuts a socket down after a moment, unless it is ended before: then never, for it is in use again."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._lock = socket, threading.Lock()
        self._timer = threading.Timer(RELEASE_SECONDS, self._bark)
        self._timer.daemon = True
        self._timer.start()

    def _bark(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(SHUT_RDWR)

    def end(self) -> None:
        """The socket is not to be touched from now on."""
        self._timer.cancel()
        with self._lock:
            self._socket = None


# --- asynchronous -----------------------------------------------------------------------------------


class AsyncHTTPTransport:
    """Sends requests under the running event loop."""

    def __init__(self, timeouts: Timeouts | None = None, client: httpx2.AsyncClient | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._owner = Owner(_making(httpx2.AsyncClient), client, running_loop)

    async def fetch(self, request: Request) -> Response:
        """A whole response. Raises TransportError."""
        async with await self.open(request, timeout=request.timeout) as answer:
            return Response(answer.head.status, answer.head.headers, await answer.read_body(request.timeout))

    async def open(self, request: Request, timeout: float | None = None) -> _AsyncAnswer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        client = self._owner.get()
        message = client.build_request(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=request.body,
            timeout=_timeout(self._timeouts, timeout),  # also where the client is the user's own
        )
        try:
            response = await client.send(message, stream=True, follow_redirects=False)
        except _ERRORS as error:
            raise _failure(error, request.origin) from None
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

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._decoder is None:
            return None
        try:
            data = await anext(self._reads, None)
        except _ERRORS as error:
            raise _failure(error, self._origin) from None
        if data is not None:
            return self._decoder.feed(data)
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    async def read_body(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, within ``timeout`` seconds if given."""
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
