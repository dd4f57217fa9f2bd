"""Leaving: whoever cancels or stops reading has the upstream closed at once, wherever it was."""

from __future__ import annotations

import asyncio
import gc
import secrets
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan.emulator import Emulator

from ..conftest import use_http

if TYPE_CHECKING:
    from tests.clients.conftest import Far, Network, Reader, Writer

REQUEST = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")


@pytest.fixture(params=["httptools", "aiohttp", "httpx2", "websocket"])
def make(
    request: pytest.FixtureRequest, far: Far, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., onplan.AsyncClient]:
    """An asynchronous client for an address, over each transport."""
    use_http(request.param, monkeypatch)
    transport: Any = "websocket" if request.param == "websocket" else "sse"
    return lambda url, **options: onplan.AsyncClient(
        store=far.store(), base_url=url, transport=transport, **options
    )


class Visit:
    """One client's visit to a server: that it came as far as was meant, and that it left."""

    def __init__(self) -> None:
        self.reached, self.left = threading.Event(), threading.Event()

    async def until_left(self, reader: Reader) -> None:
        self.reached.set()
        try:
            while await reader.read(65_536):
                pass
        finally:
            self.left.set()


@pytest.fixture
def visit() -> Visit:
    """The only one of a test."""
    return Visit()


async def cancelled(client: onplan.AsyncClient, visit: Visit, request: Any = REQUEST) -> None:
    """Cancel when the server has seen enough; then it sees the client leave, which is still open."""
    task = asyncio.ensure_future(client.complete(request))
    assert await asyncio.to_thread(visit.reached.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(visit.left.wait, 20)


async def test_cancelled_while_connecting(make: Any, network: Network, visit: Visit) -> None:
    """While TLS is being spoken of."""

    async def listen(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(1)
        await visit.until_left(reader)

    async with make(f"https://127.0.0.1:{network.serve(listen)}") as client:
        await cancelled(client, visit)


async def test_cancelled_while_sending(
    make: Any, network: Network, visit: Visit, upgraded: Callable[[Reader, Writer], Awaitable[bool]]
) -> None:
    """While a large request is on its way to a server that reads none of it until the client has left."""
    gone = threading.Event()
    large = onplan.CompletionRequest(messages=secrets.token_hex(7_000_000), model="gpt-5.5")

    async def hold(reader: Reader, writer: Writer) -> None:
        await upgraded(reader, writer)
        await reader.readexactly(1)
        visit.reached.set()
        await asyncio.to_thread(gone.wait, 20)
        await visit.until_left(reader)

    async with make(f"http://127.0.0.1:{network.serve(hold)}") as client:
        task = asyncio.ensure_future(client.complete(large))
        assert await asyncio.to_thread(visit.reached.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)  # what is aborted, is so in the loop's next round
        gone.set()
        assert await asyncio.to_thread(visit.left.wait, 20)


async def test_cancelled_before_the_head(make: Any, network: Network, visit: Visit) -> None:
    """While nothing has been answered."""

    async def wait(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await visit.until_left(reader)

    async with make(f"http://127.0.0.1:{network.serve(wait)}") as client:
        await cancelled(client, visit)


async def test_cancelled_while_reading(make: Any, emulator: Emulator, ended: Any) -> None:
    """While an answer is arriving."""
    emulator.arm("stall", times=1)
    first = asyncio.Event()

    async def read(client: onplan.AsyncClient) -> None:
        async for _ in client.complete_stream(REQUEST):
            first.set()

    async with make(emulator.codex_base_url) as client:
        task = asyncio.ensure_future(read(client))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(ended, emulator)


async def test_cancelled_while_waiting_to_try_again(make: Any, emulator: Emulator) -> None:
    """Between two tries nothing is open, and nobody tries again."""
    emulator.arm("rate_limited_429", times=2)
    waiting = asyncio.Event()

    def on_retry(error: Exception, seconds: float) -> None:
        waiting.set()

    async with make(emulator.codex_base_url, on_retry=on_retry) as client:
        task = asyncio.ensure_future(client.complete(REQUEST))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert len([row for row in emulator.journal() if row["method"] == "POST"]) == 1


async def test_a_generator_that_nobody_reads_any_more(make: Any, emulator: Emulator, ended: Any) -> None:
    """A ``for`` that is left, without more ado, closes the upstream as soon as the generator is let go."""
    emulator.arm("stall", times=1)

    async def read_one(client: onplan.AsyncClient) -> None:
        async for _ in client.complete_stream(REQUEST):
            break

    async with make(emulator.codex_base_url) as client:
        await read_one(client)
        gc.collect()
        await asyncio.to_thread(ended, emulator)


def test_a_synchronous_generator(emulator: Emulator, far: Far, ended: Any) -> None:
    """The same without an event loop."""
    emulator.arm("stall", times=1)
    with onplan.Client(store=far.store(), base_url=emulator.codex_base_url) as client:
        for _ in client.complete_stream(REQUEST):
            break
        ended(emulator)
