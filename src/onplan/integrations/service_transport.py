"""A transport for httpx and httpx2 whose requests the service answers; none leaves for a network as it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import unquote

from onplan.async_client import AsyncClient
from onplan.dialects.openai_errors import NEVER_AGAIN, refusal, told_of
from onplan.dialects.served import Pieces, ServedReply, ServedRequest
from onplan.errors import OnplanError
from onplan.integrations.background_loop import BACKGROUND, begin_on
from onplan.service import Service

# A name that no network has (RFC 6761 §6.4): what does not go through this transport reaches nothing.
HOST = "onplan.invalid"

# In the extensions of a response: what its request fails with, where the status is no answer of anybody.
UNANSWERED = "onplan.unanswered"


class Failures(Protocol):
    """What a request, or the rest of a stream, fails with where no answer is the reason."""

    def unanswered(self, error: OnplanError, request: Any) -> Exception | None:
        """The failure that ``error`` is; None if it is an answer, which is told as one."""

    def timed_out(self, request: Any, seconds: float) -> Exception:
        """Nothing came for as long as the request allows."""

    def closed(self, request: Any) -> Exception:
        """The stream was closed before its end, and is read nevertheless."""


class _Answers:
    """What both transports do: requests become those of a service, and its replies responses."""

    def __init__(self, http: ModuleType, failures: Failures, client: AsyncClient, service: Service) -> None:
        self._http, self._failures, self._client, self._service = http, failures, client, service

    async def respond(self, given: Any, body: bytes, stream: Callable[[_Reading], Any]) -> Any:
        """The response; onplan has tried again where that made sense, so the SDK need not.

        Args:
            given: the request.
            body: its body.
            stream: makes the stream of a response from what reads it.
        """
        patience = _patience(given)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(patience):
                reply = await self._reply(given, body)
        except TimeoutError:
            failure = self._failures.timed_out(given, patience or 0)
            reply = refusal(504, "timeout", str(failure))  # onplan has not tried that again
        if reply.error is not None:
            failure = self._failures.unanswered(reply.error, given)
        extensions = {UNANSWERED: failure} if failure is not None else {}
        if isinstance(reply.body, bytes):
            return self._http.Response(
                reply.status, headers=reply.headers, content=reply.body, extensions=extensions
            )
        reading = _Reading(reply.body, patience, given, self._failures)
        return self._http.Response(reply.status, headers=reply.headers, stream=stream(reading))

    async def _reply(self, given: Any, body: bytes) -> ServedReply:
        if given.url.host != HOST:
            message = f"This client asks your plan, and not {given.url.host}: leave out base_url."
            return refusal(400, "unsupported_base_url", message, headers=NEVER_AGAIN)
        reply = await self._service.answer(self._request(given, body))
        if reply.status >= 400:
            reply.headers.update(NEVER_AGAIN)
        if reply.error is not None and told_of(reply.error).code == "not_signed_in":
            reply.status = 401  # the SDK's AuthenticationError; what a server tells Codex CLI is 403
        return reply

    def _request(self, given: Any, body: bytes) -> ServedRequest:
        """The request, without what is the SDK's own: its placeholder for a key, above all."""
        headers = {name.lower(): value for name, value in given.headers.items()}
        for name in [*_LEFT_OUT, *(name for name in headers if name.startswith("x-stainless-"))]:
            headers.pop(name, None)
        path, query = unquote(given.url.path), given.url.query.decode("ascii", "replace")
        return ServedRequest(given.method, path, headers, body, query)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


_LEFT_OUT = ("authorization", "api-key", "x-api-key", "cookie", "openai-organization", "openai-project")


def _patience(given: Any) -> float | None:
    """How many seconds may pass without anything of the answer; None is no limit."""
    seconds: float | None = given.extensions.get("timeout", {}).get("read")
    return seconds


class _Reading:
    """Reads the pieces of a reply, on the event loop that answers.

    Attributes:
        is_over: whether nothing is left to be given up, or it is being given up.
        process: the one that asked; a fork of it has neither the loop nor the connection.
    """

    def __init__(self, pieces: Pieces, patience: float | None, request: Any, failures: Failures) -> None:
        self._pieces, self._patience = pieces, patience
        self._request, self._failures = request, failures
        self._limit: asyncio.Timeout | None = None  # of the piece that is waited for
        self._is_cut = False  # whether the rest can no longer be read
        self.is_over, self.process = False, os.getpid()

    async def next(self) -> bytes | None:
        """The next piece; None at the end. Raises what ``Failures`` makes of a stream that ends before."""
        if self._is_cut:
            raise self._failures.closed(self._request)
        try:
            async with asyncio.timeout(self._patience) as self._limit:
                piece = await anext(self._pieces, None)
        except TimeoutError:
            if self._is_cut:
                raise self._failures.closed(self._request) from None
            self._is_cut = True
            raise self._failures.timed_out(self._request, self._patience or 0) from None
        finally:
            self._limit = None
        if piece is None:
            self.is_over = True
        elif (error := self._pieces.error) is not None:
            self._is_cut = True
            if failure := self._failures.unanswered(error, self._request):
                raise failure
        return piece

    async def give_up(self) -> None:
        """End what is asked of the backend. Whoever waits for a piece is told that the stream is closed."""
        self.is_over = self._is_cut = True
        if self._limit is None:
            await self._pieces.aclose()
        elif not self._limit.expired():
            self._limit.reschedule(0)  # the pieces close themselves


class _Body:
    """The body of a response, read from a loop on another thread."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._next()) is not None:
            yield piece

    def _next(self) -> bytes | None:
        if self._reading.process != os.getpid():
            raise RuntimeError("a stream is read by the process that began it, and not by a fork of it")
        return BACKGROUND.run(self._reading.next())

    def close(self) -> None:
        """Give the rest up, and do not wait for that. In a forked process nothing happens.

        The garbage collector closes a stream that was dropped, on a thread that may have a lock for which the
        loop waits.
        """
        if not self._reading.is_over and self._reading.process == os.getpid():
            self._reading.is_over = True
            BACKGROUND.begin(self._reading.give_up)

    def __del__(self) -> None:
        """Give up a stream that was dropped without being read: its connection would stay open."""
        self.close()


class _AsyncBody:
    """The body of a response, read in the loop that asked."""

    def __init__(self, reading: _Reading) -> None:
        self._reading, self._loop = reading, asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._reading.next()) is not None:
            yield piece

    async def aclose(self) -> None:
        """Give the rest up; what is asked of the backend ends."""
        if self._loop is asyncio.get_running_loop():
            await self._reading.give_up()
        else:
            begin_on(self._loop, self._reading.give_up)

    def __del__(self) -> None:
        """Give up a stream that was dropped without being read: its connection would stay open."""
        if not self._reading.is_over and self._reading.process == os.getpid():
            begin_on(self._loop, self._reading.give_up)


def transports(http: ModuleType, failures: Failures) -> tuple[type[Any], type[Any]]:
    """The synchronous and the asynchronous transport for ``http``, which is httpx or httpx2."""

    class SyncStream(_Body, http.SyncByteStream):  # type: ignore[name-defined]
        pass

    class AsyncStream(_AsyncBody, http.AsyncByteStream):  # type: ignore[name-defined]
        pass

    class Transport(http.BaseTransport):  # type: ignore[name-defined]
        def __init__(self, client: AsyncClient, service: Service) -> None:
            self._answers = _Answers(http, failures, client, service)

        def handle_request(self, request: Any) -> Any:
            return BACKGROUND.run(self._answers.respond(request, request.read(), SyncStream))

        def close(self) -> None:
            with suppress(RuntimeError):  # the interpreter is ending
                BACKGROUND.finish(self._answers.close)

        def __del__(self) -> None:
            BACKGROUND.begin(self._answers.close)  # as the SDK's own clients do

    class AsyncTransport(http.AsyncBaseTransport):  # type: ignore[name-defined]
        def __init__(self, client: AsyncClient, service: Service) -> None:
            self._answers = _Answers(http, failures, client, service)

        async def handle_async_request(self, request: Any) -> Any:
            return await self._answers.respond(request, await request.aread(), AsyncStream)

        async def aclose(self) -> None:
            await self._answers.close()

    return Transport, AsyncTransport
