"""What asynchronous HTTP does alike through every library: whole responses, and reading open ones."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from functools import partial
from typing import Any, Self

from onplan.errors import TransportError
from onplan.flow import Request, Response
from onplan.transports.base import RELEASE_SECONDS, check_size
from onplan.transports.compression import Compression, open_compressed_async
from onplan.transports.connection_errors import took_too_long
from onplan.transports.event_reader import EventReader
from onplan.turn.steps import Head


class AsyncHTTP(ABC):
    """Sends requests under the running event loop. What a library has to do for it is ``_send``."""

    def __init__(self) -> None:
        self._compression = Compression()

    async def fetch(self, request: Request) -> Response:
        """A whole response, within ``request.timeout`` seconds in all. Raises TransportError."""
        try:
            async with asyncio.timeout(request.timeout):
                async with await self.open(request, timeout=request.timeout) as answer:
                    return Response(answer.head.status, answer.head.headers, await answer.read_body())
        except TimeoutError:
            raise took_too_long(request.origin) from None

    async def open(self, request: Request, timeout: float | None = None) -> OpenAnswer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError.

        Args:
            request: its body is compressed if the server takes it so.
            timeout: seconds for each read and each write, instead of the transport's own.
        """
        if self._compression.leaves(request):
            return await self._send(timeout, request)
        return await open_compressed_async(self._compression, request, partial(self._send, timeout))

    @abstractmethod
    async def _send(self, timeout: float | None, request: Request) -> OpenAnswer:  # noqa: ASYNC109 - per read
        """Send ``request`` as it is and read the head of its answer. Raises TransportError."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""


class OpenAnswer(ABC):
    """An open response. What a library has to do for it is ``_read`` and ``close``.

    Attributes:
        head: status and headers.
    """

    def __init__(self, head: Head, origin: str, idle: float) -> None:
        self.head = head
        self._origin, self._idle = origin, idle
        self._events = EventReader(idle, origin)
        self._body: bytes | None = None

    @abstractmethod
    async def _read(self) -> bytes:
        """Some decoded bytes of the body, or none at the end. Raises TransportError."""

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._events.is_over:
            return None
        try:
            data = await self._read()
        except TransportError as error:
            return self._events.salvage(error)
        return self._events.feed(data) if data else self._events.close()

    async def peek_body(self, timeout: float) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, which can be read once more."""
        self._body = await self.read_body(timeout)
        return self._body

    async def read_body(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - of the whole
        maximum_size: int | None = None,
    ) -> bytes:
        """The whole body, within ``timeout`` seconds, or the time for one read of a stream."""
        if self._body is not None:
            return self._body
        body = bytearray()
        limit = asyncio.timeout(self._idle if timeout is None else timeout)
        try:
            async with limit:
                while data := await self._read():
                    body += data
                    check_size(body, self._origin, maximum_size)
        except TimeoutError:
            if not limit.expired():
                raise
            raise took_too_long(self._origin) from None
        return bytes(body)

    async def release(self) -> None:
        """Briefly read on to the end of a complete answer, so that its connection can be reused."""
        with contextlib.suppress(TransportError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                while await self._read():
                    pass

    @abstractmethod
    async def close(self) -> None:
        """Close the response; its connection too, if some of the response is unread."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self.close()
