"""HTTP through aiohttp, asynchronous: what http.py does, for a fraction of the CPU.

Failures come out as ours, with the origin in their sentence and nothing else of the request. Redirects are
never followed. Certificates are trusted as httpx2 trusts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

import aiohttp
import httpx2

from onplan.backends import USER_AGENT
from onplan.errors import ConnectError, DisconnectError, IdleTimeoutError, TransportError
from onplan.responses.sse import EventDecoder
from onplan.steps import Head
from onplan.transports import RELEASE_SECONDS, Timeouts, check_body, log_exchange, lower_case
from onplan.transports.owner import Owner, running_loop
from onplan.wire import Request, Response

_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
_KEEP_ALIVE = 5.0  # as httpx2 keeps idle connections


def _failure(error: Exception, origin: str) -> TransportError:
    """What an exception of aiohttp means. Its request, which holds the token, stays behind."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | aiohttp.InvalidURL():
            return ConnectError(f"{origin} could not be reached: {reason}.")
        case TimeoutError():
            return IdleTimeoutError(f"{origin} stopped answering.")
        case _:
            return DisconnectError(f"The connection to {origin} broke: {reason}.")


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEP_ALIVE, ssl=httpx2.create_ssl_context()
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": USER_AGENT},
    )


class AiohttpTransport:
    """Sends requests under the running event loop."""

    def __init__(self, timeouts: Timeouts | None = None, client: aiohttp.ClientSession | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._owner = Owner(_session, client, running_loop)

    async def fetch(self, request: Request) -> Response:
        """A whole response. Raises TransportError."""
        async with await self.open(request, timeout=request.timeout) as answer:
            return Response(answer.head.status, answer.head.headers, await answer.read_body(request.timeout))

    async def open(self, request: Request, timeout: float | None = None) -> _Answer:  # noqa: ASYNC109 - per read
        """Send ``request`` and read the head of its answer. Raises TransportError."""
        idle, connect = (timeout, timeout) if timeout else (self._timeouts.idle, self._timeouts.connect)
        try:
            response = await self._owner.get().request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=idle),
                allow_redirects=False,
            )
        except _ERRORS as error:
            raise _failure(error, request.origin) from None
        except ValueError:  # its text may hold the header that it complains about
            raise TransportError(f"The request to {request.origin} could not be written.") from None
        log_exchange(request, response.status)
        return _Answer(response, request.origin)

    async def close(self) -> None:
        """Close the connections, unless the session is the user's own."""
        session = self._owner.take()
        if session is not None:
            await session.close()


class _Answer:
    """An open response."""

    def __init__(self, response: aiohttp.ClientResponse, origin: str) -> None:
        self.head = Head(response.status, lower_case(response.headers))
        self._response, self._content, self._origin = response, response.content, origin
        self._decoder: EventDecoder | None = EventDecoder()

    async def read_events(self) -> list[bytes] | None:
        """Read once: the payloads that are now complete, or None at the end."""
        if self._decoder is None:
            return None
        try:
            data = await self._content.readany()
        except _ERRORS as error:
            raise _failure(error, self._origin) from None
        if data:
            return self._decoder.feed(data)
        decoder, self._decoder = self._decoder, None
        return decoder.close()

    async def read_body(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the whole
        """The whole body, within ``timeout`` seconds if given."""
        body, deadline = bytearray(), None if timeout is None else time.monotonic() + timeout
        try:
            while data := await self._content.readany():
                body += data
                check_body(body, deadline, self._origin)
        except _ERRORS as error:
            raise _failure(error, self._origin) from None
        return bytes(body)

    async def release(self) -> None:
        """The answer is complete: let its last bytes come, briefly, so its connection can be reused."""
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(RELEASE_SECONDS):
                while await self._content.readany():
                    pass

    async def close(self) -> None:
        """Close the response; its connection too, if something of it is unread."""
        self._response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
