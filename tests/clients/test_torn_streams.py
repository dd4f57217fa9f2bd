"""A good stream, cut, delayed and damaged at random: the right answer or an error, and never a hang."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from itertools import pairwise
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import onplan
from onplan import CompletionRequest, RetryPolicy, Timeouts
from onplan.emulator import Emulator, Options
from onplan.stores import Record
from onplan.stores.memory import MemoryStore

from ..conftest import use_http

STORE = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="t", account_id="a")))
REQUEST = CompletionRequest(messages="hi", model="gpt-5.5")
HANGS = 20.0  # seconds after which a test gives up waiting for what must not take one


# --- what is sent -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    """The events of a turn that thinks, speaks and calls two tools at once, as the emulator sends them."""
    tools = [
        {"type": "function", "name": name, "parameters": {"type": "object", "properties": {"a": {}}}}
        for name in ("first", "second")
    ]
    body = {
        "model": "gpt-5.5",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
        "tools": tools,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "é ☃"}]}],
    }
    with Emulator(Options()) as emulator:
        token = emulator.issue_tokens()["access_token"]
        headers = {"authorization": f"Bearer {token}", "chatgpt-account-id": "acct-emulated-0001"}
        sent = httpx2.post(f"{emulator.codex_base_url}/responses", json=body, headers=headers).content
    return sent.strip().split(b"\n\n")


@dataclass(frozen=True)
class Plan:
    """What becomes of the bytes: they are changed, then cut in pieces, and end in one of four ways."""

    damages: list[tuple[str, float, int]] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    end: str = "whole"
    kept: float = 1.0

    def pieces(self, data: bytes) -> list[bytes]:
        """The writes."""
        for kind, place, value in self.damages:
            at = int(place * len(data))
            data = _DAMAGES[kind](data, at, value)
        data = data[: int(self.kept * len(data))]
        places = sorted({0, len(data), *(int(cut * len(data)) for cut in self.cuts)})
        return [data[start:end] for start, end in pairwise(places)]


_DAMAGES: dict[str, Callable[[bytes, int, int], bytes]] = {
    "changed": lambda data, at, value: data[:at] + bytes([value]) + data[at + 1 :],
    "removed": lambda data, at, value: data[:at] + data[at + value :],
    "repeated": lambda data, at, value: data[: at + value] + data[at:],
    "inserted": lambda data, at, value: data[:at] + bytes([value]) * (1 + value % 7) + data[at:],
}
_PLACES = st.floats(0, 1, exclude_max=True)
CUT = st.builds(Plan, cuts=st.lists(_PLACES, max_size=20))
TORN = st.builds(
    Plan,
    cuts=st.lists(_PLACES, max_size=5),
    end=st.sampled_from(["closed", "reset", "stalled"]),
    kept=_PLACES,
)
DAMAGED = st.builds(
    Plan,
    damages=st.lists(
        st.tuples(st.sampled_from(sorted(_DAMAGES)), _PLACES, st.integers(0, 255)), min_size=1, max_size=2
    ),
    cuts=st.lists(_PLACES, max_size=3),
    end=st.sampled_from(["whole", "closed"]),
)

# Of the output at the end the first call is lost, and half of the second one's id: its call id tells it.
CALL_TWICE = Plan(damages=[("removed", 0.9, 163)], cuts=[0.19260442494989308], end="closed")


# --- who sends it -----------------------------------------------------------------------------------


class Server:
    """Answers every request with the same bytes, as its plan says, over HTTP or over a WebSocket.

    Attributes:
        plan: for the next request.
        on_the_wire: whether the plan is for what surrounds the events, too: chunks, frames.
    """

    def __init__(self, events: list[bytes]) -> None:
        self.plan, self.on_the_wire = Plan(), False
        self._events = events
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = ThreadPoolExecutor(16)
        self._over = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads.submit(self._accept)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.submit(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client had heard enough
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        plan = self.plan
        upgrades, key = _read_request(connection)
        if upgrades:
            accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-accept: " + accept + b"\r\n\r\n"
            )
            connection.recv(65_536)  # the client's message, whatever it says
            texts = [event.partition(b"data: ")[2] for event in self._events]
            framed, around = _as_frame, b""
        else:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            texts = [event + b"\n\n" for event in self._events]
            framed, around = _as_chunk, b"0\r\n\r\n"
        if self.on_the_wire or (upgrades and plan.end != "whole"):  # a message is never cut, but its frame
            pieces = plan.pieces(b"".join(map(framed, texts)) + around)
        else:
            whole = b"\0".join(texts) if upgrades else b"".join(texts)
            pieces = plan.pieces(whole)
            if upgrades:
                pieces = b"".join(pieces).split(b"\0")
            pieces = [framed(piece) for piece in pieces if piece]
            if plan.end == "whole":
                pieces.append(around)
        for piece in pieces:
            connection.sendall(piece)
            self._over.wait(0.0005)  # so that it is a read of its own
        self._end(connection, plan.end)

    def _end(self, connection: socket.socket, end: str) -> None:
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end == "stalled":
            connection.settimeout(HANGS)
            while connection.recv(65_536):
                pass

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads.shutdown()


def _read_request(connection: socket.socket) -> tuple[bool, bytes]:
    """Whether it wants to upgrade, and with which key."""
    read = b""
    while b"\r\n\r\n" not in read:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionResetError
        read += more
    head, _, body = read.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    exact = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    missing = int(headers.get(b"content-length", 0)) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65_536))
    key = next((value for name, value in exact.items() if name.lower() == b"sec-websocket-key"), b"")
    return b"upgrade" in headers, key


def _as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _as_frame(data: bytes) -> bytes:
    length = (
        bytes([len(data)])
        if len(data) < 126
        else b"\x7e" + struct.pack("!H", len(data))
        if len(data) < 65_536
        else b"\x7f" + struct.pack("!Q", len(data))
    )
    return b"\x81" + length + data


# --- who reads it -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(events: list[bytes]) -> Iterator[Server]:
    running = Server(events)
    yield running
    running.close()


OPTIONS: dict[str, Any] = {
    "store": STORE,
    "retry": RetryPolicy(attempts=1),
}


@pytest.fixture(params=["sync", "async", "async-aiohttp", "async-httpx2", "async-websocket"])
def ask(
    server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[onplan.StreamChunk]]:
    """The chunks of one answer, by one of the clients, over one of the transports."""
    use_http(request.param, monkeypatch)
    transport = "websocket" if request.param == "async-websocket" else "sse"

    def ask_sync(idle: float) -> list[onplan.StreamChunk]:
        with onplan.Client(base_url=server.url, timeout=Timeouts(HANGS, idle), **OPTIONS) as client:
            return list(client.complete_stream(REQUEST))

    async def ask_async(idle: float) -> list[onplan.StreamChunk]:
        options = {**OPTIONS, "transport": transport, "timeout": Timeouts(HANGS, idle)}
        async with onplan.AsyncClient(base_url=server.url, **options) as client:
            return [chunk async for chunk in client.complete_stream(REQUEST)]

    def run(idle: float = HANGS) -> list[onplan.StreamChunk]:
        if request.param == "sync":
            with ThreadPoolExecutor(1) as threads:
                return without_id(threads.submit(ask_sync, idle).result(HANGS))
        return without_id(asyncio.run(asyncio.wait_for(ask_async(idle), HANGS)))

    return run


def without_id(chunks: list[onplan.StreamChunk]) -> list[onplan.StreamChunk]:
    """``chunks`` without the id of their request, which is another one each time."""
    return [
        msgspec.structs.replace(chunk, response=msgspec.structs.replace(chunk.response, request_id=None))
        if isinstance(chunk, onplan.Done)
        else chunk
        for chunk in chunks
    ]


def said(chunks: list[onplan.StreamChunk]) -> tuple[Any, ...]:
    """What an answer comes to: its text, and its calls."""
    assert [chunk.type for chunk in chunks].count("done") == 1
    response = chunks[-1].response
    calls = [(call.id, call.name, call.arguments) for call in response.tool_calls]
    assert "".join(chunk.text for chunk in chunks if chunk.type == "text") == response.text
    return response.text, calls, response.finish_reason


EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a hang is not made smaller, for each try takes its time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(plan=CUT, on_the_wire=st.booleans())
@EXAMPLES
def test_pieces_do_not_matter(server: Server, ask: Any, plan: Plan, on_the_wire: bool) -> None:
    """However the bytes are cut, and wherever they pause, the answer is the same, chunk for chunk."""
    server.plan, server.on_the_wire = Plan(), False
    whole = ask()
    server.plan, server.on_the_wire = plan, on_the_wire

    assert ask() == whole
    assert len(whole[-1].response.tool_calls) == 2


@given(plan=TORN, on_the_wire=st.booleans())
@EXAMPLES
def test_what_is_torn_is_an_error(server: Server, ask: Any, plan: Plan, on_the_wire: bool) -> None:
    """A stream that ends early, in whichever way, is never an answer, unless only what follows it is lost."""
    server.plan, server.on_the_wire = Plan(), False
    whole = ask()
    server.plan, server.on_the_wire = plan, on_the_wire

    with suppress(onplan.StreamTruncatedError, onplan.TransportError):
        assert ask(idle=0.25) == whole


@given(plan=DAMAGED, on_the_wire=st.booleans())
@example(plan=CALL_TWICE, on_the_wire=True)
@example(plan=CALL_TWICE, on_the_wire=False)
@EXAMPLES
def test_what_is_damaged_is_right_or_an_error(
    server: Server, ask: Any, plan: Plan, on_the_wire: bool
) -> None:
    """Changed, missing, repeated and foreign bytes never make another answer, and never another exception."""
    server.plan, server.on_the_wire = Plan(), False
    whole = ask()
    server.plan, server.on_the_wire = plan, on_the_wire

    try:
        chunks = ask()
    except onplan.OnplanError:
        return
    assert said(chunks) == said(whole)
