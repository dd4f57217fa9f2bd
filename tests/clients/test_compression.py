"""Request bodies: where they are made smaller, and what becomes of a server that does not take them so."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

import onplan
from onplan.emulator import Emulator
from onplan.transports import compression

from ..conftest import use_http

if TYPE_CHECKING:
    from tests.clients.conftest import Far, Network, Reader, Writer

SMALL = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
LARGE = onplan.CompletionRequest(messages="one two three " * 3_000, model="gpt-5.5")
HUGE = onplan.CompletionRequest(messages="one two three " * 30_000, model="gpt-5.5")


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    """Which library there is, is asked once in a process."""
    compression._compressor.cache_clear()
    yield
    compression._compressor.cache_clear()


@pytest.fixture(params=["sync", "async", "async-aiohttp", "async-httpx2"])
def client(
    request: pytest.FixtureRequest, far: Far, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Ask over HTTP, several things with one client; gives the answers, or the errors."""
    use_http(request.param, monkeypatch)
    options = {"store": far.store(), "retry": onplan.RetryPolicy(attempts=1)}
    return partial(_ask if request.param == "sync" else _ask_async, options)


def _ask(options: Any, *requests: Any, **more: Any) -> list[Any]:
    with onplan.Client(**{**options, **more}) as client:
        return [_outcome(client.complete, request) for request in requests]


def _outcome(ask: Any, request: Any) -> Any:
    try:
        return ask(request).text
    except onplan.OnplanError as error:
        return error


def _ask_async(options: Any, *requests: Any, **more: Any) -> list[Any]:
    async def ask() -> list[Any]:
        outcomes: list[Any] = []
        async with onplan.AsyncClient(**{**options, **more}, transport="sse") as client:
            for request in requests:
                try:
                    outcomes.append((await client.complete(request)).text)
                except onplan.OnplanError as error:
                    outcomes.append(error)
        return outcomes

    return asyncio.run(ask())


def sent(emulator: Emulator) -> list[str | None]:
    """The content encodings that came."""
    return [row["headers"].get("content-encoding") for row in emulator.journal() if row["method"] == "POST"]


def test_a_large_body_is_made_smaller(emulator: Emulator, client: Callable[..., Any]) -> None:
    """From 16 kB on the plan's backend gets zstd, and understands it; what is smaller goes as it is."""
    answers = client(SMALL, LARGE, HUGE, base_url=emulator.codex_base_url)

    assert [answer[:13] for answer in answers] == ["You said: one"] * 3
    assert sent(emulator) == [None, "zstd", "zstd"]
    rows = [row for row in emulator.journal() if row["method"] == "POST"]
    assert rows[2]["body"]["input"][0]["content"][0]["text"] == "one two three " * 30_000
    assert int(rows[2]["headers"]["content-length"]) < 50_000


def test_without_a_library(
    emulator: Emulator, client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no zstd, bodies go as they are."""
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)

    client(LARGE, base_url=emulator.codex_base_url)

    assert sent(emulator) == [None]


def test_a_backend_that_does_not_say_that_it_takes_them(
    emulator: Emulator, client: Callable[..., Any]
) -> None:
    """Where an API key pays, and for any server that speaks the same, bodies go as they are."""
    answers = client(
        LARGE,
        backend="openai",
        base_url=emulator.urls["openai_base_url"],
        api_key="sk-emulated",
        store="memory:",
    )

    assert answers[0][:13] == "You said: one"
    assert sent(emulator) == [None]


async def test_a_websocket_says_things_as_they_are(emulator: Emulator, far: Far) -> None:
    """Messages over a WebSocket are not compressed: they hold only what is new."""
    async with onplan.AsyncClient(store=far.store(), base_url=emulator.codex_base_url) as own:
        answer = await own.complete(LARGE)

    assert answer.text[:13] == "You said: one"
    assert [row.get("transport") for row in emulator.journal() if row["method"] == "POST"] == ["websocket"]
    assert sent(emulator) == [None]


@pytest.fixture
def strict(network: Network, emulator: Emulator, pass_on: Any) -> Callable[..., tuple[str, list[str]]]:
    """The emulator behind a server that refuses what is encoded; gives its address, and what it was sent."""
    place = int(emulator.issuer.rpartition(":")[2])

    def start(status: str, complaint: str, *, always: bool = False) -> tuple[str, list[str]]:
        encodings: list[str] = []

        async def answer(reader: Reader, writer: Writer) -> None:
            said = await reader.readuntil(b"\r\n\r\n")
            head = said.decode().lower()
            encoded = "content-encoding: zstd" in head
            encodings.append("zstd" if encoded else "none")
            if encoded or always:
                size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                await reader.readexactly(size)
                lines = [f"HTTP/1.1 {status}", "connection: close", "content-type: application/json"]
                writer.write(
                    "\r\n".join([*lines, f"content-length: {len(complaint)}", "", complaint]).encode()
                )
                await writer.drain()
                await asyncio.sleep(0.05)
            else:
                await pass_on(reader, writer, "127.0.0.1", place, said)

        return emulator.codex_base_url.replace(str(place), str(network.serve(answer))), encodings

    return start


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ("415 Unsupported Media Type", ""),
        ("400 Bad Request", '{"detail":"Unsupported Content-Encoding"}'),
        ("422 Unprocessable", '{"detail":"zstd?"}'),
    ],
)
def test_a_server_that_refuses_it(
    emulator: Emulator,
    client: Callable[..., Any],
    strict: Callable[..., tuple[str, list[str]]],
    status: str,
    complaint: str,
) -> None:
    """A refusal of the encoding is not the program's to see: it goes again as it is, and so does the rest."""
    url, encodings = strict(status, complaint)

    answers = client(LARGE, LARGE, base_url=url)

    assert [answer[:13] for answer in answers] == ["You said: one"] * 2
    assert encodings == ["zstd", "none"]  # the second one's connection is used again
    assert sent(emulator) == [None, None]


def test_a_refusal_of_something_else(
    client: Callable[..., Any], strict: Callable[..., tuple[str, list[str]]]
) -> None:
    """Any other complaint is the program's, whole, and nothing is sent twice."""
    url, encodings = strict("400 Bad Request", '{"detail":"Unknown tool"}', always=True)

    (error,) = client(LARGE, base_url=url)

    assert isinstance(error, onplan.InvalidRequestError)
    assert "Unknown tool" in str(error)
    assert encodings == ["zstd"]


async def test_it_does_not_hold_up_the_loop(
    emulator: Emulator, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer than a fraction of a millisecond is done by another thread."""
    threads: list[threading.Thread] = []
    real = zstandard.ZstdCompressor

    def watched(**options: Any) -> Any:
        threads.append(threading.current_thread())
        return real(**options)

    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setattr(zstandard, "ZstdCompressor", watched)
    async with onplan.AsyncClient(
        store=far.store(), base_url=emulator.codex_base_url, transport="sse"
    ) as own:
        await own.complete(LARGE)
        await own.complete(HUGE)

    assert [thread is threading.main_thread() for thread in threads] == [True, False]
