"""A server on a real socket, in a thread of its own, and clients that speak raw HTTP to it."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
import uvloop

import onplan
from onplan.dialects.served import ServedReply, ServedRequest
from onplan.server.app import App, Parts
from onplan.server.connection import Bounds
from onplan.server.keys import Keys, NamedKey, hash_of, keys_of
from onplan.server.ledger import Ledger, Used
from onplan.server.limits import KeyLimits
from onplan.server.metrics import Metrics
from onplan.server.options import ServerOptions
from onplan.server.running import Stop, run

from ..openapi import check_answer

KEY = "sk-onplan-of-the-tests"
_OF_THE_SERVER = ("/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/usage")


class Stub:
    """A service that answers with what it was asked, or thinks or streams until it is let go."""

    def __init__(self) -> None:
        self.asked: list[ServedRequest] = []
        self.ended: list[str] = []
        self.begun = threading.Semaphore(0)
        self.usage: onplan.Usage | None = None
        self.plan_error: onplan.OnplanError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._let_go: asyncio.Event | None = None

    def let_go(self) -> None:
        """Let what thinks and what streams come to its end."""
        assert self._loop is not None
        assert self._let_go is not None
        self._loop.call_soon_threadsafe(self._let_go.set)

    async def answer(self, request: ServedRequest) -> ServedReply:
        """What a service does."""
        self.asked.append(request)
        self._loop, self._let_go = asyncio.get_running_loop(), self._let_go or asyncio.Event()
        if request.path == "/v1/think":
            await self._think()
        if request.path == "/v1/stream":
            return ServedReply(200, {"content-type": "text/event-stream"}, self._stream(), b": ping\n\n")
        if request.path == "/v1/flood":
            return ServedReply(200, {"content-type": "text/event-stream"}, self._flood())
        if request.path == "/v1/breaks":
            return ServedReply(200, {"content-type": "text/event-stream"}, self._broken())
        if request.path == "/v1/fails":
            raise RuntimeError("a fault")
        reply = ServedReply.json({"path": request.path, "body": request.body.decode()})
        reply.usage, reply.model = self.usage, "gpt-5.5"
        return reply

    def open_socket(self, request: ServedRequest) -> StubSocket | None:
        """What a service does."""
        if self.plan_error:
            raise self.plan_error
        return StubSocket(self) if request.path == "/v1/responses" else None

    async def limits(self) -> onplan.Limits:
        """What the plan has left."""
        if self.plan_error:
            raise self.plan_error
        return onplan.Limits(windows=(onplan.Window(minutes=300, used_percent=25.0),))

    async def why_not_ready(self) -> onplan.OnplanError | None:
        """As it was told."""
        return self.plan_error

    async def _think(self) -> None:
        assert self._let_go is not None
        self.begun.release()
        try:
            await self._let_go.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    async def _stream(self) -> AsyncGenerator[bytes]:
        assert self._let_go is not None
        try:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
            self.begun.release()
            await self._let_go.wait()
            yield b"data: end\n\n"
            self.ended.append("whole")
        finally:
            self.ended.append("closed")

    async def _broken(self) -> AsyncGenerator[bytes]:
        yield b"data: 0\n\n"
        raise onplan.TransportError("The connection broke.")

    async def _flood(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                self.begun.release()
                yield bytes(65_536)
        finally:
            self.ended.append("closed")


class StubSocket:
    """Answers each message with itself, twice; one that says ``think`` waits in between.

    ``fails`` is a fault, and so is ``disk``; the answer to ``flood`` does not end.
    """

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    async def answer(self, message: bytes) -> AsyncGenerator[bytes]:
        """What a socket of a service does."""
        self._stub._loop = asyncio.get_running_loop()
        self._stub._let_go = self._stub._let_go or asyncio.Event()
        yield message
        if message == b"think":
            await self._stub._think()
        if message == b"flood":
            async with aclosing(self._stub._flood()) as pieces:
                async for piece in pieces:
                    yield piece
        if message == b"fails":
            raise RuntimeError("a fault")
        if message == b"disk":
            raise OSError(errno.ENOSPC, "a full disk")
        yield message


class Running:
    """A server in a thread, for as long as the ``with`` block lasts.

    Args:
        stub: its service.
        options, bounds: of the server.
        limits: of a client called ``named``, whose key is ``named-key``.
    """

    def __init__(
        self,
        stub: Stub,
        options: ServerOptions | None = None,
        bounds: Bounds | None = None,
        limits: KeyLimits | None = None,
    ) -> None:
        self.stub, self._options, self._bounds = stub, options or ServerOptions(), bounds
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.used: dict[str, Used] = {}  # by caller, when it has ended
        self.port = self.listener.getsockname()[1]
        named = () if limits is None else (NamedKey("named", hash_of("named-key").hex(), limits),)
        self._keys = keys_of(KEY, named)
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._serve, name="server of a test")

    def _serve(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), Stop()
            stub, ledger = self.stub, Ledger(None)
            parts = Parts(lambda caller, limits: stub, stub, ledger, Metrics())
            self.app = App(self._options, self._keys, parts)
            await run(
                self.app,
                [self.listener],
                self._options,
                self._stop,
                on_ready=self._ready.set,
                bounds=self._bounds,
            )
            self.used = {name: ledger.read(name) for name in ("server", "named")}
            ledger.close()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    def __enter__(self) -> Running:
        self.thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        if self.thread.is_alive():
            self.stop()
            self.stop()
        self.thread.join(20)
        self.listener.close()
        assert not self.thread.is_alive()

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.ask)

    def reload(self, keys: Keys) -> None:
        """Let in by these keys from now on, as SIGHUP does."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (self.app.reload(self._options, keys), done.set()))
        assert done.wait(20)

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, sent: bytes, *, half_close: bool = False) -> bytes:
        """All that comes back for these bytes until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def head(self, path: str, method: str = "GET", **headers: str) -> bytes:
        """The head of a request with the key."""
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", f"authorization: Bearer {KEY}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def ask(
        self, method: str = "GET", path: str = "/v1/models", body: bytes = b"", **headers: str | None
    ) -> Answer:
        """The whole answer to one request. A header that is None is left out."""
        given: dict[str, str | None] = {"authorization": f"Bearer {KEY}"}
        given |= {"content-type": "application/json"} if method == "POST" else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(
            method, path, body or None, {name: value for name, value in given.items() if value is not None}
        )
        found = connection.getresponse()
        answer = Answer(
            found.status, {name.lower(): value for name, value in found.headers.items()}, found.read()
        )
        connection.close()
        if found.status >= 400 or path in _OF_THE_SERVER:  # the rest is what the stub answers
            check_answer(method, path, answer.status, answer.headers, answer.body)
        return answer


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error."""
        return str(self.json()["error"]["code"])


@pytest.fixture
def stub() -> Stub:
    """The service of the servers of this test."""
    return Stub()


@pytest.fixture
def serve(stub: Stub) -> Iterator[Callable[..., Running]]:
    """Start a server with these options; it ends with the test."""
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(stub, **options).__enter__())
        return started[-1]

    yield start
    for each in started:
        each.__exit__()
