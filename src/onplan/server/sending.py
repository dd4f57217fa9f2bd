"""Sends replies: whole ones, and streams with a sign of life while the model thinks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from onplan.dialects.served import Pieces, ServedReply
from onplan.server.asgi import AT_A_STRETCH, Send

# Seconds without anything sent after which the heartbeat of a stream is sent.
SILENCE = 15.0


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The headers as ASGI has them: all at once, which takes half as long as one after another."""
    texts = "\n".join([*headers, *headers.values()]).encode("latin-1").split(b"\n")
    if len(texts) == 2 * len(headers):
        return list(zip(texts, texts[len(headers) :], strict=False))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def send_reply(
    send: Send, reply: ServedReply, method: str, more: Mapping[str, str] | None = None
) -> None:
    """Send ``reply``, with ``more`` headers. The body of a stream is closed, however it ends."""
    body = reply.body
    headers = encoded({**reply.headers, **more} if more else reply.headers)
    if not isinstance(body, bytes):
        await _send_stream(send, reply, headers, body)
        return
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def _send_stream(
    send: Send, reply: ServedReply, headers: list[tuple[bytes, bytes]], body: Pieces
) -> None:
    beating = Heartbeat(send, reply.heartbeat) if reply.heartbeat else None
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if beating:
            beating.begin()
        number = 0
        async for piece in body:
            number += 1
            if number % AT_A_STRETCH == 0:
                await asyncio.sleep(0)
            if beating:
                beating.is_due = False
            reply.sent += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if beating:
            beating.end()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if beating:
            beating.end()
        await body.aclose()


class Heartbeat:
    """Sends something when a whole interval has passed without a piece.

    Attributes:
        is_due: whether no piece was sent since the interval began.
    """

    def __init__(self, send: Send, sent: bytes) -> None:
        self._send, self._sent = send, sent
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self.is_due = False

    def begin(self) -> None:
        """Begin to watch."""
        self.is_due = True
        self._timer = self._loop.call_later(SILENCE, self.beat)

    def end(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def beat(self) -> None:
        """An interval is over."""
        # A client that reads too slowly still has the last one before it.
        if self.is_due and (self._sending is None or self._sending.done()):
            self._sending = self._loop.create_task(self._send_one())
        self.begin()

    async def _send_one(self) -> None:
        await self._send({"type": "http.response.body", "body": self._sent, "more_body": True})
