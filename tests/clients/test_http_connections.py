"""Connections between exchanges and in the middle of one: kept, closed, lost, held up. Real sockets."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from onplan.errors import DisconnectError, IdleTimeoutError, TransportError
from onplan.flow import Request, Response
from onplan.transports import AsyncTransport, Timeouts, choose
from onplan.transports.route import Route

from ..conftest import eventually, use_http

if TYPE_CHECKING:
    from tests.clients.conftest import Network, Reader, Writer

Use = Callable[[AsyncTransport], Coroutine[Any, Any, Any]]

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"content-length: 2\r\n\r\nab"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Server:
    """Answers each request with what ``answer`` gives for its number, from 0 on.

    Its path is its own: other tests connect to ports where nothing listens, until one is this server's.

    Attributes:
        connections: how many there were.
        requests: the connection and the method of each request.
        left: how many connections the client has closed.
    """

    def __init__(self, network: Network, answer: Callable[[int, Writer], Awaitable[None]]) -> None:
        self.connections, self.left = 0, 0
        self.requests: list[tuple[int, str]] = []
        self._answer, self._path = answer, f"/{secrets.token_hex(8)}"
        self._url = f"http://127.0.0.1:{network.serve(self._handle)}{self._path}"

    async def _handle(self, reader: Reader, writer: Writer) -> None:
        connection = 0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                if f" {self._path} " not in head:
                    return
                if not connection:
                    self.connections = connection = self.connections + 1
                if "content-length: " in head:
                    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
                self.requests.append((connection, head.partition(" ")[0].upper()))
                await self._answer(len(self.requests) - 1, writer)
                await writer.drain()
                if writer.is_closing():
                    return
        finally:
            self.left += bool(connection)

    def request(self, method: str = "POST", body: bytes | None = b"{}") -> Request:
        return Request(method, self._url, {}, body, timeout=20)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No task and no error of an event loop is left without notice."""
    with pytest.MonkeyPatch.context() as patch:
        complaints: list[Any] = []
        patch.setattr(
            asyncio.BaseEventLoop, "call_exception_handler", lambda loop, context: complaints.append(context)
        )
        yield
    assert complaints == []


def saying(*answers: bytes) -> Callable[[int, Writer], Awaitable[None]]:
    """These answers in turn, and the last one from then on."""

    async def answer(number: int, writer: Writer) -> None:
        writer.write(answers[min(number, len(answers) - 1)])

    return answer


def run(use: Use, kind: str = "httptools", **limits: float) -> Any:
    """What ``use`` gives, under an event loop of this kind."""
    with pytest.MonkeyPatch.context() as patch:
        use_http(kind, patch)
        transport = choose(Timeouts(**{"connect": 20, "idle": 20, "write": 20, **limits}), Route())

    async def main() -> Any:
        try:
            return await use(transport)
        finally:
            await transport.close()

    factory = __import__("uvloop").new_event_loop if kind == "httptools-uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


async def until(seen: Callable[[], bool]) -> None:
    """Servers have a loop of their own, which tells of nothing."""
    async with asyncio.timeout(20):
        while not seen():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


every = pytest.mark.parametrize("kind", ["httptools", "httptools-uvloop", "aiohttp", "httpx2"])
ours = pytest.mark.parametrize("kind", ["httptools", "httptools-uvloop"])


# --- between two exchanges ------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("first", "connections"),
    [
        (WHOLE, 1),
        (CHUNKED + b"2\r\nab\r\n0\r\n\r\n", 1),
        (b"HTTP/1.1 204 None\r\n\r\n", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, 1),
        (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nab", 2),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", 2),
    ],
    ids=["a length", "chunks", "no content", "informational", "close", "HTTP/1.0"],
)
def test_when_a_connection_is_used_again(network: Network, kind: str, first: bytes, connections: int) -> None:
    """After an answer whose end is known, unless the server has said otherwise."""
    server = Server(network, saying(first, WHOLE))

    async def use(transport: AsyncTransport) -> Response:
        await transport.fetch(server.request())
        return await transport.fetch(server.request())

    assert run(use, kind).body == b"ab"
    assert server.connections == connections


@ours
@pytest.mark.parametrize(
    "first",
    [
        WHOLE + b"c",
        WHOLE + WHOLE,
        CHUNKED + b"2\r\nab\r\n0\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
        WHOLE + b"\0" * 99,
    ],
)
def test_what_follows_an_answer_is_not_taken_for_the_next_one(
    network: Network, kind: str, first: bytes
) -> None:
    """The answer counts; the connection, where a server says more than it was asked, is closed."""
    server = Server(network, saying(first, WHOLE))

    async def use(transport: AsyncTransport) -> list[Response]:
        return [await transport.fetch(server.request()) for _ in range(2)]

    assert [(answer.status, answer.body) for answer in run(use, kind)] == [(200, b"ab")] * 2
    assert server.connections == 2


@ours
def test_what_is_said_unasked_closes_an_idle_connection(
    network: Network, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that come between two exchanges belong to no answer."""
    monkeypatch.setattr("onplan.transports.httptools_pool.LONGEST_IDLE", 3_600.0)
    writers: list[Writer] = []

    async def answer(number: int, writer: Writer) -> None:
        writers.append(writer)
        writer.write(WHOLE)

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> None:
        await transport.fetch(server.request())
        network.call(writers[0].write, b"HTTP/1.1 408 Late\r\n\r\n")
        await until(lambda: server.left == 1)
        assert (await transport.fetch(server.request())).status == 200

    run(use, kind)


@ours
def test_a_connection_that_was_closed_while_idle(network: Network, kind: str) -> None:
    """It is noticed before it is used, even if the event loop had no time to look: nothing is lost."""
    closed = threading.Event()

    async def answer(number: int, writer: Writer) -> None:
        writer.write(WHOLE)
        await writer.drain()
        if number == 0:
            writer.close()
            await writer.wait_closed()
            closed.set()

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> Response:
        async with await transport.open(server.request()) as first:
            await first.read_body()
            closed.wait(20)  # on the thread of the event loop, which therefore sees nothing of it
        return await transport.fetch(server.request())

    assert run(use, kind).body == b"ab"
    assert server.requests == [(1, "POST"), (2, "POST")]


@ours
@pytest.mark.parametrize(("method", "again"), [("GET", True), ("POST", False)])
def test_a_request_that_crosses_with_the_end_of_its_connection(
    network: Network, kind: str, method: str, again: bool
) -> None:
    """It is sent again if it may be carried out twice, and only where the connection was used before."""

    async def answer(number: int, writer: Writer) -> None:
        if number == 1:
            writer.close()
        else:
            writer.write(WHOLE)

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> None:
        await transport.fetch(server.request())
        await transport.fetch(server.request(method, None))

    if again:
        run(use, kind)
    else:
        with pytest.raises(DisconnectError, match="closed before the answer"):
            run(use, kind)
    assert server.requests == [(1, "POST"), (1, method), *([(2, method)] if again else [])]


@ours
@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_was_heard_is_not_asked_for_again(network: Network, kind: str, said: bytes) -> None:
    """Once the server has begun to answer, the request has reached it."""

    async def answer(number: int, writer: Writer) -> None:
        writer.write(said if number else WHOLE)
        if number:
            await writer.drain()
            writer.close()

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> None:
        await transport.fetch(server.request("GET", None))
        await transport.fetch(server.request("GET", None))

    with pytest.raises(DisconnectError):
        run(use, kind)
    assert len(server.requests) == 2


@ours
def test_a_new_connection_that_ends_is_not_tried_again(network: Network, kind: str) -> None:
    """It was not idle, so its end means something."""

    async def answer(number: int, writer: Writer) -> None:
        writer.close()

    server = Server(network, answer)

    with pytest.raises(DisconnectError):
        run(lambda transport: transport.fetch(server.request("GET", None)), kind)
    assert len(server.requests) == 1


@ours
@pytest.mark.parametrize(("most", "longest", "left"), [(2, 3_600.0, 3), (5, 0.2, 5)], ids=["number", "age"])
def test_idle_connections_are_bounded(
    network: Network, kind: str, monkeypatch: pytest.MonkeyPatch, most: int, longest: float, left: int
) -> None:
    """In their number, and in the time that they are kept."""
    monkeypatch.setattr("onplan.transports.httptools_pool.MOST_IDLE", most)
    monkeypatch.setattr("onplan.transports.httptools_pool.LONGEST_IDLE", longest)
    together = asyncio.Barrier(5)

    async def answer(number: int, writer: Writer) -> None:
        await together.wait()
        writer.write(WHOLE)

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> int:
        await asyncio.gather(*(transport.fetch(server.request()) for _ in range(5)))
        await until(lambda: server.left >= left)
        return server.left

    assert run(use, kind) == left
    assert server.connections == 5


@ours
def test_closing_ends_what_is_idle_and_what_is_not(network: Network, kind: str) -> None:
    """When ``close`` has returned, no socket is open, and a read that was waiting has failed."""

    async def answer(number: int, writer: Writer) -> None:
        writer.write(WHOLE if number == 0 else CHUNKED + b"1\r\na\r\n")

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> None:
        first = await transport.open(server.request())
        second = await transport.open(server.request())
        await first.read_body()
        await first.close()
        reading = asyncio.ensure_future(second.read_body())
        await asyncio.sleep(0)
        await transport.close()
        with pytest.raises(DisconnectError):
            await reading
        await second.close()
        await second.close()

    run(use, kind)
    eventually(lambda: server.left == server.connections == 2)


@ours
def test_a_connection_that_is_made_while_its_client_is_closed_is_not_kept(
    network: Network, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is answered, but nothing waits for another one."""
    monkeypatch.setattr("onplan.transports.httptools_pool.LONGEST_IDLE", 3_600.0)
    server = Server(network, saying(WHOLE))

    async def use(transport: AsyncTransport) -> None:
        asking = asyncio.ensure_future(transport.fetch(server.request()))
        await asyncio.sleep(0)
        await transport.close()
        assert (await asking).body == b"ab"
        await until(lambda: server.left == 1)

    run(use, kind)


# --- in the middle of one -------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    "said",
    [
        OK + b"content-length: 3\r\n\r\nab",
        CHUNKED + b"3\r\nab",
        CHUNKED + b"2\r\nab\r\n",
        CHUNKED + b"2\r\nab\r\n0\r\n",
        CHUNKED + b"2\r\nab\r\nzz\r\n",
    ],
)
@pytest.mark.parametrize("resets", [False, True])
def test_a_body_that_is_cut(network: Network, kind: str, said: bytes, resets: bool) -> None:
    """It is an error, whichever way its connection ends, and never a clean end."""

    async def answer(number: int, writer: Writer) -> None:
        writer.write(said)
        await writer.drain()
        writer.transport.abort() if resets else writer.close()

    server = Server(network, answer)

    with pytest.raises(DisconnectError):
        run(lambda transport: transport.fetch(server.request()), kind)


@every
def test_a_body_until_the_end_of_the_connection(network: Network, kind: str) -> None:
    """Where no length is said, the connection's end is the answer's."""

    async def answer(number: int, writer: Writer) -> None:
        writer.write(OK + b"\r\nab")
        writer.close()

    server = Server(network, answer)

    assert run(lambda transport: transport.fetch(server.request()), kind).body == b"ab"


@ours
def test_an_answer_that_comes_before_the_request_has_ended(network: Network, kind: str) -> None:
    """A refusal is read although not all of a large body is sent; then the connection is closed."""
    left = threading.Event()

    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        try:
            while await reader.read(65_536):
                pass
        finally:
            left.set()

    request = Request("POST", f"http://127.0.0.1:{network.serve(refuse)}/", {}, bytes(30_000_000), timeout=20)

    async def use(transport: AsyncTransport) -> tuple[int, bytes]:
        async with await transport.open(request) as answer:
            return answer.head.status, await answer.read_body()

    assert run(use, kind) == (413, b"no")
    assert left.wait(20)


@ours
@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\n", b""], ids=["headers", "informational"])
def test_a_head_without_an_end(network: Network, kind: str, said: bytes) -> None:
    """It is an error once it is too large, although the program has nothing to take until then."""
    more = b"x: " + b"y" * 1_000 + b"\r\n" if said else b"HTTP/1.1 103 Early Hints\r\n\r\n"

    async def flood(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        while True:
            writer.write(more * 100)
            await writer.drain()

    request = Request("GET", f"http://127.0.0.1:{network.serve(flood)}/", {}, timeout=3_600)

    async def use(transport: AsyncTransport) -> None:
        async with asyncio.timeout(60), await transport.open(request):
            pass

    with pytest.raises(TransportError, match="broke"):
        run(use, kind)


@ours
def test_a_server_that_refuses_and_reads_no_more(network: Network, kind: str) -> None:
    """Its refusal ends the sending, which would never end by itself."""
    over = asyncio.Event()

    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await over.wait()

    request = Request("POST", f"http://127.0.0.1:{network.serve(refuse)}/", {}, bytes(30_000_000), timeout=20)

    async def use(transport: AsyncTransport) -> tuple[int, bytes]:
        async with asyncio.timeout(20), await transport.open(request) as answer:
            return answer.head.status, await answer.read_body()

    try:
        assert run(use, kind, write=3_600) == (413, b"no")
    finally:
        network.call(over.set)


@every
def test_a_server_that_stops_listening(network: Network, kind: str) -> None:
    """The limit for writing is for each piece of a large body."""
    over = asyncio.Event()

    async def stop(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await over.wait()

    request = Request("POST", f"http://127.0.0.1:{network.serve(stop)}/", {}, bytes(30_000_000))

    try:
        with pytest.raises(IdleTimeoutError, match="stopped listening"):
            run(lambda transport: transport.open(request), kind, write=0.3)
    finally:
        network.call(over.set)


@every
def test_a_consumer_that_is_slow_slows_the_server(network: Network, kind: str) -> None:
    """What is not read is not fetched from the network either, beyond what fits into a few buffers."""
    sent, size, held_up = 0, 64_000_000, asyncio.Event()

    async def flood(number: int, writer: Writer) -> None:
        nonlocal sent
        writer.write(OK + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1_000_000))
            sent += 1_000_000
            try:
                async with asyncio.timeout(None if held_up.is_set() else 0.5):
                    await writer.drain()
            except TimeoutError:
                held_up.set()
                await writer.drain()

    server = Server(network, flood)

    async def use(transport: AsyncTransport) -> tuple[int, int]:
        async with await transport.open(server.request()) as answer:
            await until(held_up.is_set)
            return sent, len(await answer.read_body(maximum_size=size))

    before, read = run(use, kind)
    assert before < 20_000_000
    assert read == size


@every
@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", OK, CHUNKED, CHUNKED + b"1\r\na\r\n"]
)
def test_a_server_that_says_no_more(network: Network, kind: str, said: bytes) -> None:
    """The limit is for the head as a whole, and then for each read."""
    server = Server(network, saying(said))

    async def use(transport: AsyncTransport) -> None:
        async with await transport.open(server.request()) as answer:
            await answer.read_events()
            await answer.read_events()

    with pytest.raises(IdleTimeoutError, match="stopped answering"):
        run(use, kind, idle=0.3)
    eventually(lambda: server.left == 1)


@ours
def test_a_limit_begins_anew_with_each_read(network: Network, kind: str) -> None:
    """A consumer may take its time; and an answer that goes on may take longer than the limit in all."""

    async def answer(number: int, writer: Writer) -> None:
        writer.write(CHUNKED)
        for _ in range(6):
            await asyncio.sleep(0.5)
            writer.write(b"9\r\ndata: {}\n\r\n2\r\n\n\n\r\n")
        writer.write(b"0\r\n\r\n")

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> int:
        events = 0
        async with await transport.open(server.request()) as answer:
            while (payloads := await answer.read_events()) is not None:
                if not events:
                    await asyncio.sleep(2.2)
                events += len(payloads)
        return events

    assert run(use, kind, idle=2.0) == 6


@ours
@pytest.mark.parametrize("says_so", [True, False])
def test_an_end_over_tls_counts_if_it_is_said(
    network: Network, authority: trustme.CA, kind: str, says_so: bool
) -> None:
    """A body that only the connection's end delimits is whole if TLS was closed, too (RFC 9112 §9.8)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)

    async def answer(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\nab")
        await writer.drain()
        if says_so:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        else:
            writer.transport.abort()

    port = network.serve(answer, context)
    with pytest.MonkeyPatch.context() as patch:
        use_http(kind, patch)
        transport = choose(Timeouts(), Route(certificates=trusting))

    async def use(_: AsyncTransport) -> Response:
        try:
            return await transport.fetch(Request("GET", f"https://127.0.0.1:{port}/", timeout=20))
        finally:
            await transport.close()

    if says_so:
        assert run(use, kind).body == b"ab"
    else:
        with pytest.raises(DisconnectError):
            run(use, kind)


@ours
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_an_answer(network: Network, kind: str) -> None:
    """A child that closes what it has inherited takes nothing from its parent."""
    child_has_ended = threading.Event()

    async def answer(number: int, writer: Writer) -> None:
        writer.write(CHUNKED + b"1\r\na\r\n")
        await writer.drain()
        await asyncio.to_thread(child_has_ended.wait, 20)
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    server = Server(network, answer)

    async def use(transport: AsyncTransport) -> bytes:
        async with await transport.open(server.request()) as answer:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # there is another thread
                child = os.fork()
            if not child:
                with suppress(BaseException):
                    answer.close().send(None)  # type: ignore[attr-defined]
                os._exit(0)
            os.waitpid(child, 0)  # noqa: ASYNC222 - the loop has nothing else to do
            child_has_ended.set()
            return await answer.read_body()

    assert run(use, kind) == b"ab"


@every
def test_a_request_that_cannot_be_written(network: Network, kind: str) -> None:
    """Nothing of it is sent, and nothing of it is repeated."""
    server = Server(network, saying(WHOLE))
    request = Request("GET", server.request().url, {"authorization": "marked\n"})

    with pytest.raises(TransportError) as caught:
        run(lambda transport: transport.open(request), kind)
    assert "marked" not in str(caught.value)
    assert server.requests == []
