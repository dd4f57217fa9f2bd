"""No token, and no password of a proxy, in the local variables of any frame that an error drags along."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

import onplan
from onplan.stores import Record
from onplan.stores.memory import MemoryStore
from onplan.transports.tracebacks import forget_frames

from ..conftest import over_http, use_http

if TYPE_CHECKING:
    from tests.clients.conftest import Network, Reader, Writer

TOKEN, PASSWORD = "marked-token-0123456789", "marked-password"
ONCE = onplan.RetryPolicy(attempts=1)
BEGINNING = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: here\n\n"


def locals_of(error: BaseException | None, seen: set[int] | None = None) -> Iterator[str]:
    """The local variables of the frames of ``error`` and of all that it came from, without this file's."""
    seen = set() if seen is None else seen
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_qualname} {name} = {value!r}"
    yield from locals_of(error.__cause__, seen)
    yield from locals_of(error.__context__, seen)


def shown(error: BaseException) -> list[str]:
    """What of them holds a secret."""
    return [line for line in locals_of(error) if "marked" in line]


@pytest.fixture(params=["head", "body"])
def silent(request: pytest.FixtureRequest, network: Network) -> tuple[str, list[Callable[[], object]]]:
    """A server that stops in the head or in the body of its answer; what is in the list is then called."""
    then: list[Callable[[], object]] = []

    async def answer(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if request.param == "body":
            writer.write(BEGINNING)
            await writer.drain()
        for call in then:
            call()
            writer.write(b"H")  # a signal that comes just before a read begins does not end it: this does
            await writer.drain()
        await reader.read()

    return f"http://127.0.0.1:{network.serve(answer)}", then


def options_for(url: str, **more: Any) -> dict[str, Any]:
    store = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token=TOKEN)))
    return {"store": store, "base_url": url, "retry": ONCE, **more}


async def by_timeout(call: Awaitable[object]) -> None:
    async with asyncio.timeout(0.3):
        await call


async def by_cancelling(call: Awaitable[object]) -> None:
    task = asyncio.ensure_future(call)
    _, waiting = await asyncio.wait([task], timeout=0.3)
    assert waiting
    task.cancel()
    await task


@pytest.mark.parametrize("cut", [by_timeout, by_cancelling])
@pytest.mark.parametrize("kind", ["httptools", "aiohttp", "httpx2", "own-httpx2"])
def test_a_call_that_is_cut(
    silent: Any, monkeypatch: pytest.MonkeyPatch, kind: str, cut: Callable[[Awaitable[object]], Any]
) -> None:
    """A program's own limit around a call, or its cancelling, leaves no token in the traceback."""
    url, _ = silent
    use_http(kind, monkeypatch)

    async def ask() -> None:
        own = httpx2.AsyncClient() if kind == "own-httpx2" else None
        try:
            async with onplan.AsyncClient(**options_for(url, transport="sse", http_client=own)) as client:
                await cut(client.complete("hi"))
        finally:
            if own:
                await own.aclose()

    with pytest.raises((TimeoutError, asyncio.CancelledError)) as caught:
        asyncio.run(ask())

    assert shown(caught.value) == []


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize("own", [False, True])
def test_ctrl_c(silent: Any, own: bool) -> None:
    """Nor does Ctrl-C, in the middle of a synchronous call."""
    url, then = silent
    then.append(lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    http_client = httpx2.Client() if own else None
    try:
        with (
            onplan.Client(**options_for(url, http_client=http_client)) as client,
            pytest.raises(KeyboardInterrupt) as caught,
        ):
            client.complete("hi")
    finally:
        signal.signal(signal.SIGINT, before)
        if http_client:
            http_client.close()

    assert shown(caught.value) == []


@over_http
def test_an_error(driver: Any, silent: Any) -> None:
    """Nor does an error of ours, or what it came from."""
    url, _ = silent

    with pytest.raises(onplan.TransportError) as caught:
        driver(**options_for(url, timeout=onplan.Timeouts(idle=0.3, connect=0.3))).complete("hi")

    assert shown(caught.value) == []


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("kind", ["httptools", "aiohttp", "httpx2"])
def test_a_proxy_that_is_silent(
    network: Network, clean_environment: Any, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str
) -> None:
    """A call that is cut while a proxy is spoken to shows neither the token nor the proxy's password."""

    async def listen(reader: Reader, writer: Writer) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(4), 5)
            writer.write(b"\x05\x02" if scheme == "socks5" else b"")
            await reader.read()

    use_http(kind, monkeypatch)
    proxy = f"{scheme}://me:{PASSWORD}@127.0.0.1:{network.serve(listen)}"
    options = options_for("https://backend.invalid", transport="sse", proxy=proxy)

    async def ask() -> None:
        async with onplan.AsyncClient(**options) as client:
            await by_timeout(client.complete("hi"))

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(ask())

    assert shown(caught.value) == []


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("socks5", [b"\x05\x02", b"\x01\x01"]),
        ("socks5", [b"\x05\xff"]),
        ("socks5", [b"HTTP"]),
        ("http", [b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"]),
        ("http", [b"SSH-2.0\r\n\r\n"]),
    ],
)
@pytest.mark.parametrize("kind", ["httptools", "aiohttp", "httpx2", "websocket", "sync"])
def test_a_proxy_that_refuses(
    network: Network,
    clean_environment: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    scheme: str,
    said: list[bytes],
) -> None:
    """Its refusal shows neither the token nor the proxy's password."""

    async def listen(reader: Reader, writer: Writer) -> None:
        for words in said:
            await reader.read(65_536)
            writer.write(words)
        await reader.read()

    use_http(kind, monkeypatch)
    proxy = f"{scheme}://me:{PASSWORD}@127.0.0.1:{network.serve(listen)}"
    options = options_for(
        "https://backend.invalid", transport="websocket" if kind == "websocket" else "sse", proxy=proxy
    )

    async def ask_async() -> None:
        async with onplan.AsyncClient(**options) as client:
            await client.complete("hi")

    def ask() -> None:
        with onplan.Client(**options) as client:
            client.complete("hi")

    with pytest.raises(onplan.ProxyError) as caught:
        ask() if kind == "sync" else asyncio.run(ask_async())

    assert shown(caught.value) == []


# --- what is cut, and what is not -----------------------------------------------------------------------


def fail(error: BaseException) -> None:
    secret = "marked"
    raise error if secret else ValueError


def fail_twice() -> None:
    try:
        fail(ValueError("inner"))
    except ValueError as inner:
        secret = "marked"
        raise TypeError("outer") from (inner if secret else None)


def guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except BaseException as error:
        forget_frames(error)
        raise


def names(error: BaseException | None) -> list[str]:
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)] if error else []


def test_frames_below_are_forgotten() -> None:
    """Of an error, and of those that it came from, what lies below the call that was guarded is gone."""
    with pytest.raises(TypeError) as caught:
        guarded(fail_twice)

    assert names(caught.value)[-1] == "guarded"
    assert names(caught.value.__cause__) == []


def test_the_programs_own_error_stays_whole() -> None:
    """What a program was handling when it called keeps its traceback."""

    def handle() -> None:
        try:
            fail(KeyError("the program's"))
        except KeyError:
            guarded(fail_twice)

    with pytest.raises(TypeError) as caught:
        handle()

    context = caught.value.__cause__
    assert context
    assert names(context.__context__) == ["handle", "fail"]


def test_groups_are_looked_into() -> None:
    """The errors in a group lose their frames as well."""

    def fail_together() -> None:
        try:
            fail(ValueError("inner"))
        except ValueError as inner:
            raise BaseExceptionGroup("several", [inner]) from None

    with pytest.raises(BaseExceptionGroup) as caught:
        guarded(fail_together)

    assert names(caught.value.exceptions[0]) == []
