"""One request over a connection and its reply: what an ASGI application receives and sends.

Does what uvicorn's own class does, for a fraction of the CPU time: a head is checked and written as a whole,
and what follows it within the same turn of the event loop goes out together with it. A short reply is one
system call, and one packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from onplan.header_lines import are_names, has_lines
from onplan.server.asgi import Message, Receive, Scope, Send

_MOST_KEPT = 64 * 1024  # bytes: the transport is to know when the client reads too slowly


class BadReplyError(Exception):
    """What the application sends is no reply. Its text says why."""


class Cycle(RequestResponseCycle):
    """One request and its reply.

    Args:
        connection: where the request came; its head is there.
        keep_alive: whether the connection stays open after the reply.
    """

    def __init__(self, connection: HttpToolsProtocol, *, keep_alive: bool) -> None:
        super().__init__(
            connection.scope,
            connection.transport,
            connection.flow,
            connection.logger,
            connection.access_logger,
            access_log=False,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=connection.expect_100_continue,
            keep_alive=keep_alive,
            on_response=connection.on_response_complete,
        )
        self._loop = connection.loop
        self._is_head = connection.scope["method"] == "HEAD"
        self._kept: list[bytes] | None = None  # what is written with the head
        self._size = 0
        self._ends_with_connection = False  # whether nothing else ends the body

    async def run_asgi(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:  # type: ignore[override]
        """Have ``app`` answer; the connection is cut where it does not, or not to the end."""
        try:
            await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]
        except BaseException:
            self.logger.exception("a request failed")
        if not (self.response_complete or self.disconnected):
            if self.response_started:
                self._write_kept()
                # Of an answer that only the end of the connection ends, that must not look like its end.
                (self.transport.abort if self._ends_with_connection else self.transport.close)()
            else:
                await self.send_500_response()
        self.on_response = _nothing  # else connection and cycle hold each other

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Send the head, or a part of the body. Raises BadReplyError."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        is_start = message["type"] == "http.response.start"
        if is_start == self.response_started or self.response_complete:
            raise BadReplyError(f"{message['type']} came at the wrong time")
        if is_start:
            self._begin(message["status"], message["headers"])
        else:
            self._continue(message.get("body", b""), is_last=not message.get("more_body", False))

    def _begin(self, status: int, given: Sequence[tuple[bytes, bytes]]) -> None:
        fields = dict(given)
        lines = [STATUS_LINE[status], *[b"%b: %b\r\n" % pair for pair in (*self.default_headers, *given)]]
        if b"close" in fields.get(b"connection", b""):
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if b"content-length" in fields:
            self.expected_content_length = 0 if self._is_head else int(fields[b"content-length"])
        elif not self._is_head and status not in (204, 304):
            # HTTP/1.0 has no chunks (RFC 9112 §6.1).
            self._ends_with_connection = self.scope["http_version"] != "1.1"
            self.chunked_encoding = not self._ends_with_connection
            if self.chunked_encoding:
                lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if not (are_names(fields) and has_lines(head, len(lines))):
            raise BadReplyError("a header is no line")
        self.response_started, self.waiting_for_100_continue = True, False
        self._kept, self._size = [head], len(head)
        self._loop.call_soon(self._write_kept)

    def _continue(self, body: bytes, *, is_last: bool) -> None:
        pieces: tuple[bytes, ...] = ()
        if self.chunked_encoding:
            if body:
                pieces = (b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n" if is_last else b"\r\n")
            elif is_last:
                pieces = (b"0\r\n\r\n",)
        elif self._ends_with_connection:
            pieces = (body,)
        elif not self._is_head:
            self.expected_content_length -= len(body)
            pieces = (body,)
            if self.expected_content_length < 0 or (is_last and self.expected_content_length):
                raise BadReplyError("the body has another length than its head says")
        if pieces:
            self._write(pieces)
        if is_last:
            self._write_kept()
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _write(self, pieces: tuple[bytes, ...]) -> None:
        kept = self._kept
        if kept is None:
            self.transport.write(b"".join(pieces))
            return
        kept += pieces
        self._size += sum(map(len, pieces))
        if self._size > _MOST_KEPT:
            self._write_kept()

    def _write_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept and not self.transport.is_closing():
            self.transport.write(b"".join(kept))


def _nothing() -> None:
    pass
