"""The ASGI application: carries requests to the service and its replies back. Needs no framework."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

from onplan.dialects.openai_errors import NEVER_AGAIN, refusal
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.server.keys import hash_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answers(Protocol):
    """What answers requests: a ``Service``."""

    async def answer(self, request: ServedRequest) -> ServedReply:
        """The reply."""


class App:
    """The ASGI application.

    Args:
        service: answers the requests.
        key: what clients must send.
    """

    def __init__(self, service: Answers, key: str) -> None:
        self._service = service
        self._hash = hash_of(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(hash_of(given.strip()), self._hash):
            message = "The key is not that of this server. `onplan serve --show-key` prints it."
            await _send(send, refusal(401, "invalid_api_key", message, headers=NEVER_AGAIN), scope["method"])
            return
        body = await _body(receive)
        if body is None:
            return
        query = scope["query_string"].decode("latin-1")
        request = ServedRequest(scope["method"], scope["path"], headers, body, query, "server")
        answering = asyncio.current_task()
        assert answering is not None  # noqa: S101 - this is a coroutine of a task
        leaving = asyncio.create_task(_cancel_on_departure(receive, answering))
        try:
            reply = await self._service.answer(request)
            await _send(send, reply, request.method)
        except asyncio.CancelledError:
            if not leaving.done():  # cancelled by another than the client's departure
                raise
        finally:
            leaving.cancel()


async def _cancel_on_departure(receive: Receive, answering: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answering.cancel()


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when the client left before it was complete."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _send(send: Send, reply: ServedReply, method: str) -> None:
    body = reply.body
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    if isinstance(body, bytes):
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
        return
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async for piece in body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        with suppress(Exception):
            await body.aclose()
