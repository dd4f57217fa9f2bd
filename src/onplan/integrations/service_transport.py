"""A transport for httpx and httpx2 whose requests the service answers; none leaves for a network as it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any, TypeAlias
from urllib.parse import unquote

import msgspec

from onplan.async_client import AsyncClient
from onplan.dialects.openai_errors import NEVER_AGAIN, refusal
from onplan.dialects.served import Pieces, ServedReply, ServedRequest
from onplan.integrations.background_loop import BACKGROUND, begin_on
from onplan.service import Service

# A name that no network has (RFC 6761 §6.4): what does not go through this transport reaches nothing.
HOST = "onplan.invalid"

TimedOut: TypeAlias = Callable[[Any], Exception]
"""Makes an error, of the request that took too long."""


class _Answers:
    """What both transports do: requests become those of a service, and its replies responses."""

    def __init__(self, http: ModuleType, client: AsyncClient, service: Service) -> None:
        self._http, self._client, self._service = http, client, service

    def _request(self, given: Any, body: bytes) -> ServedRequest:
        """The request, without what is the SDK's own: its placeholder for a key, above all."""
        headers = {name.lower(): value for name, value in given.headers.items()}
        for name in [*_LEFT_OUT, *(name for name in headers if name.startswith("x-stainless-"))]:
            headers.pop(name, None)
        path, query = unquote(given.url.path), given.url.query.decode("ascii", "replace")
        return ServedRequest(given.method, path, headers, body, query)

    async def reply(self, given: Any, body: bytes) -> ServedReply:
        """The reply; onplan has tried again where that made sense, so the SDK need not.

        Raises the HTTP library's ReadTimeout when it takes longer than the request allows.
        """
        if given.url.host != HOST:
            message = f"This client asks your plan, and not {given.url.host}: leave out base_url."
            return refusal(400, "unsupported_base_url", message, headers=NEVER_AGAIN)
        try:
            async with asyncio.timeout(_patience(given)):
                reply = await self._service.answer(self._request(given, body))
        except TimeoutError:
            raise self._http.ReadTimeout("no answer within the timeout", request=given) from None
        if reply.status >= 400:
            reply.headers.update(NEVER_AGAIN)
        if _is_refused_sign_in(reply):
            reply.status = 401  # the SDK's AuthenticationError; what a server tells Codex CLI is 403
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


_LEFT_OUT = ("authorization", "api-key", "x-api-key", "cookie", "openai-organization", "openai-project")


def _patience(given: Any) -> float | None:
    """How many seconds may pass without anything of the answer; None is no limit."""
    seconds: float | None = given.extensions.get("timeout", {}).get("read")
    return seconds


def _is_refused_sign_in(reply: ServedReply) -> bool:
    if reply.status != 403 or not isinstance(reply.body, bytes):
        return False
    return bool(msgspec.json.decode(reply.body)["error"]["code"] == "not_signed_in")


class _Body:
    """The pieces of a reply, read from a loop on another thread."""

    def __init__(self, pieces: Pieces, patience: float | None, timed_out: Callable[[], Exception]) -> None:
        self._pieces, self._patience, self._timed_out = pieces, patience, timed_out
        self._process, self._is_over = os.getpid(), False

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._next()) is not None:
            yield piece
        self._is_over = True

    def _next(self) -> bytes | None:
        if self._process != os.getpid():
            raise RuntimeError("a stream is read by the process that began it, and not by a fork of it")
        try:
            return BACKGROUND.run(_next(self._pieces, self._patience))
        except TimeoutError:
            raise self._timed_out() from None

    def close(self) -> None:
        """Give the rest up. In a forked process nothing happens: the stream is the parent's."""
        if not self._is_over and self._process == os.getpid():
            self._is_over = True
            with suppress(RuntimeError):  # the interpreter is ending
                BACKGROUND.finish(self._pieces.aclose)

    def __del__(self) -> None:
        """Give up a stream that was dropped without being read: its connection would stay open."""
        if not self._is_over and self._process == os.getpid():
            BACKGROUND.begin(self._pieces.aclose)


async def _next(pieces: Pieces, patience: float | None) -> bytes | None:
    if patience is None:
        return await anext(pieces, None)
    async with asyncio.timeout(patience):
        return await anext(pieces, None)


class _AsyncBody:
    """The pieces of a reply."""

    def __init__(self, pieces: Pieces, patience: float | None, timed_out: Callable[[], Exception]) -> None:
        self._pieces, self._patience, self._timed_out = pieces, patience, timed_out
        self._process, self._is_over = os.getpid(), False
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await _next(self._pieces, self._patience)) is not None:
                yield piece
        except TimeoutError:
            raise self._timed_out() from None
        self._is_over = True

    async def aclose(self) -> None:
        """Give the rest up; what is asked of the backend ends."""
        self._is_over = True
        with suppress(RuntimeError):  # the event loop of a stream that was not read to its end is gone
            await self._pieces.aclose()

    def __del__(self) -> None:
        """Give up a stream that was dropped without being read: its connection would stay open."""
        if not self._is_over and self._process == os.getpid():
            begin_on(self._loop, self._pieces.aclose)


def transports(http: ModuleType, timed_out: TimedOut) -> tuple[type[Any], type[Any]]:
    """The synchronous and the asynchronous transport for ``http``, which is httpx or httpx2.

    ``timed_out``: the error that a stream ends with when nothing came for as long as its request allows.
    """

    class SyncStream(_Body, http.SyncByteStream):  # type: ignore[name-defined]
        pass

    class AsyncStream(_AsyncBody, http.AsyncByteStream):  # type: ignore[name-defined]
        pass

    def response(request: Any, reply: ServedReply, stream: type[Any]) -> Any:
        headers: Mapping[str, str] = reply.headers
        if isinstance(reply.body, bytes):
            return http.Response(reply.status, headers=headers, content=reply.body)
        body = stream(reply.body, _patience(request), lambda: timed_out(request))
        return http.Response(reply.status, headers=headers, stream=body)

    class Transport(http.BaseTransport):  # type: ignore[name-defined]
        def __init__(self, client: AsyncClient, service: Service) -> None:
            self._answers = _Answers(http, client, service)

        def handle_request(self, request: Any) -> Any:
            reply = self._answers.reply(request, request.read())
            return response(request, BACKGROUND.run(reply), SyncStream)

        def close(self) -> None:
            with suppress(RuntimeError):  # the interpreter is ending
                BACKGROUND.finish(self._answers.close)

        def __del__(self) -> None:
            BACKGROUND.begin(self._answers.close)  # as the SDK's own clients do

    class AsyncTransport(http.AsyncBaseTransport):  # type: ignore[name-defined]
        def __init__(self, client: AsyncClient, service: Service) -> None:
            self._answers = _Answers(http, client, service)

        async def handle_async_request(self, request: Any) -> Any:
            reply = await self._answers.reply(request, await request.aread())
            return response(request, reply, AsyncStream)

        async def aclose(self) -> None:
            await self._answers.close()

    return Transport, AsyncTransport
