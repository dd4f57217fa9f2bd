"""A network on loopback: proxies, and servers with certificates of an authority of our own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import trustme

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.oauth.credentials import credentials_from
from onplan.oauth.token_response import decode_token_response
from onplan.stores import CredentialStore, Record
from onplan.stores.memory import MemoryStore

from ..conftest import eventually

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]


class Network:
    """Servers in an event loop of their own, on another thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._listeners: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()  # an event loop holds them weakly
        self._writers: list[Writer] = []
        self._over = asyncio.Event()

    async def until_over(self) -> None:
        """Wait, in a handler, until the test is over."""
        await self._over.wait()

    def serve(self, handler: Handler, context: ssl.SSLContext | None = None) -> int:
        """Start a server; gives its port on 127.0.0.1. Connections are closed when ``handler`` returns."""

        async def start() -> int:
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # little is on its way
            self._listeners.append(listener)
            self._servers.append(
                await asyncio.start_server(self._closing(handler), sock=listener, ssl=context)
            )
            return int(listener.getsockname()[1])

        return asyncio.run_coroutine_threadsafe(start(), self._loop).result(30)

    def _closing(self, handler: Handler) -> Callable[[Reader, Writer], None]:
        async def serve(reader: Reader, writer: Writer) -> None:
            with suppress(OSError, EOFError, asyncio.CancelledError):
                await handler(reader, writer)

        def handle(reader: Reader, writer: Writer) -> None:
            """Not a coroutine: one that is cancelled before it begins would leave its connection open."""
            self._writers.append(writer)
            task = self._loop.create_task(serve(reader, writer))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
            task.add_done_callback(lambda _: writer.transport.abort())

        return handle

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have it called on their thread, soon."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """End all of it, when those who are still being served have left, or soon."""

        async def end() -> None:
            # A server that is closed between accepting a connection and making a transport of it leaves the
            # connection open (CPython 3.11: Server._attach), so accepting ends first.
            for listener in self._listeners:
                self._loop.remove_reader(listener)
            self._over.set()
            await asyncio.sleep(0)
            for server in self._servers:
                server.close()
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=5)
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
            closed = [writer.wait_closed() for writer in self._writers]  # some rounds after it was aborted
            await asyncio.gather(*closed, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def relay(reader: Reader, writer: Writer, host: str, port: int, said: bytes = b"") -> None:
    """Pass bytes on in both directions until one side leaves; ``said`` goes first."""
    far_reader, far_writer = await asyncio.open_connection(host, port)
    far_writer.write(said)

    async def pump(source: Reader, to: Writer) -> None:
        while data := await source.read(65_536):
            to.write(data)
            await to.drain()

    ways = [asyncio.ensure_future(pump(*way)) for way in ((reader, far_writer), (far_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        with suppress(OSError):
            await writer.drain()
            writer.write_eof() if writer.can_write_eof() else None
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.transport.abort()


@pytest.fixture
def pass_on() -> Callable[..., Awaitable[None]]:
    """``relay``, for a test's own server."""
    return relay


@pytest.fixture
def network() -> Iterator[Network]:
    """Where the test's servers live."""
    running = Network()
    yield running
    running.close()


@dataclass
class Proxy:
    """An HTTP or SOCKS 5 proxy. Every name it is asked for is at ``places``, else nowhere.

    Attributes:
        wanted: the user and the password that it wants, joined by a colon.
        asked: what it was asked for, with what it was told of these: ``("host:443", "user:password")``.
        slow: whether it says what it says byte by byte.
    """

    scheme: str
    places: dict[str, int]
    wanted: str | None = None
    slow: bool = False
    port: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def url_for(self, pair: str) -> str:
        return f"{self.scheme}://{pair}@127.0.0.1:{self.port}"

    async def handle(self, reader: Reader, writer: Writer) -> None:
        await (self._socks if self.scheme.startswith("socks") else self._http)(reader, writer)

    async def _say(self, writer: Writer, data: bytes) -> None:
        for byte in data if self.slow else ():
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        writer.write(b"" if self.slow else data)
        await writer.drain()

    async def _http(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        told = headers.get("proxy-authorization")
        pair = base64.b64decode(told.removeprefix("Basic ")).decode() if told else None
        place = target if method == "CONNECT" else urlsplit(target).netloc
        self.asked.append((place, pair))
        if pair != self.wanted:
            await self._say(
                writer, b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
            )
        elif place not in self.places:
            await self._say(writer, b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
        elif method == "CONNECT":
            await self._say(writer, b"HTTP/1.1 200 OK\r\n\r\n")
            await relay(reader, writer, "127.0.0.1", self.places[place])
        else:
            await relay(reader, writer, "127.0.0.1", self.places[place], head.encode())

    async def _socks(self, reader: Reader, writer: Writer) -> None:
        _, count = await reader.readexactly(2)
        methods, method = await reader.readexactly(count), 2 if self.wanted else 0
        if method not in methods:
            self.asked.append(("", None))
            await self._say(writer, b"\x05\xff")
            return
        await self._say(writer, bytes([5, method]))
        pair = None
        if method:
            await reader.readexactly(1)
            pair = ":".join([(await self._counted(reader)).decode() for _ in range(2)])
            await self._say(writer, bytes([1, pair != self.wanted]))
        _, _, _, kind = await reader.readexactly(4)
        host = (
            await self._counted(reader)
            if kind == 3
            else b".".join(str(number).encode() for number in await reader.readexactly(4))
        )
        place = f"{host.decode()}:{int.from_bytes(await reader.readexactly(2), 'big')}"
        self.asked.append((place, pair))
        known = place in self.places
        await self._say(writer, bytes([5, 0 if known else 4, 0, 3, 2]) + b"me" + b"\0\0")
        if known:
            await relay(reader, writer, "127.0.0.1", self.places[place])

    @staticmethod
    async def _counted(reader: Reader) -> bytes:
        return await reader.readexactly((await reader.readexactly(1))[0])


@dataclass
class Far:
    """The emulator as ``https://auth.invalid`` and ``https://backend.invalid``, which only a proxy can find.

    Attributes:
        places: where they really are.
        certificates: of the authority that issued theirs, in PEM.
        port: of the one server with TLS that stands in for both.
    """

    emulator: Emulator
    network: Network
    authority: trustme.CA
    certificates: Path
    port: int = 0
    places: dict[str, int] = field(default_factory=dict)

    def proxy(self, scheme: str = "http", wanted: str | None = None, *, slow: bool = False) -> Proxy:
        """Start one that knows the way."""
        proxy = Proxy(scheme, self.places, wanted, slow)
        proxy.port = self.network.serve(proxy.handle, self.context() if scheme == "https" else None)
        return proxy

    def context(self) -> ssl.SSLContext:
        """For a server with a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "auth.invalid", "backend.invalid").configure_cert(context)
        return context

    async def handle(self, reader: Reader, writer: Writer) -> None:
        await relay(reader, writer, "127.0.0.1", urlsplit(self.emulator.issuer).port or 0)

    def near_url(self) -> str:
        """The backend's address, without a proxy."""
        return f"https://127.0.0.1:{self.port}{urlsplit(self.emulator.codex_base_url).path}"

    def store(self, **changes: Any) -> CredentialStore:
        """A store with a sign-in that came from there."""
        tokens = decode_token_response(msgspec.json.encode(self.emulator.issue_tokens()))
        assert tokens
        credentials = credentials_from(tokens, load_settings().issuer, time.time())
        return MemoryStore(record=Record(credentials=msgspec.structs.replace(credentials, **changes)))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """One that signs what it is told to."""
    return trustme.CA()


@pytest.fixture
def far(
    emulator: Emulator,
    network: Network,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Far:
    """The emulator, far away. It is trusted by ``SSL_CERT_FILE``."""
    certificates = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(certificates))
    world = Far(emulator, network, authority, certificates)
    world.port = network.serve(world.handle, world.context())
    world.places |= dict.fromkeys(("auth.invalid:443", "backend.invalid:443"), world.port)
    path = urlsplit(emulator.codex_base_url).path
    monkeypatch.setenv("ONPLAN_ISSUER", "https://auth.invalid")
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", f"https://backend.invalid{path}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    return world


@pytest.fixture
def upgraded() -> Callable[[Reader, Writer], Awaitable[bool]]:
    """Read the head of a request, and open a WebSocket if it asks for one, which is what it gives."""

    async def read(reader: Reader, writer: Writer) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search(r"(?i)sec-websocket-key: (\S+)", head)
        if found:
            key = f"{found[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
            accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
            lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
            writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
        return bool(found)

    return read


@pytest.fixture
def ended() -> Callable[[Emulator], None]:
    """Wait until the emulator has noticed that whoever asked last has left."""

    def wait(emulator: Emulator) -> None:
        def left() -> bool:
            rows = [row for row in emulator.journal() if row["method"] == "POST"]
            return bool(rows) and rows[-1].get("ended") == "client_left"

        eventually(left)

    return wait
