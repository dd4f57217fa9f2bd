"""Limits: how long connecting, sending, waiting and a whole turn may take, on every transport."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import onplan
from onplan import async_client_parts, client_parts
from onplan.async_client import Exchange as AsyncExchange
from onplan.client import Exchange
from onplan.emulator import Emulator
from onplan.stores import CredentialStore, Record
from onplan.stores.memory import MemoryStore
from onplan.transports.total_timeout import TotalTimeout
from onplan.turn.flows import completion

if TYPE_CHECKING:
    from tests.clients.conftest import Far, Network, Reader, Writer

REQUEST = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
ONCE = onplan.RetryPolicy(attempts=1)


@pytest.fixture
def store() -> CredentialStore:
    """A sign-in that nobody looks at."""
    return MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="token")))


@pytest.fixture(scope="module")
def large() -> onplan.CompletionRequest:
    """More than a network holds on its way, compressed or not; not too much for a WebSocket."""
    return onplan.CompletionRequest(messages=secrets.token_hex(8_000_000), model="gpt-5.5")


def test_a_server_that_stops_reading(
    network: Network,
    store: CredentialStore,
    driver: Any,
    upgraded: Callable[[Reader, Writer], Awaitable[bool]],
    large: onplan.CompletionRequest,
) -> None:
    """A large request that nobody takes is given up after the write limit, whatever the others are."""

    async def ignore(reader: Reader, writer: Writer) -> None:
        await upgraded(reader, writer)
        await network.until_over()

    port = network.serve(ignore)

    with pytest.raises(onplan.IdleTimeoutError, match="stopped listening"):
        driver(
            store=store, base_url=f"http://127.0.0.1:{port}", timeout=onplan.Timeouts(write=0.3), retry=ONCE
        ).complete(large)


def test_a_server_that_reads_slowly(
    emulator: Emulator,
    network: Network,
    far: Far,
    driver: Any,
    large: onplan.CompletionRequest,
) -> None:
    """As long as something is taken the write limit does not count, however long all of it takes."""
    emulator.world.scenario = msgspec.structs.replace(emulator.world.scenario, context_window=10**8)
    port = int(emulator.issuer.rpartition(":")[2])

    async def slowly(reader: Reader, writer: Writer) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)

        async def back() -> None:
            while data := await upstream_reader.read(65_536):
                writer.write(data)

        answering = asyncio.ensure_future(back())
        try:
            upstream_writer.write(await reader.readuntil(b"\r\n\r\n"))
            for _ in range(12):  # which takes longer than the limit
                upstream_writer.write(await reader.readexactly(500_000))
                await asyncio.sleep(0.1)
            while data := await reader.read(1_000_000):
                upstream_writer.write(data)
                await upstream_writer.drain()
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            upstream_writer.transport.abort()

    url = far.near_url().replace(str(far.port), str(network.serve(slowly, far.context())))

    answer = driver(store=far.store(), base_url=url, timeout=onplan.Timeouts(write=1.1), retry=ONCE).complete(
        large
    )

    assert answer.text.startswith("You said: ")


def test_a_server_that_does_not_shake_hands(network: Network, store: CredentialStore, driver: Any) -> None:
    """The limit for making a connection includes TLS."""
    port = network.serve(silent)

    with pytest.raises(onplan.TransportError):
        driver(
            store=store,
            base_url=f"https://127.0.0.1:{port}",
            timeout=onplan.Timeouts(connect=0.2),
            retry=ONCE,
        ).complete(REQUEST)


async def silent(reader: Reader, writer: Writer) -> None:
    while await reader.read(65_536):
        pass


# --- the whole turn -------------------------------------------------------------------------------------


def test_a_turn_that_stalls(
    emulator: Emulator, far: Far, driver: Any, ended: Callable[[Emulator], None]
) -> None:
    """After the total limit the turn ends with an error of its own, and the upstream is closed at once."""
    emulator.arm("stall", times=3)
    chunks: list[onplan.StreamChunk] = []

    with pytest.raises(onplan.TotalTimeoutError, match=r"after 1\.5 seconds") as caught:
        driver(  # the answer must begin within the limit
            store=far.store(), base_url=emulator.codex_base_url, timeout=onplan.Timeouts(total=1.5)
        ).chunks(REQUEST, keep=chunks)

    assert chunks
    assert (caught.value.exit_code, caught.value.code) == (45, "total_timeout")
    assert "Timeouts(total=" in caught.value.hint
    ended(emulator)


def test_a_turn_that_trickles(
    network: Network,
    store: CredentialStore,
    driver: Any,
    upgraded: Callable[[Reader, Writer], Awaitable[bool]],
) -> None:
    """Signs of life that lead to nothing do not put it off."""

    async def trickle(reader: Reader, writer: Writer) -> None:
        is_websocket = await upgraded(reader, writer)
        if not is_websocket:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for _ in range(200):
            writer.write(b'\x81\x0c{"type":"x"}' if is_websocket else b": still here\n\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    port = network.serve(trickle)

    with pytest.raises(onplan.TotalTimeoutError):
        driver(store=store, base_url=f"http://127.0.0.1:{port}", timeout=onplan.Timeouts(total=0.5)).complete(
            REQUEST
        )


def test_a_turn_that_does_not_begin(
    emulator: Emulator, far: Far, driver: Any, ended: Callable[[Emulator], None]
) -> None:
    """The limit holds while nothing has come yet."""
    emulator.arm("slow_first_byte", times=3, seconds=30)

    with pytest.raises(onplan.TotalTimeoutError):
        driver(  # the request must arrive within the limit
            store=far.store(), base_url=emulator.codex_base_url, timeout=onplan.Timeouts(total=1.5)
        ).complete(REQUEST)

    ended(emulator)


def test_a_turn_that_cannot_connect(network: Network, store: CredentialStore, driver: Any) -> None:
    """It holds while a connection is being made."""
    port = network.serve(silent)

    with pytest.raises(onplan.TotalTimeoutError):
        driver(
            store=store, base_url=f"https://127.0.0.1:{port}", timeout=onplan.Timeouts(total=0.3)
        ).complete(REQUEST)


def test_a_turn_that_waits_to_be_tried_again(emulator: Emulator, far: Far, driver: Any) -> None:
    """It holds while nothing is asked, between two tries."""
    emulator.arm("rate_limited_429", times=5)

    with pytest.raises(onplan.TotalTimeoutError):
        driver(
            store=far.store(), base_url=emulator.codex_base_url, timeout=onplan.Timeouts(total=0.3)
        ).complete(REQUEST)


def test_a_turn_that_is_not_read_to(
    network: Network, store: CredentialStore, driver: Any, large: onplan.CompletionRequest
) -> None:
    """It holds while a request is being sent."""

    async def unread(reader: Reader, writer: Writer) -> None:
        await network.until_over()

    port = network.serve(unread)

    with pytest.raises(onplan.TotalTimeoutError):
        driver(store=store, base_url=f"http://127.0.0.1:{port}", timeout=onplan.Timeouts(total=0.5)).complete(
            large
        )


def test_a_turn_within_its_limit(emulator: Emulator, far: Far, driver: Any) -> None:
    """A limit that is long enough changes nothing, and the connection is used again."""
    answer = driver(
        store=far.store(), base_url=emulator.codex_base_url, timeout=onplan.Timeouts(total=60)
    ).complete(REQUEST)

    assert answer.text == "You said: one two three"


async def test_a_limit_of_one_turn(signed_in: Emulator) -> None:
    """A turn that is given a limit keeps to it in a client that has none, until it is lifted."""
    signed_in.arm("slow_first_byte", 4, 0.4)

    def ask(client: onplan.Client, total: TotalTimeout) -> str:
        with Exchange(client, completion(REQUEST, client_parts.context_of(client)), total) as exchange:
            while exchange.advance() is not None:
                pass
        return exchange.result.text

    async def ask_async(client: onplan.AsyncClient, total: TotalTimeout) -> str:
        turn = completion(REQUEST, async_client_parts.context_of(client))
        async with AsyncExchange(client, turn, total) as exchange:
            while await exchange.advance() is not None:
                pass
        return exchange.result.text

    lifted = TotalTimeout(0.1)
    lifted.lift()
    with onplan.Client() as client:
        with pytest.raises(onplan.TotalTimeoutError, match=r"0\.1 seconds"):
            ask(client, TotalTimeout(0.1))
        assert ask(client, lifted) == "You said: one two three"
    async with onplan.AsyncClient() as client_:
        with pytest.raises(onplan.TotalTimeoutError, match=r"0\.1 seconds"):
            await ask_async(client_, TotalTimeout(0.1))
        assert await ask_async(client_, lifted) == "You said: one two three"
