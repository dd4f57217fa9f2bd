"""A WebSocket on a connection: upgrade, frames, pings, endings; not what is said in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast

import msgspec
from uvicorn import Config
from uvicorn.server import ServerState

from onplan.emulator.api.conversation import Conversation, error_message
from onplan.emulator.server.app import App
from onplan.emulator.wire import frames
from onplan.emulator.wire.replies import Reply, Request
from onplan.emulator.wire.stream import TERMINAL, WRITE_SIZE, Stream

# Seconds that a client gets to answer a close frame.
_CLOSE_SECONDS = 1.0


class WebSocketProtocol(asyncio.Protocol):
    """The protocol to which uvicorn gives connections that ask for a WebSocket; refusals are sent as HTTP."""

    transport: asyncio.Transport

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._app = cast("App", config.app)
        self._connections, self._tasks = server_state.connections, server_state.tasks
        self._decoder = frames.Decoder()
        self._messages: asyncio.Queue[frames.Received] = asyncio.Queue()
        self._writable, self._ended = asyncio.Event(), asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._silent = self._closing = False
        self.client: tuple[str, int] | None = None

    # --- what asyncio and uvicorn call --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, when uvicorn hands the connection over."""
        self._connections.add(self)  # type: ignore[arg-type]  # uvicorn's are its own classes
        self.transport = cast("asyncio.Transport", transport)
        self.client = transport.get_extra_info("peername")
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """The request's head, then frames."""
        if self._serving is None:  # the first data is the request's head, which uvicorn repeats
            self._serving = asyncio.ensure_future(self._serve(_request(data)))
            self._tasks.add(self._serving)
            self._serving.add_done_callback(self._tasks.discard)
            return
        try:
            for received in self._decoder.feed(data):
                self._receive(received)
        except frames.FrameError as error:
            self._send_close(frames.close(error.code, str(error)))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._connections.discard(self)
        self._ended.set()
        self._writable.set()
        if self._serving is not None:
            self._serving.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def shutdown(self) -> None:
        """Called by uvicorn when it stops."""
        self.transport.close()

    # --- what comes ---------------------------------------------------------------------------------

    def _receive(self, received: frames.Received) -> None:
        if received.opcode == frames.PING and not self._silent:
            self.transport.write(frames.encode(frames.PONG, received.payload))
        elif received.opcode == frames.CLOSE:
            self._send_close(frames.encode(frames.CLOSE, received.payload[:2]))
            self._ended.set()
            self.transport.close()
        elif received.opcode in frames.MESSAGES:
            self._messages.put_nowait(received)

    def _send_close(self, frame: bytes) -> None:
        if not self._closing:
            self._closing = True
            self.transport.write(frame)

    # --- what goes out ------------------------------------------------------------------------------

    async def _serve(self, request: Request) -> None:
        """Answer the upgrade, then one message after the other, until the connection ends."""
        row, reply = self._app.answer(request)
        await asyncio.sleep(reply.delay)
        if reply.ending != "reset":
            row["status"] = reply.status
            self.transport.write(_head(reply))
        row["ended"] = reply.ending
        if reply.status != 101 or reply.ending == "reset":
            self._hang_up(reply.ending)
            return
        deflate = frames.DEFLATE in (reply.header("sec-websocket-extensions") or "")
        self._decoder = frames.Decoder(deflate=deflate)
        conversation = Conversation(request)
        while not self._closing:
            message = await self._messages.get()
            row, reply = self._app.answer_message(conversation, message.payload)
            row["ended"] = "client_left"  # unless it turns out otherwise
            row["ended"] = await self._answer(reply, row)
            if row["ended"] in ("cut", "reset"):
                self._hang_up(row["ended"])
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _CLOSE_SECONDS)
        self.transport.close()

    def _hang_up(self, ending: str) -> None:
        self.transport.abort() if ending == "reset" else self.transport.close()

    async def _answer(self, reply: Reply, row: dict[str, Any]) -> str:
        await asyncio.sleep(reply.delay)
        if reply.ending == "reset":
            return "reset"
        row["status"] = reply.status
        if reply.stream is None:
            await self._write(frames.encode(frames.TEXT, msgspec.json.encode(error_message(reply))))
            return "complete"
        return await self._stream(reply.stream)

    async def _stream(self, stream: Stream) -> str:
        kinds: set[str] = set()
        for number, write in enumerate(_writes(stream, kinds)):
            if stream.interval and number:
                await asyncio.sleep(stream.interval)
            await self._write(write)
        self._silent = stream.breaks == "silence"
        if stream.breaks in ("stall", "silence"):
            await self._app.stall()
        if stream.breaks is not None:
            return "cut"
        if "close" in kinds:
            self._closing = True
        elif not kinds.intersection(TERMINAL):  # over HTTP, the body ends here
            self._send_close(frames.close(1000))
        return "complete"

    async def _write(self, data: bytes) -> None:
        self.transport.write(data)
        await self._writable.wait()


def _request(head: bytes) -> Request:
    """The upgrade request, from its head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    pairs = (line.split(": ", 1) for line in lines if line)
    return Request(method, path, query, {name.lower(): value for name, value in pairs}, b"")


def _head(reply: Reply) -> bytes:
    """A whole reply as HTTP; the connection is closed after it unless it opens a WebSocket."""
    headers = reply.headers
    if reply.status != 101:
        kept = [(name, value) for name, value in headers if name != "connection"]
        headers = (*kept, ("content-length", str(len(reply.body))), ("connection", "close"))
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    body = reply.body[: len(reply.body) // 2] if reply.ending == "cut" else reply.body
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _writes(stream: Stream, kinds: set[str]) -> Iterator[bytes]:
    """The bytes of each write; what kinds of events they hold is added to `kinds`."""
    held = bytearray()
    for kind, chunk in stream.messages():
        kinds.add(kind)
        held += chunk
        if stream.framing.write_size is not None:
            yield from (bytes([byte]) for byte in held)
        elif not stream.interval and len(held) < WRITE_SIZE:
            continue
        else:
            yield bytes(held)
        held.clear()
    if held:
        yield bytes(held)
