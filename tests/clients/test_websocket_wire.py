"""WebSocket against servers that the test writes: what goes over the wire, in which pieces, and when."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import socket
import ssl
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import onplan
from onplan import CompletionRequest, Timeouts
from onplan.emulator.wire import frames
from onplan.stores import Record
from onplan.stores.memory import MemoryStore

TOKEN = "token-that-must-not-be-seen"
STORE = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token=TOKEN, account_id="a")))
REQUEST = CompletionRequest(messages="hi", model="gpt-5.5")
# WebSocket alone, and one attempt: what is raised is what happened.
ONCE: dict[str, Any] = {"store": STORE, "transport": "websocket", "retry": onplan.RetryPolicy(attempts=1)}


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


async def test_a_forked_process_leaves_the_connection_to_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a child read of it, the parent would miss: an answer that it inherits is an error there."""

    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(delta("Hel"))
        await connection.recv()

    async with asking(handler) as stream:
        await anext(stream)
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            with pytest.raises(onplan.StreamTruncatedError) as caught:
                await anext(stream)

    assert isinstance(caught.value.__context__, onplan.DisconnectError)
    assert "belongs to another process" in str(caught.value.__context__)


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


LATE = {
    "an error": (event("error", error={"code": "x"}), 2),
    "an error under another name": (event("response.error", error={"code": "x"}), 2),
    "an error without a type": (json.dumps({"error": {"message": "x"}}), 2),
    "what is no JSON": ("{broken", 2),
    "anything else": (event("gossip"), 1),
    "more than may wait": (event("gossip", text="x" * 3_000_000), 2),
}


@pytest.mark.parametrize(("late", "connections"), LATE.values(), ids=LATE)
async def test_what_comes_between_two_turns_belongs_to_neither(late: str, connections: int) -> None:
    """After an error, or too much, the next turn has a new connection; anything else is forgotten."""
    opened, idle, sent = 0, asyncio.Event(), asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        for number in itertools.count():
            await connection.recv()
            await connection.send(event("response.completed", response={"id": f"resp_{number}"}))
            await idle.wait()
            await connection.send(late)
            await (await connection.ping())
            sent.set()

    async with server(handler) as url, onplan.AsyncClient(base_url=url, store=STORE) as client:
        await client.complete(REQUEST)
        idle.set()
        await sent.wait()
        await client.complete(REQUEST)

    assert opened == connections


def turn(number: int, text: str | None = None) -> list[str]:
    """The events of a turn that speaks and calls a tool."""
    text = text or str(number)
    content = [{"type": "output_text", "text": text}]
    message = {"type": "message", "id": f"msg_{number}", "content": content}
    name = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "f"}
    call = {**name, "arguments": "{}"}
    named = {"item_id": f"msg_{number}", "output_index": 0}
    return [
        event("response.created", response={"id": f"resp_{number}"}),
        event("response.output_item.added", item={**message, "content": []}, output_index=0),
        event("response.output_text.delta", delta=text, **named),
        event("response.output_item.done", item=message, output_index=0),
        event("response.output_item.done", item=call, output_index=1),
        event("response.completed", response={"id": f"resp_{number}", "status": "completed", "output": []}),
    ]


FAILED = event("response.failed", response={"id": "resp_0", "error": {"code": "server_error"}})
CUT = event(
    "response.incomplete", response={"id": "resp_0", "incomplete_details": {"reason": "max_output_tokens"}}
)
OF_EARLIER = {
    "all of it": turn(0),
    "its beginning": turn(0)[:1],
    "text": turn(0)[2:3],
    "a message": turn(0)[3:4],
    "a call": turn(0)[4:5],
    "its end": turn(0)[5:],
    "a failure": [FAILED],
    "a cut": [CUT],
}


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("late", OF_EARLIER.values(), ids=OF_EARLIER)
async def test_what_comes_late_of_a_turn_is_of_no_other(late: list[str], place: int) -> None:
    """Events of an earlier answer are no part of the next one, wherever they come; or it is an error."""

    async def handler(connection: ServerConnection) -> None:
        for number in itertools.count():
            question = await connection.recv()
            said = turn(1 if "second" in str(question) else 0)
            with suppress(ConnectionClosed):
                for message in [*said[:place], *(late if number else ()), *said[place:]]:
                    await connection.send(message)

    first, second = (
        CompletionRequest(messages=text, model="gpt-5.5", session_id="one") for text in ("first", "second")
    )
    async with server(handler) as url, onplan.AsyncClient(base_url=url, store=STORE) as client:
        await client.complete(first)
        try:
            answer = await client.complete(second)
        except onplan.StreamError:
            assert place > 2  # something of it had been seen
        else:
            said = answer.text, answer.response_id, [call.id for call in answer.tool_calls]
            assert said == ("1", "resp_1", ["call_1"])


async def test_a_server_that_gives_all_turns_the_same_ids_is_understood() -> None:
    """What cannot be told from an earlier turn's is asked for over a connection that has seen none."""
    questions = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal questions
        async for _ in connection:
            questions += 1
            for message in turn(0, f"answer {questions}"):
                await connection.send(message)

    async with server(handler) as url, onplan.AsyncClient(base_url=url, store=STORE) as client:
        said = [(await client.complete(REQUEST)).text for _ in range(3)]

    assert said == ["answer 1", "answer 3", "answer 5"]


async def test_a_message_that_is_still_arriving_between_two_turns_belongs_to_neither() -> None:
    """Half a message after the end of a turn is not taken for the beginning of the next one's."""
    opened, half = 0, asyncio.Event()
    end, late = frames.encode(frames.TEXT, COMPLETED.encode()), delta("late").encode()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await upgraded(reader, writer)
        await reader.read(65_536)
        writer.write(end + frames.encode(frames.TEXT, late[:9], final=False))
        half.set()
        await reader.read(65_536)
        writer.write(frames.encode(frames.CONTINUATION, late[9:]) + end)
        await reader.read()

    async with raw(play) as url, onplan.AsyncClient(**ONCE, base_url=url) as client:
        await client.complete(REQUEST)
        await half.wait()
        assert (await client.complete(REQUEST)).text == ""

    assert opened == 2


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
    """A message in two fragments, a ping between them, and an unsolicited pong after it."""
    half = len(text) // 2
    return b"".join(
        [
            frames.encode(frames.TEXT, text[:half].encode(), final=False),
            frames.encode(frames.PING, b"?"),
            frames.encode(frames.CONTINUATION, text[half:].encode()),
            frames.encode(frames.PONG, b""),
        ]
    )


Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def upgraded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    (key,) = re.findall("Sec-WebSocket-Key: (.*)\r\n", head)
    accept = f"sec-websocket-accept: {frames.accept_key(key)}"
    answer = f"HTTP/1.1 101 OK\r\nupgrade: websocket\r\nconnection: upgrade\r\n{accept}\r\n\r\n"
    writer.write(answer.encode())


@asynccontextmanager
async def raw(play: Play, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that does with each connection what ``play`` does, from its first byte."""

    serving: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await play(reader, writer)
        writer.transport.abort()
        serving.discard(task)

    running = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with running:
        scheme = "https" if context else "http"
        yield f"{scheme}://127.0.0.1:{running.sockets[0].getsockname()[1]}"
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving)


@asynccontextmanager
async def playing(play: Play, **options: Any) -> AsyncIterator[onplan.AsyncClient]:
    """A client of a server that accepts the connection, and plays when the message comes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgraded(reader, writer)
        await reader.read(1)
        await play(reader, writer)

    async with raw(answer) as url, onplan.AsyncClient(**{**ONCE, **options, "base_url": url}) as client:
        yield client


@pytest.mark.parametrize("size", [1, 2, 3, 7, 126, 4_096, 10_000_000])
async def test_any_split_of_the_bytes_is_the_same(size: int) -> None:
    """Frames of every length, fragments and control frames among them, in pieces of every size."""
    answer = [frames.encode(frames.TEXT, text.encode()) for text in (*TEXTS, COMPLETED)]
    answer.insert(6, pieces(delta("in the middle")))
    data = b"".join(answer)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
        await reader.read()

    async with playing(play) as client:
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

    async with raw(refuse) as url, onplan.AsyncClient(base_url=url, store=STORE) as client:
        with pytest.raises(onplan.UsageLimitError, match="plus plan") as caught:
            await client.complete(REQUEST)

    assert (caught.value.status_code, caught.value.request_id) == (429, "req-1")


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


# --- back-pressure ------------------------------------------------------------------------------


def fragmented(text: str, size: int) -> bytes:
    """A message in fragments of ``size`` bytes."""
    payload = text.encode()
    starts = range(0, len(payload), size)
    return b"".join(
        frames.encode(
            frames.CONTINUATION if start else frames.TEXT,
            payload[start : start + size],
            final=start + size >= len(payload),
        )
        for start in starts
    )


@pytest.mark.parametrize("size", [1, 1_000, 100_000, 1_000_000, 5_000_000])
async def test_a_message_in_fragments_may_be_large(size: int) -> None:
    """One message that is more than what may wait for the program is read to its end, and delivered."""
    text = "x" * (300_000 if size == 1 else 8_000_000)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(fragmented(delta(text), size) + frames.encode(frames.TEXT, COMPLETED.encode()))
        await reader.read()

    async with playing(play, timeout=Timeouts(idle=60)) as client:
        assert (await client.complete(REQUEST)).text == text


async def test_a_slow_program_gets_a_message_in_fragments() -> None:
    """Also if so much waits already that no more is taken: that is read first, and then the rest."""
    text = "x" * 3_000_000

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(frames.encode(frames.TEXT, delta(text).encode()) + fragmented(delta(text), 50_000))
        writer.write(frames.encode(frames.TEXT, COMPLETED.encode()))
        await reader.read()

    async with playing(play) as client, aclosing(client.complete_stream(REQUEST)) as stream:
        first = await anext(stream)
        await asyncio.sleep(0.1)
        rest = [chunk async for chunk in stream]

    assert first.text == text
    assert rest[-1].response.text == text * 6


async def test_pongs_do_not_pile_up() -> None:
    """A server that pings without reading the answers is answered now and then, and its answer is whole."""
    pings, pongs = 300_000, 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal pongs
        for _ in range(pings // 1_000):
            writer.write(frames.encode(frames.PING, b"?") * 1_000)
            await writer.drain()
        writer.write(frames.encode(frames.TEXT, COMPLETED.encode()) + frames.encode(frames.PING, b"last"))
        while data := await reader.read(100_000):
            pongs += data.count(b"\x8a")  # frames of six bytes and more, masked at random

    async with playing(play) as client:
        await client.complete(REQUEST)

    assert 0 < pongs < pings / 10


# --- silence ------------------------------------------------------------------------------------


async def trickle(writer: asyncio.StreamWriter, beginning: bytes, more: bytes, seconds: float = 0.02) -> None:
    """Something, and then more of it for ever."""
    writer.write(beginning)
    while True:
        writer.write(more)
        await writer.drain()
        await asyncio.sleep(seconds)


DRIBBLES: dict[str, tuple[bytes, bytes]] = {
    "pings": (b"", frames.encode(frames.PING, b"x")),
    "pongs": (b"", frames.encode(frames.PONG, b"")),
    "floods of pings": (b"", frames.encode(frames.PING, b"x") * 20_000),
    "a frame byte by byte": (b"\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x00", b"x"),
    "empty fragments": (b"\x01\x00", b"\x00\x00" * 10),
    "fragments of a byte": (b"\x01\x00", b"\x00\x01x"),
    "fragments and pings": (b"\x01\x01{", b"\x00\x00\x89\x00"),
}


@pytest.mark.parametrize("case", DRIBBLES)
async def test_what_leads_nowhere_is_silence(case: str) -> None:
    """A server that sends pings, or a message so slowly that it never ends, is given up like a silent one."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames.encode(frames.TEXT, event("response.created", response={"id": "r"}).encode()))
        await trickle(writer, *DRIBBLES[case])

    async with playing(play, timeout=Timeouts(idle=0.6)) as client:
        with pytest.raises(onplan.IdleTimeoutError, match="stopped answering"):
            await asyncio.wait_for(client.complete(REQUEST), 60)


@pytest.mark.parametrize(
    "beginning", [b"", b"\x81", b"\x81\x7f\x00"], ids=["nothing", "a byte", "half a head"]
)
async def test_a_server_that_answers_no_ping_is_given_up(beginning: bytes) -> None:
    """Silence without an answer to our pings is a broken connection, before the time for silence is over."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await trickle(writer, beginning, b"")

    async with playing(play, timeout=Timeouts(idle=0.6)) as client:
        with pytest.raises(onplan.DisconnectError, match="does not answer any more"):
            await asyncio.wait_for(client.complete(REQUEST), 60)


async def test_a_server_that_pauses_while_it_is_held_up_is_given_up() -> None:
    """After the program has taken what waited, silence counts again."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(30):
            writer.write(frames.encode(frames.TEXT, delta("x" * 100_000).encode()))
        await trickle(writer, b"", frames.encode(frames.PING, b"x"))

    async with (
        playing(play, timeout=Timeouts(idle=0.6)) as client,
        aclosing(client.complete_stream(REQUEST)) as stream,
    ):
        await anext(stream)
        await asyncio.sleep(1.2)  # longer than a server may be silent
        with pytest.raises(onplan.IdleTimeoutError):
            await asyncio.wait_for(_read_all(stream), 60)


async def _read_all(stream: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in stream]


async def test_a_large_message_may_take_its_time() -> None:
    """A message that goes on coming is not silent, although it takes longer than silence may last."""
    text, step = "x" * 2_000_000, 100_000
    data = frames.encode(frames.TEXT, delta(text).encode()) + frames.encode(frames.TEXT, COMPLETED.encode())

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await asyncio.sleep(0.1)
        await reader.read()

    async with playing(play, timeout=Timeouts(idle=1.8)) as client:
        assert (await client.complete(REQUEST)).text == text


async def test_a_server_that_takes_nothing_is_given_up() -> None:
    """A message that is not taken ends in an error of its own."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with playing(play, timeout=Timeouts(write=0.5)) as client:
        with pytest.raises(onplan.IdleTimeoutError, match="stopped listening"):
            await client.complete(CompletionRequest(messages="x" * 15_000_000, model="gpt-5.5"))


async def test_a_server_that_closes_while_it_is_spoken_to_is_heard() -> None:
    """A close frame counts at once, although the message has not been taken."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames.close(1008, "enough"))
        await asyncio.sleep(60)

    async with playing(play) as client:
        with pytest.raises(onplan.DisconnectError, match=r"1008: enough"):
            await client.complete(CompletionRequest(messages="x" * 15_000_000, model="gpt-5.5"))


# --- opening ------------------------------------------------------------------------------------


async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request, and say nothing."""
    await asyncio.sleep(60)


def saying(answer: bytes, more: bytes = b"", seconds: float = 0.02) -> Play:
    """Answer the request with that, and then with more, for ever."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await trickle(writer, answer, more, seconds)

    return play


# Those that end by themselves; and those that are given up when the time for connecting is over.
UPGRADES: dict[str, tuple[Play, type[onplan.OnplanError], int | None]] = {
    "a head without end": (saying(b"HTTP/1.1 101 X\r\nX: ", b"x" * 100_000, 0), onplan.DisconnectError, None),
    "headers without end": (
        saying(b"HTTP/1.1 101 X\r\n", b"X: a\r\n" * 8_000, 0),
        onplan.DisconnectError,
        None,
    ),
    "another protocol": (saying(b"SSH-2.0-OpenSSH_9.9\r\n"), onplan.DisconnectError, None),
    "a refusal without end": (saying(b"HTTP/1.1 503 No\r\n\r\n", b"x" * 100_000, 0), onplan.ServerError, 503),
    "a redirect": (
        saying(b"HTTP/1.1 307 X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        onplan.UnexpectedReplyError,
        307,
    ),
}
ENDLESS_UPGRADES: dict[str, tuple[Play, type[onplan.OnplanError], int | None]] = {
    "no answer": (ignore, onplan.IdleTimeoutError, None),
    "a head byte by byte": (saying(b"HTTP/1.1 101 X\r\nX: ", b"x"), onplan.IdleTimeoutError, None),
    "informational responses": (
        saying(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        onplan.IdleTimeoutError,
        None,
    ),
    "a refusal whose body does not come": (
        saying(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n"),
        onplan.ServerError,
        503,
    ),
    "a refusal byte by byte": (saying(b"HTTP/1.1 503 No\r\n\r\n", b"x"), onplan.ServerError, 503),
}


@pytest.mark.parametrize("case", UPGRADES | ENDLESS_UPGRADES)
async def test_what_does_not_open_it(case: str) -> None:
    """An answer that does not end, or is none, is given up in the time for connecting; a status counts."""
    play, kind, status = (UPGRADES | ENDLESS_UPGRADES)[case]
    limits = Timeouts(connect=30 if case in UPGRADES else 1.5, idle=60)
    async with raw(play) as url, onplan.AsyncClient(**ONCE, base_url=url, timeout=limits) as client:
        with pytest.raises(onplan.OnplanError) as caught:
            await asyncio.wait_for(client.complete(REQUEST), 60)

    assert (type(caught.value), caught.value.status_code) == (kind, status)


async def test_the_time_for_connecting_is_for_tls_as_well() -> None:
    """A server that takes the connection, but does not speak TLS, is one that cannot be reached."""
    async with (
        raw(ignore) as url,
        onplan.AsyncClient(
            **ONCE, base_url=url.replace("http", "https"), timeout=Timeouts(connect=0.3)
        ) as client,
    ):
        with pytest.raises(onplan.ConnectError, match="could not be reached"):
            await asyncio.wait_for(client.complete(REQUEST), 60)


@pytest.fixture
def nowhere() -> Iterator[int]:
    """A port that neither takes nor refuses a connection: the queue of its listener is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the system's resolver give these ports of this machine for a name."""

    def give(*ports: int) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)

    return give


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse connections to a full queue")
@pytest.mark.parametrize("good", [True, False], ids=["a good one", "another one"])
async def test_an_address_that_leads_nowhere(nowhere: int, resolve: Callable[..., None], good: bool) -> None:
    """One before a good one holds nothing up; where there is no good one, the time for connecting ends it."""

    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(delta("hello"))
        await connection.send(COMPLETED)

    limit = 30 if good else 0.8
    async with server(handler) as url:
        port = int(url.rpartition(":")[2])
        resolve(nowhere, port if good else nowhere)
        base_url = f"http://localhost:{port}"
        async with onplan.AsyncClient(**ONCE, base_url=base_url, timeout=Timeouts(connect=limit)) as client:
            if good:
                answer = asyncio.ensure_future(client.complete(REQUEST))
                await asyncio.wait([answer], timeout=20)  # long before the time for connecting is over
                assert answer.done()
                assert answer.result().text == "hello"
            else:
                with pytest.raises(onplan.ConnectError, match="could not be reached"):
                    await client.complete(REQUEST)


# --- tokens -------------------------------------------------------------------------------------


def _locals_with_token(error: BaseException | None) -> list[str]:
    """Where a traceback that shows local variables would print the token: frames of any library."""
    found, todo, seen = [], [error], set[int]()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        todo += [each.__cause__, each.__context__]
        for frame, _ in traceback.walk_tb(each.__traceback__):
            names = [name for name, value in frame.f_locals.items() if TOKEN in repr(value)]
            found += [f"{frame.f_code.co_filename}: {frame.f_code.co_name}: {name}" for name in names]
    return found


async def unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Open the connection, and take nothing more."""
    await upgraded(reader, writer)
    await asyncio.sleep(60)


async def thinking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Open the connection, take the message, and think."""
    await upgraded(reader, writer)
    await reader.read()


STAGES: dict[str, tuple[Play, str]] = {
    "while it is opened": (ignore, "hi"),
    "while the message is sent": (unread, "x" * 15_000_000),
    "while the answer is awaited": (thinking, "hi"),
}


@pytest.mark.parametrize("how", ["timeout", "cancel", "wait_for", "total"])
@pytest.mark.parametrize("stage", STAGES)
async def test_whatever_cuts_a_call_shows_no_token(stage: str, how: str) -> None:
    """No frame of a traceback, of whichever library, holds the token in a variable that can be printed."""
    play, text = STAGES[stage]
    request = CompletionRequest(messages=text, model="gpt-5.5")
    total = 0.5 if how == "total" else None
    async with (
        raw(play) as url,
        onplan.AsyncClient(**ONCE, base_url=url, timeout=Timeouts(total=total)) as client,
    ):
        task = asyncio.ensure_future(client.complete(request))
        try:
            if how == "cancel":
                await asyncio.wait([task], timeout=0.5)
                task.cancel()
                await task
            elif how == "wait_for":
                await asyncio.wait_for(task, 0.5)
            else:
                async with asyncio.timeout(0.5 if how == "timeout" else None):
                    await task
        except (TimeoutError, asyncio.CancelledError, onplan.TotalTimeoutError) as error:
            cut = error

    assert traceback.extract_tb(cut.__traceback__)
    assert _locals_with_token(cut) == []


# --- what the backend remembers -------------------------------------------------------------------

LOST, SENTENCE = "previous_response_not_found", "Previous response with id 'resp_1' not found."
NESTED = {"type": "invalid_request_error", "code": LOST, "message": SENTENCE}

FORGOTTEN: dict[str, dict[str, Any]] = {
    "nested": {"type": "error", "status": 400, "error": NESTED},
    "flat": {"type": "error", "status": 400, "code": LOST, "message": SENTENCE},
    "flat, without a status": {"type": "error", "code": LOST, "message": SENTENCE, "param": None},
    "flat, beside nulls": {
        "type": "error",
        "status": 400,
        "code": LOST,
        "message": SENTENCE,
        "error": {"type": "invalid_request_error", "code": None, "message": None},
    },
    "the code flat, the message nested": {"type": "error", "code": LOST, "error": {"message": SENTENCE}},
    "the message flat, the code nested": {"type": "error", "message": SENTENCE, "error": {"code": LOST}},
    "a word": {"type": "error", "error": LOST, "message": SENTENCE},
    "under another name": {"type": "response.error", "error": NESTED},
    "as the end of a response": {"type": "response.failed", "response": {"id": "r", "error": NESTED}},
    "without a type": {"status": 400, "error": NESTED},
    "in words alone": {"type": "error", "status": 400, "error": {"message": SENTENCE, "code": None}},
    "in words alone, flat": {"type": "error", "status_code": 400, "message": SENTENCE},
}


@asynccontextmanager
async def forgetful(complaint: dict[str, Any]) -> AsyncIterator[tuple[onplan.AsyncClient, list[Any]]]:
    """A client of a server that answers the first message of a connection, and complains of the second."""
    messages: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        first = True
        async for message in connection:
            messages.append(json.loads(message))
            await connection.send(COMPLETED if first else json.dumps(complaint))
            first = False

    async with server(handler) as url, onplan.AsyncClient(**ONCE, base_url=url) as client:
        yield client, messages


async def _two_turns(client: onplan.AsyncClient) -> None:
    """A conversation of two turns, which goes on from what the connection has heard."""
    messages = [onplan.Message.user("one")]
    first = await client.complete(CompletionRequest(messages=messages, model="gpt-5.5", session_id="s"))
    messages += [first.message, onplan.Message.user("two")]
    await client.complete(CompletionRequest(messages=messages, model="gpt-5.5", session_id="s"))


@pytest.mark.parametrize("shape", FORGOTTEN)
async def test_a_response_that_was_forgotten_is_said_again(shape: str) -> None:
    """In whichever shape the backend says so, everything is said again at once, on a new connection."""
    async with forgetful(FORGOTTEN[shape]) as (client, messages):
        await _two_turns(client)

    assert [message.get("previous_response_id") for message in messages] == [None, "resp_1", None]


OTHERS: dict[str, dict[str, Any]] = {
    "another code": {"type": "error", "status": 400, "code": "invalid_value", "message": "No."},
    "something else that was not found": {
        "type": "error",
        "status": 404,
        "error": {"code": "model_not_found", "message": "The model was not found."},
    },
    "other words": {"type": "error", "status": 400, "message": "A previous response cannot be used here."},
}


@pytest.mark.parametrize("shape", OTHERS)
async def test_another_refusal_is_not_said_again(shape: str) -> None:
    """What would be refused on any connection is an error, and nothing is said again."""
    async with forgetful(OTHERS[shape]) as (client, messages):
        with pytest.raises(onplan.OnplanError):
            await _two_turns(client)

    assert len(messages) == 2
