"""HTTP through httpx2 under an event loop, where aiohttp is not installed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import httpx2

from onplan.flow import Request
from onplan.transports.async_base import AsyncHTTP, OpenAnswer
from onplan.transports.base import PIECE_SIZE, Timeouts, length_of, log_exchange, lower_case, pieces
from onplan.transports.deadline import Deadline
from onplan.transports.httpx2_pools import DEADLINE, async_client_for
from onplan.transports.httpx2_shared import ERRORS, Progress, decompressor_of, failure_of, timeout_of
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.route import Route
from onplan.transports.tracebacks import forget_frames
from onplan.turn.steps import Head


def _content(body: bytes | None) -> bytes | AsyncIterator[bytes] | None:
    """A large body goes in pieces, so that each has its own write limit."""

    async def each(body: bytes) -> AsyncIterator[bytes]:
        for piece in pieces(body):
            yield piece

    return body if body is None or len(body) <= PIECE_SIZE else each(body)


def _decoded(response: httpx2.Response) -> AsyncIterator[bytes]:
    decompressor = decompressor_of(response)
    if decompressor is None:
        return response.aiter_bytes()
    return (piece async for data in response.aiter_raw() for piece in decompressor.feed(data))


class AsyncHTTPTransport(AsyncHTTP):
    """Sends requests through httpx2.

    Args:
        timeouts: limits.
        client: the user's own client, instead of one that follows ``route``.
        route: proxies and certificates.
    """

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        client: httpx2.AsyncClient | None = None,
        route: Route | None = None,
    ) -> None:
        super().__init__()
        self._timeouts = timeouts or Timeouts()
        self._clients = PerLoopClient(
            partial(async_client_for, route or Route()), client, running_loop, httpx2.AsyncClient.aclose
        )

    async def _send(self, timeout: float | None, request: Request) -> OpenAnswer:  # noqa: ASYNC109 - per read
        idle = timeout or self._timeouts.idle
        limit = asyncio.timeout(None)
        progress = _AsyncProgress(Deadline(), idle, limit)
        try:
            client = self._clients.get()
            async with limit:
                response = await client.send(
                    client.build_request(
                        request.method,
                        request.url,
                        headers={**request.headers, **length_of(request)},
                        content=_content(request.body),
                        timeout=timeout_of(
                            self._timeouts, timeout
                        ),  # also where the client is the user's own
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
        return _Answer(response, request.origin, progress.deadline, idle)

    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        client = self._clients.take()
        if client is not None:
            await client.aclose()


class _AsyncProgress(Progress):
    """Limits the wait for the head of an answer by the event loop, so also in a client of the user's own."""

    def __init__(self, deadline: Deadline, idle: float, limit: asyncio.Timeout) -> None:
        super().__init__(deadline, idle)
        self.deadline = deadline
        self._limit = limit
        self._is_over = False

    async def report_async(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore2's ``trace`` extension."""
        self.report(event, info)

    def waits_for_head(self, seconds: float | None) -> None:
        """The request is sent, or, with None, the head of the answer is there."""
        super().waits_for_head(seconds)
        if not (self._is_over or self._limit.expired()):
            self._is_over = seconds is None
            self._limit.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


class _Answer(OpenAnswer):
    """An open response of httpx2."""

    def __init__(self, response: httpx2.Response, origin: str, deadline: Deadline, idle: float) -> None:
        super().__init__(Head(response.status_code, lower_case(response.headers)), origin, idle)
        self._response, self._deadline = response, deadline
        self._reads: AsyncIterator[bytes] = _decoded(response)

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        self._deadline.begin_step(self._idle)
        return await super().read_events()

    async def _read(self) -> bytes:
        try:
            return await anext(self._reads, b"")
        except ERRORS as error:
            forget_frames(error)
            raise failure_of(error, self._origin) from None
        except BaseException as error:
            forget_frames(error)
            raise

    async def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""
        with contextlib.suppress(*ERRORS):
            await self._response.aclose()
