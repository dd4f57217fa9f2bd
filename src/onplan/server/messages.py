"""The messages of a client's WebSocket: carried to the service, each in its turn, and the answers back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeAlias

import msgspec
from uvicorn.protocols.utils import ClientDisconnected

from onplan.dialects.served import ServedReply
from onplan.server.asgi import AT_A_STRETCH, Receive, Send
from onplan.server.websocket import GOING_AWAY
from onplan.service.responses_socket import ResponsesSocket

_TEXT_ONLY, _AGAINST_POLICY = 1003, 1008  # RFC 6455 §7.4.1
# Messages of one connection that may be without their whole answer. One is answered at a time, so that more
# of them are of a client that reads none; each takes a place in the queue of all clients.
_MOST_AT_ONCE = 64

Turn: TypeAlias = Callable[[Callable[[], Awaitable[None]]], Awaitable[ServedReply | None]]
"""Calls what it is given in the turn of the client; returns the refusal if it may not have one."""


async def serve_messages(
    socket: ResponsesSocket, receive: Receive, send: Send, in_turn: Turn, draining: asyncio.Event
) -> None:
    """Serve one connection that is permitted, until the client leaves, or the server is to end.

    An answer ends when its client leaves. When the server is to end, it is finished first.
    """
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    answers: set[asyncio.Task[None]] = set()
    ending = asyncio.create_task(draining.wait())
    try:
        while (message := await _next(receive, ending)) is not None:
            if message["type"] != "websocket.receive":
                return
            if (text := message.get("text")) is None:
                await send({"type": "websocket.close", "code": _TEXT_ONLY})
                return
            if len(answers) >= _MOST_AT_ONCE:
                for answering in answers:
                    answering.cancel()  # first, for a client that does not read holds up what is sent
                await send({"type": "websocket.close", "code": _AGAINST_POLICY})
                return
            answering = asyncio.create_task(_answer(socket, text.encode(), send, in_turn))
            answers.add(answering)
            answering.add_done_callback(answers.discard)
        await asyncio.gather(*answers, return_exceptions=True)
        await send({"type": "websocket.close", "code": GOING_AWAY})
    finally:
        ending.cancel()
        for answering in answers:
            answering.cancel()
        await asyncio.gather(*answers, return_exceptions=True)


async def _next(receive: Receive, ending: asyncio.Task[Any]) -> Any:
    """What comes next; None when the server is to end."""
    coming = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({coming, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not coming.done():
            coming.cancel()
    return coming.result() if coming.done() and not coming.cancelled() else None


async def _answer(socket: ResponsesSocket, message: bytes, send: Send, in_turn: Turn) -> None:
    async def answer() -> None:
        async with aclosing(socket.answer(message)) as frames:
            number = 0
            async for frame in frames:
                number += 1
                if number % AT_A_STRETCH == 0:
                    await asyncio.sleep(0)
                await send({"type": "websocket.send", "text": frame.decode()})

    refusal = await in_turn(answer)
    if refusal is not None and isinstance(refusal.body, bytes):
        error = msgspec.json.decode(refusal.body)["error"]
        told = {"type": "error", "status": refusal.status, "error": error, "headers": refusal.headers}
        with suppress(ClientDisconnected):
            await send({"type": "websocket.send", "text": msgspec.json.encode(told).decode()})
