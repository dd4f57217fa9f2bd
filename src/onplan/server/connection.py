"""One connection: uvicorn's HTTP protocol, with bounds on what a client may send and how slowly.

Overrides what asyncio and httptools call, and reads the attributes of uvicorn's protocol that they fill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from onplan.dialects.openai_errors import NEVER_AGAIN, refusal
from onplan.dialects.served import ServedReply
from onplan.server.asgi import CONNECTION
from onplan.server.bodies import overloaded
from onplan.server.cycle import Cycle
from onplan.server.guard import not_a_handshake
from onplan.server.websocket import WebSocketConnection, may_open


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connection may take.

    Attributes:
        head_bytes: of a request's line and headers together.
        head_count: how many headers.
        head_seconds: from a request's first byte, or the beginning of the connection, to its last header.
        body_seconds: from there to the last byte of its body.
        write_seconds: how long a client may read nothing while something waits to be sent to it.
        connections: how many there may be at once.
    """

    head_bytes: int = 64 * 1024
    head_count: int = 128
    head_seconds: float = 15.0
    body_seconds: float = 300.0
    write_seconds: float = 120.0
    connections: int = 8_192


class RefusedError(Exception):
    """A request's head goes beyond a bound, so the parser is to stop."""


class Connection(HttpToolsProtocol):
    """A connection.

    Attributes:
        on_departure: called when the client is gone; set by what answers its request.

    Args:
        config, state: uvicorn's.
        bounds: what it may take.
        loop: the event loop.
    """

    def __init__(
        self, config: Config, state: ServerState, bounds: Bounds, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, state, {}, loop)
        self._bounds = bounds
        self._fed = self._head_size = 0  # bytes received just now; and of a head, at most
        self._sent = self._content = 0  # bytes received after a head; and of the body in them
        self._refusal: ServedReply | None = None  # why the parser was stopped
        self._in_head = self._is_upgraded = False
        self._is_receiving = False  # a request that is not complete
        self.on_departure: Callable[[], object] | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    # --- what asyncio calls -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            self._refuse(overloaded("There are too many connections."))
        else:
            self._await(self._bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_reading_timer()
        self._stop_writing_timer()
        super().connection_lost(exc)
        if self.on_departure is not None:
            self.on_departure()

    def data_received(self, data: bytes) -> None:
        """Hand on what came, and begin to wait for what is missing."""
        if self.transport.is_closing():
            return
        self._fed = len(data)
        if self._in_head:
            self._head_size += self._fed
        else:
            self._sent += self._fed
        super().data_received(data)
        if self._is_upgraded or self.transport.is_closing():
            return
        if not self._is_receiving:
            return
        if self._head_size_now() > self._bounds.head_bytes:
            self._refuse(_head_too_large())
        elif self._reading is None:
            self._await(self._bounds.head_seconds if self._in_head else self._bounds.body_seconds)

    def send_400_response(self, msg: str) -> None:
        """What came is refused, or is no HTTP."""
        self._refuse(self._refusal or _not_http())

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a WebSocket's."""
        self._is_upgraded = True
        self._stop_reading_timer()
        super().handle_websocket_upgrade()
        protocol = cast("WebSocketConnection", self.transport.get_protocol())
        protocol.write_seconds = self._bounds.write_seconds
        if not protocol.handshake_initiated:  # it could not be read, and the library would wait for another
            self._refuse(not_a_handshake())

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        super().pause_writing()
        self._stop_writing_timer()
        self._writing = self.loop.call_later(self._bounds.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._stop_writing_timer()

    # --- what httptools calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.scope["extensions"] = cast("Any", {CONNECTION: self})
        self._is_receiving = self._in_head = True
        self._head_size = self._fed

    def on_headers_complete(self) -> None:
        """The head is there."""
        if len(self.headers) > self._bounds.head_count or (
            self._head_size > self._bounds.head_bytes and self._size_of_head() > self._bounds.head_bytes
        ):
            self._refusal = _head_too_large()
            raise RefusedError
        # An absolute form names a host beside that in Host (RFC 9112 §3.2.2).
        if not self.url.startswith(b"/"):
            self._refusal = _not_http()
            raise RefusedError
        self._in_head = False
        self._sent = self._content = 0
        # Without what may follow the body as trailers: a key or a host there counts for nothing.
        self.scope["headers"] = [*self.headers]
        if self._reading is not None:
            self._stop_reading_timer()
        version = self.parser.get_http_version()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            self.scope["http_version"] = version
        if self.parser.should_upgrade() and self._opens_websocket():
            return
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"], self.scope["query_string"] = url.path, url.query or b""
        before: Cycle | None = self.cycle  # type: ignore[assignment] # which are made here alone
        self.cycle = Cycle(self, keep_alive=version != "1.0" and self.parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start(self.cycle)
        else:  # a request that is sent before the one before it is answered
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._is_receiving = False
        if self._reading is not None:
            self._stop_reading_timer()
        self.flow.resume_reading()  # so that the client's departure is noticed, however large its body was

    def _opens_websocket(self) -> bool:
        """Whether the head opens a WebSocket. For one that only wants to, its wish is hidden from uvicorn."""
        if (b"upgrade", b"websocket") not in [(name, value.lower()) for name, value in self.headers]:
            return False
        if may_open(self.parser.get_method(), self.parser.get_http_version(), self.url, self.headers):
            return True
        self.headers = [(name, value) for name, value in self.headers if name != b"upgrade"]
        return False

    def _start(self, cycle: Cycle) -> None:
        task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _head_size_now(self) -> int:
        """Bytes of the head so far; after it, those around the body: sizes of chunks, and trailers.

        A chunk of a single byte needs five around it, which are allowed for.
        """
        return self._head_size if self._in_head else self._sent - 6 * self._content

    def _size_of_head(self) -> int:
        """The size of the head alone, where a part of the body came with it."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    # --- ending -------------------------------------------------------------------------------------

    def _await(self, seconds: float) -> None:
        self._stop_reading_timer()
        self._reading = self.loop.call_later(seconds, self._refuse, _too_slow())

    def _stop_reading_timer(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing_timer(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _refuse(self, reply: ServedReply) -> None:
        """Say why, and end the connection. In the middle of another reply, only end it."""
        self._stop_reading_timer()
        cycle: Cycle | None = self.cycle  # type: ignore[assignment]
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            return
        self.transport.write(_whole(reply))
        self.transport.close()


def _whole(reply: ServedReply) -> bytes:
    assert isinstance(reply.body, bytes)  # noqa: S101 - refusals are
    lines = [f"HTTP/1.1 {reply.status} {_REASONS[reply.status]}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([*lines, f"content-length: {len(reply.body)}", "", ""]).encode("latin-1") + reply.body


_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def _not_http() -> ServedReply:
    return refusal(400, "invalid_request", "This is not a valid HTTP request.", headers=NEVER_AGAIN)


def _head_too_large() -> ServedReply:
    return refusal(431, "headers_too_large", "The headers are too large or too many.", headers=NEVER_AGAIN)


def _too_slow() -> ServedReply:
    return refusal(408, "request_timeout", "The request did not arrive in time.", headers=NEVER_AGAIN)
