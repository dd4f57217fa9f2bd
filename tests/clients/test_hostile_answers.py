"""Answers that never come to anything, although bytes come all the time; and those that only seem so."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import signal
import threading
import warnings
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

import onplan
from onplan.emulator import Emulator
from onplan.errors import IdleTimeoutError
from onplan.stores import Record
from onplan.stores.memory import MemoryStore
from onplan.transports import base
from onplan.transports.per_loop_client import PerLoopClient, running_loop
from onplan.transports.silence import Silence

from ..conftest import eventually, over_http, use_http
from .exact import events

if TYPE_CHECKING:
    from tests.clients.conftest import Far, Network, Reader, Writer

ONCE = onplan.RetryPolicy(attempts=1)
REQUEST = onplan.CompletionRequest(messages="hi", model="gpt-5.5")
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
WHOLE = events(
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "yes"},
    {
        "type": "response.completed",
        "response": {
            "id": "r",
            "status": "completed",
            "output": [
                {
                    "type": "message",
                    "id": "m",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "yes"}],
                }
            ],
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        },
    },
)


def options_for(port: int, **more: Any) -> dict[str, Any]:
    store = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="token")))
    return {"store": store, "base_url": f"http://127.0.0.1:{port}", "retry": ONCE, **more}


def answering(first: bytes, pieces: Iterable[bytes], pause: float = 0.0) -> Callable[..., Any]:
    """A server that says ``first``, and each piece after ``pause`` seconds."""

    async def answer(reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0))
        writer.write(first)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        writer.write_eof()
        await reader.read()  # until the client leaves

    return answer


class Endless:
    """The same piece for ever, or until the client has had enough."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def __iter__(self) -> Any:
        for _ in range(600):
            yield self._piece


@over_http
@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        (OK, b"x: y\r\n"),
        (OK + b"x: ", b"y"),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 503 Unavailable\r\n\r\n", b"busy "),
        (OK + b"\r\n", b": here\n\n"),
        (OK + b"\r\n", b": here\n"),
        (OK + b"\r\n", b":"),
        (OK + b"\r\n", b"\n"),
        (OK + b"\r\n", b"\r\n"),
        (OK + b"\r\n", b" "),
        (OK + b"\r\n", b"event: ping\n\n"),
        (OK + b"\r\n", b"id: 1\nretry: 5\n\n"),
        (CHUNKED, b"7\r\n: here\n\r\n"),
        (CHUNKED + b"5;", b"x"),
    ],
)
def test_what_leads_nowhere_is_silence(
    network: Network, clean_environment: Any, driver: Any, first: bytes, piece: bytes
) -> None:
    """Informational responses, headers, comments, empty lines and empty events count as silence."""
    port = network.serve(answering(first, Endless(piece), 0.05))

    with pytest.raises(onplan.IdleTimeoutError):
        driver(**options_for(port, timeout=onplan.Timeouts(idle=0.6, total=25))).complete(REQUEST)


@over_http
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"]
)
def test_a_body_has_an_end(
    network: Network, clean_environment: Any, driver: Any, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """A catalogue or a refusal that is larger than any real one is not read to its end."""
    monkeypatch.setattr(base, "MAXIMUM_BODY_SIZE", 1_000_000)
    port = network.serve(answering(head, Endless(b" " * 65_536)))

    with pytest.raises(onplan.UnexpectedReplyError, match="more than 1,000,000 bytes"):
        driver(**options_for(port, store="memory:"), backend="openai", api_key="k").complete(
            onplan.CompletionRequest(messages="hi")
        )


@over_http
@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (OK, b"x: y\r\n" * 1000),
        (OK + b"x: ", b"y" * 65_536),
        (CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
    ],
)
def test_a_head_has_an_end(
    network: Network, clean_environment: Any, driver: Any, first: bytes, piece: bytes
) -> None:
    """What comes at full speed is given up as well, and before long."""
    port = network.serve(answering(first, Endless(piece)))

    with pytest.raises((onplan.TransportError, onplan.StreamError)) as caught:
        driver(**options_for(port, timeout=onplan.Timeouts(idle=1, total=25))).complete(REQUEST)

    assert not isinstance(caught.value, onplan.TotalTimeoutError)


@over_http
@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE[place : place + 1 + len(WHOLE) // 8] for place in range(0, len(WHOLE), 1 + len(WHOLE) // 8)],
        [b": here\n\n", WHOLE],
        [b": here\n\n", WHOLE[:60], b"", WHOLE[60:]],
    ],
)
def test_what_goes_on_is_no_silence(
    network: Network, clean_environment: Any, driver: Any, pieces: list[bytes]
) -> None:
    """An event that comes slowly, for longer than the limit, is waited for; and so is one after comments."""
    port = network.serve(answering(OK + b"connection: close\r\n\r\n", pieces, 0.25))

    answer = driver(**options_for(port, timeout=onplan.Timeouts(idle=1.9))).complete(REQUEST)

    assert answer.text == "yes"


@pytest.mark.parametrize(
    ("reads", "silent_after"),
    [
        ([b": a\n\n"] * 4, 3),
        ([b": a", b"bc", b"d\n\n", b": a\n\n"], 3),
        ([b"\n", b"\r\n", b"\r", b"  "], 3),
        ([b"event: x\n\n", b"id: 1\n", b"retry: 1\n", b"\n"], 3),
        ([b"datum: x\n", b"database\n", b"dat\n", b"\n"], None),
        ([b"data: a", b"b", b"c", b"d"], None),
        ([b"d", b"a", b"t", b"a: x"], None),
        ([b'{"a":', b" 1,", b' "b":', b" 2}"], None),
        ([b": a\n", b": b\n", b"data: x\n", b": c\n"], None),
        ([b": data: x\n", b": data: x\n", b":data: x\n", b": \n"], 3),
    ],
)
def test_what_counts_as_silence(reads: list[bytes], silent_after: int | None) -> None:
    """Only lines of data break the silence, wherever the reads are cut."""
    silence = Silence(2.5, "https://a.example")
    found = None
    for number, data in enumerate(reads):
        try:
            silence.check(data, float(number))
        except IdleTimeoutError:
            found = number
            break

    assert found == silent_after


def test_an_event_ends_the_silence() -> None:
    """It is counted anew from the next read on."""
    silence = Silence(2.5, "https://a.example")
    for moment in (0.0, 2.0):
        silence.check(b": a\n\n", moment)
    silence.end()
    for moment in (3.0, 5.0):
        silence.check(b": a\n\n", moment)

    with pytest.raises(IdleTimeoutError, match=r"sent only keep-alive messages for 2\.5 seconds"):
        silence.check(b": a\n\n", 6.0)


# --- compressed answers ---------------------------------------------------------------------------------


def compressed(encoding: str, pieces: list[bytes]) -> list[bytes]:
    """Each piece can be read before the next one comes."""
    with_header = 31 if encoding == "gzip" else 15
    packing = zlib.compressobj(wbits=with_header)
    return [packing.compress(piece) + packing.flush(zlib.Z_SYNC_FLUSH) for piece in pieces] + [
        packing.flush()
    ]


@over_http
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_stream(network: Network, clean_environment: Any, driver: Any, encoding: str) -> None:
    """Its events come one by one, and its end is the stream's."""
    pieces = compressed(encoding, [WHOLE[:40], WHOLE[40:200], WHOLE[200:]])
    first = OK + f"content-encoding: {encoding}\r\nconnection: close\r\n\r\n".encode()

    chunks = driver(**options_for(network.serve(answering(first, pieces, 0.05)))).chunks(REQUEST)

    assert [chunk.type for chunk in chunks][-1] == "done"
    assert chunks[-1].response.text == "yes"


@over_http
def test_a_compressed_refusal(network: Network, clean_environment: Any, driver: Any) -> None:
    """Its words are read."""
    body = gzip.compress(b'{"error": {"message": "no such thing", "code": "x"}}')
    fields = f"content-encoding: gzip\r\nconnection: close\r\ncontent-length: {len(body)}"
    head = f"HTTP/1.1 400 No\r\n{fields}\r\n\r\n".encode()

    with pytest.raises(onplan.InvalidRequestError, match="no such thing"):
        driver(**options_for(network.serve(answering(head, [body])))).complete(REQUEST)


@over_http
@pytest.mark.parametrize("encoding", ["aws-chunked", "gzip, rot13"])
def test_an_encoding_that_was_not_asked_for(
    network: Network, clean_environment: Any, driver: Any, encoding: str
) -> None:
    """It is named, and what came is not taken for a damaged stream."""
    first = OK + f"content-encoding: {encoding}\r\nconnection: close\r\n\r\n".encode()

    with pytest.raises(onplan.DisconnectError, match="which was not accepted"):
        driver(**options_for(network.serve(answering(first, [WHOLE])))).complete(REQUEST)


@over_http
def test_a_refusal_in_an_encoding_that_was_not_asked_for(
    network: Network, clean_environment: Any, driver: Any
) -> None:
    """Its status counts, as its words cannot be read."""
    head = (
        b"HTTP/1.1 400 No\r\ncontent-encoding: aws-chunked\r\nconnection: close\r\ncontent-length: 3\r\n\r\n"
    )

    with pytest.raises(onplan.InvalidRequestError):
        driver(**options_for(network.serve(answering(head, [b"abc"])))).complete(REQUEST)


# --- several event loops, and forks ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["httptools", "aiohttp", "httpx2"])
def test_two_loops_keep_their_connections(
    emulator: Emulator,
    far: Far,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    pass_on: Any,
    kind: str,
) -> None:
    """One client in two event loops at once uses a connection for each, again and again."""
    use_http(kind, monkeypatch)
    connections: list[object] = []

    async def count(reader: Reader, writer: Writer) -> None:
        connections.append(writer)
        await pass_on(reader, writer, "127.0.0.1", int(emulator.issuer.rpartition(":")[2]))

    url = emulator.codex_base_url.replace(emulator.issuer, f"http://127.0.0.1:{network.serve(count)}")
    client = onplan.AsyncClient(store=far.store(), base_url=url, transport="sse", retry=ONCE)
    texts: list[str] = []
    turns = threading.Barrier(2)

    async def ask() -> None:
        for _ in range(5):
            await asyncio.to_thread(turns.wait, 20)
            texts.append((await client.complete(REQUEST)).text)
        await client.close()

    threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert texts == ["You said: hi"] * 10
    assert len(connections) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_client_is_made() -> None:
    """A child that is forked while another thread makes its client makes its own and waits for none."""
    making, over = threading.Event(), threading.Event()
    parent = os.getpid()

    def make() -> object:
        if os.getpid() == parent:
            making.set()
            over.wait(300)
        return object()

    owner: PerLoopClient[object] = PerLoopClient(make, None, os.getpid)
    thread = threading.Thread(target=owner.get)
    thread.start()
    assert making.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to fork beside a thread is what is tried here
        child = os.fork()
    if not child:
        signal.alarm(100)
        owner.get()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    over.set()
    thread.join()

    assert status == 0


def test_threads_share_a_client() -> None:
    """However many are first, all use the same one in the end."""
    start = threading.Barrier(8)
    owner: PerLoopClient[object] = PerLoopClient(object, None, os.getpid)
    found: list[object] = []

    def use() -> None:
        start.wait(20)
        found.append(owner.get())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(set(map(id, found))) == 1


def test_clients_of_dead_loops_are_dropped(signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that outlives many event loops keeps nothing of those that are closed."""
    made: list[object] = []
    owner: PerLoopClient[object] = PerLoopClient(
        lambda: made.append(object()) or made[-1], None, running_loop
    )

    async def use() -> None:
        assert owner.get() is owner.get()

    for _ in range(5):
        asyncio.run(use())

    assert len(made) == 5
    assert len(owner._made) == 1


@pytest.mark.parametrize("kind", ["httptools", "aiohttp", "httpx2", "websocket"])
def test_a_loop_that_ends_closes_its_connections(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A client that is used by one ``asyncio.run`` after another, and never closed, leaves nothing open."""
    if kind != "websocket":
        use_http(kind, monkeypatch)
    client = onplan.AsyncClient(transport="websocket" if kind == "websocket" else "sse")

    def open_files() -> int:
        gc.collect()
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - names alone

    def ask(client: onplan.AsyncClient) -> None:
        assert asyncio.run(client.complete("hi")).text == "You said: hi"

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ask(client)
        before = open_files()
        for _ in range(3):
            ask(client)
        eventually(lambda: open_files() <= before)  # the emulator closes its ends in its own time
        del client
        gc.collect()

    assert [str(each.message) for each in warned] == []


async def test_a_head_that_does_not_come_to_a_client_of_the_users_own(network: Network) -> None:
    """The limit for a head holds for their client as well."""
    port = network.serve(answering(b"", Endless(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.05))

    async with (
        httpx2.AsyncClient() as own,
        onplan.AsyncClient(
            **options_for(port, http_client=own, timeout=onplan.Timeouts(idle=0.5, total=25))
        ) as client,
    ):
        with pytest.raises(onplan.IdleTimeoutError):
            await client.complete(REQUEST)
