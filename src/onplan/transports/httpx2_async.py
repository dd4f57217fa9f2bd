"""HTTP through httpx2 under an event loop, where aiohttp is not installed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx2

from onplan.errors import IdleTimeoutError, TransportError
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
from onplan.transports.compression import Compression, open_smaller_async
from onplan.transports.deadline import Deadline
from onplan.transports.event_reader import EventReader
from onplan.transports.httpx2_pools import DEADLINE, async_client_for
from onplan.transports.httpx2_shared import ERRORS, Progress, decompressor_of, failure_of, timeout_of
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.route import Route
from onplan.turn.steps import Head


def _async_content(body: bytes | None) -> bytes | AsyncIterator[bytes] | None:
    async def each(body: bytes) -> AsyncIterator[bytes]:
        for piece in pieces(body):
            yield piece

    return body if body is None or len(body) <= PIECE_SIZE else each(body)


def _decoded_async(response: httpx2.Response) -> AsyncIterator[bytes]:
    decompressor = decompressor_of(response)
    if decompressor is None:
        return response.aiter_bytes()
    return (piece async for data in response.aiter_raw() for piece in decompressor.feed(data))


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
        self._clients = PerLoopClient(partial(async_client_for, route or Route()), client, running_loop)

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
            client = self._clients.get()
            async with waiting:
                response = await client.send(
                    client.build_request(
                        request.method,
                        request.url,
                        headers={**request.headers, **length_of(request)},
                        content=_async_content(request.body),
                        timeout=timeout_of(self._timeouts, each),  # also where the client is the user's own
                        extensions={"trace": progress.report_async, DEADLINE: progress.deadline},
                    ),
                    stream=True,
                    follow_redirects=False,
                )
        except (*ERRORS, TimeoutError) as error:
            forget_frames(error)
            raise failure_of(error, request.origin) from None
        except BaseException as error:
            forget_frames(error)
            raise
        log_exchange(request, response.status_code)
        return _AsyncAnswer(response, request.origin, progress.deadline, idle)

    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        client = self._clients.take()
        if client is not None:
            await client.aclose()


class _AsyncProgress(Progress):
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
        self._events = EventReader(idle, origin)
        self._idle = idle
        self._body: bytes | None = None

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._events.is_over:
            return None
        self._deadline.begin_step(self._idle)
        try:
            data = await self._read()
        except TransportError as error:
            return self._events.salvage(error)
        return self._events.close() if data is None else self._events.feed(data)

    async def _read(self) -> bytes | None:
        try:
            return await anext(self._reads, None)
        except ERRORS as error:
            forget_frames(error)
            raise failure_of(error, self._origin) from None
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
        with contextlib.suppress(*ERRORS, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                async for _ in self._reads:
                    pass

    async def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        with contextlib.suppress(*ERRORS):
            await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
