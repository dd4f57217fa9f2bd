"""WebSocket against servers that the test writes: what goes over the wire, in which pieces, and when."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

import onplan
from onplan import CompletionRequest
from onplan.emulator import frames
from onplan.stores import Record
from onplan.stores.memory import MemoryStore

STORE = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="t", account_id="a")))
REQUEST = CompletionRequest(messages="hi", model="gpt-5.5")


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def delta(text: str) -> str:
    return event("response.output_text.delta", delta=text, item_id="msg_1", output_index=0)


COMPLETED = event("response.completed", response={"id": "resp_1", "output": [], "usage": None})


@asynccontextmanager
async def server(handler: Callable[[ServerConnection], Any], **options: Any) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, **options) as running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def asking(handler: Callable[[ServerConnection], Any]) -> AsyncIterator[Any]:
    """A stream of that server's."""
    async with (
        server(handler) as url,
        onplan.AsyncClient(base_url=url, store=STORE) as client,
        aclosing(client.complete_stream(REQUEST)) as stream,
    ):
        yield stream


async def test_pings_are_answered_while_nobody_reads() -> None:
    """A program that takes its time over a chunk does not seem dead meanwhile."""
    answered = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(delta("Hel"))
        await (await connection.ping())
        answered.set()
        await connection.send(delta("lo"))
        await connection.send(COMPLETED)

    async with asking(handler) as stream:
        assert (await anext(stream)).text == "Hel"
        await answered.wait()
        rest = [chunk async for chunk in stream]

    assert rest[-1].response.text == "Hello"


async def test_who_reads_slowly_is_not_overwhelmed() -> None:
    """Beyond some messages the server has to wait until they are read; then all of them arrive."""
    sent = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal sent
        await connection.recv()
        for _ in range(640):
            await connection.send(delta("x" * 100_000))
            sent += 1
        await connection.send(COMPLETED)
        await connection.wait_closed()

    async with asking(handler) as stream:
        await anext(stream)
        before = -1
        while sent != before:  # until no more is taken from it
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 320
        rest = [chunk async for chunk in stream]

    assert len(rest[-1].response.text) == 64_000_000


@pytest.mark.parametrize(
    ("late", "connections"), [(event("error", error={"code": "x"}), 2), ("{broken", 2), (event("gossip"), 1)]
)
async def test_what_comes_between_two_turns_belongs_to_neither(late: str, connections: int) -> None:
    """After an error message the next turn has a new connection; anything else is forgotten."""
    opened, idle, told = 0, asyncio.Event(), asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        async for _ in connection:
            await connection.send(COMPLETED)
            await idle.wait()
            await connection.send(late)
            await (await connection.ping())
            told.set()

    async with server(handler) as url, onplan.AsyncClient(base_url=url, store=STORE) as client:
        await client.complete(REQUEST)
        idle.set()
        await told.wait()
        await client.complete(REQUEST)

    assert opened == connections


async def test_the_upgrade_is_in_our_own_words() -> None:
    """It names us once and offers nothing; the message is text."""
    received: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        received.extend((connection.request.headers, await connection.recv()))
        await connection.send(COMPLETED)

    async with server(handler) as url, onplan.AsyncClient(base_url=url, store=STORE) as client:
        await client.complete(REQUEST)

    headers, message = received
    (agent,) = headers.get_all("user-agent")
    assert agent.startswith("onplan/")
    assert "sec-websocket-extensions" not in headers
    assert json.loads(message)["type"] == "response.create"


TEXTS = [delta("x" * length) for length in (0, 10, 20, 30, 40, 50, 100, 200, 65_400, 65_500, 70_000, 1)]


def pieces(text: str) -> bytes:
    """A message in two fragments, a ping between them, and a pong that nobody asked for after it."""
    half = len(text) // 2
    return b"".join(
        [
            frames.encode(frames.TEXT, text[:half].encode(), final=False),
            frames.encode(frames.PING, b"?"),
            frames.encode(frames.CONTINUATION, text[half:].encode()),
            frames.encode(frames.PONG, b""),
        ]
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 126, 4_096, 10_000_000])
async def test_any_split_of_the_bytes_is_the_same(size: int) -> None:
    """Frames of every length, fragments and control frames among them, in pieces of every size."""
    answer = [frames.encode(frames.TEXT, text.encode()) for text in (*TEXTS, COMPLETED)]
    answer.insert(6, pieces(delta("in the middle")))

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search("Sec-WebSocket-Key: (.*)\r\n", head)[1]
        accept = f"sec-websocket-accept: {frames.accept_key(key)}"
        await write(
            writer, f"HTTP/1.1 101 OK\r\nupgrade: websocket\r\nconnection: upgrade\r\n{accept}\r\n\r\n"
        )
        await reader.read(1)
        await write(writer, b"".join(answer))
        await reader.read()
        writer.close()

    async def write(writer: asyncio.StreamWriter, data: str | bytes) -> None:
        data = data.encode() if isinstance(data, str) else data
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()

    running = await asyncio.start_server(respond, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    async with running, onplan.AsyncClient(base_url=url, store=STORE, transport="websocket") as client:
        text = (await client.complete(REQUEST)).text

    assert text.replace("x", "") == "in the middle"
    assert text.count("x") == sum(json.loads(text)["delta"].count("x") for text in TEXTS)


async def test_a_refusal_is_read_to_its_end() -> None:
    """Its body may come later than its head, and in chunks."""
    body = b'{"error": {"type": "usage_limit_reached", "plan_type": "plus"}}'

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 429 Too Many Requests\r\ntransfer-encoding: chunked\r\nx-request-id: req-1\r\n\r\n"
        for piece in (head, b"%x\r\n%b\r\n" % (20, body[:20]), b"%x\r\n%b\r\n" % (len(body) - 20, body[20:])):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)  # so that they are read one by one
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()

    running = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    async with running, onplan.AsyncClient(base_url=url, store=STORE) as client:
        with pytest.raises(onplan.UsageLimitError, match="plus plan") as caught:
            await client.complete(REQUEST)

    assert (caught.value.status, caught.value.request_id) == (429, "req-1")


async def test_a_turn_that_had_begun_is_not_repeated_on_the_quiet() -> None:
    """A connection that breaks after the backend took the message is a failure, and retries are counted."""
    messages: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            messages.append(str(message))
            if len(messages) == 1:
                await connection.send(COMPLETED)
                continue
            await connection.send(event("response.created", response={"id": "resp_2"}))
            await connection.close(1011)
            return

    async with server(handler) as url:
        options: Any = {"store": STORE, "transport": "websocket", "retry": onplan.RetryPolicy(attempts=1)}
        async with onplan.AsyncClient(base_url=url, **options) as client:
            await client.complete(REQUEST)
            with pytest.raises(onplan.OnplanError):
                await client.complete(REQUEST)

    assert len(messages) == 2
