"""A reply as it is written: its beginning at once, and nothing else is held back; what is none is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from onplan.server.cycle import BadReplyError, Cycle

HEAD = b"HTTP/1.1 200 OK\r\ndate: now\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE, END = b"5\r\npiece\r\n", b"0\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
BODY = {"type": "http.response.body", "body": b"piece", "more_body": True}
LAST = {"type": "http.response.body", "body": b"", "more_body": False}


class _Written(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def cycle_on(
    written: _Written, method: str = "POST", *, keep_alive: bool = True, version: str = "1.1"
) -> Cycle:
    """A request over a connection on which nothing else is said."""
    connection: Any = SimpleNamespace(
        scope={"method": method, "http_version": version},
        transport=written,
        flow=FlowControl(written),
        logger=SimpleNamespace(exception=lambda _: None),
        access_logger=None,
        server_state=SimpleNamespace(default_headers=[(b"date", b"now")]),
        expect_100_continue=False,
        loop=asyncio.get_running_loop(),
        on_response_complete=lambda: None,
    )
    return Cycle(connection, keep_alive=keep_alive)


async def test_a_short_reply_is_one_write() -> None:
    """A head, and the pieces that follow before the loop has its turn, go out together, when it ends."""
    written = _Written()
    for _ in range(2):
        cycle = cycle_on(written)
        for message in (START, BODY, LAST):
            await cycle.send(message)
    await asyncio.sleep(0)

    assert written.writes == [HEAD + PIECE + END] * 2


async def test_later_pieces_are_written_when_they_come() -> None:
    """Once the head is out, a piece waits for nothing."""
    written = _Written()
    cycle = cycle_on(written)
    await cycle.send(START)
    await asyncio.sleep(0)
    for message in (BODY, BODY, LAST):
        await cycle.send(message)

    assert written.writes == [HEAD, PIECE, PIECE, END]


async def test_a_large_beginning_is_not_kept() -> None:
    """What goes beyond 64 KiB is written at once, so that the transport can say that the client is slow."""
    written, piece = _Written(), b"x" * 40_000
    cycle = cycle_on(written)
    await cycle.send(START)
    await cycle.send({**BODY, "body": piece})
    assert written.writes == []
    await cycle.send({**BODY, "body": piece})
    chunk = b"9c40\r\n%b\r\n" % piece
    assert written.writes == [HEAD + chunk + chunk]
    await cycle.send(BODY)
    assert written.writes[-1] == PIECE


async def test_what_is_kept_goes_out_before_the_connection_is_cut() -> None:
    """Where an application fails in its reply, what it sent is written, and no end."""

    async def failing(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send(START)
        raise RuntimeError

    cut, closed = _Written(), _Written()
    await cycle_on(cut).run_asgi(failing)
    assert (cut.writes, cut.is_closed) == ([HEAD], True)
    cycle = cycle_on(closed)
    await cycle.send(START)
    closed.close()
    await asyncio.sleep(0)
    assert closed.writes == []


async def test_an_application_that_says_nothing_has_failed() -> None:
    """Its client gets a 500, and the connection ends."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    written = _Written()
    await cycle_on(written).run_asgi(silent)
    assert written.writes[0].startswith(b"HTTP/1.1 500 ")
    assert written.is_closed


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "said"),
    [
        ("GET", 200, [(b"content-length", b"2")], b"ab", b"content-length: 2\r\n\r\nab"),
        ("HEAD", 200, [(b"content-length", b"2")], b"ab", b"content-length: 2\r\n\r\n"),
        ("HEAD", 200, [], b"ab", b"\r\n"),
        ("GET", 204, [], b"", b"\r\n"),
        ("GET", 200, [], b"ab", b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        ("GET", 200, [], b"", b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_where_a_body_ends(method: str, status: int, headers: Any, body: bytes, said: bytes) -> None:
    """By its length where that is known, else by the last chunk; some replies have none."""
    written = _Written()
    cycle = cycle_on(written, method)
    await cycle.send({**START, "status": status, "headers": headers})
    await cycle.send({**LAST, "body": body})
    assert written.writes[0].partition(b"date: now\r\n")[2] == said


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_client_of_http_1_0_gets_no_chunks(*, is_whole: bool) -> None:
    """The end of the connection is the end of a body whose length is not known, unless that is cut."""
    written = _Written()

    async def app(_: Any, __: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send(START)
        await send(BODY)
        if is_whole:
            await send(LAST)

    await cycle_on(written, keep_alive=False, version="1.0").run_asgi(app)
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\nx: y\r\nconnection: close\r\n\r\n"
    assert b"".join(written.writes) == head + b"piece"
    assert (written.is_closed, written.is_aborted) == (True, not is_whole)


async def test_the_last_reply_says_so() -> None:
    """Once, whoever decided it."""
    for headers, keep_alive in (([], False), ([(b"connection", b"close")], True)):
        written = _Written()
        cycle = cycle_on(written, keep_alive=keep_alive)
        await cycle.send({**START, "headers": headers})
        await cycle.send(LAST)
        assert written.writes[0].count(b"connection: close\r\n") == 1
        assert written.is_closed


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"y\r\nz: injected"),
        (b"x", b"y\n"),
        (b"x", b"y\0"),
        (b"x\r\ny", b"z"),
        (b"x y", b"z"),
        (b"x:y", b"z"),
        (b"", b"z"),
    ],
)
async def test_a_header_that_is_no_line_is_not_written(header: tuple[bytes, bytes]) -> None:
    """No reply can be split by what stands in one."""
    written = _Written()
    cycle = cycle_on(written)
    with pytest.raises(BadReplyError, match="no line"):
        await cycle.send({**START, "headers": [header]})
    await asyncio.sleep(0)
    assert written.writes == []


@pytest.mark.parametrize(
    "messages",
    [
        [BODY],
        [START, START],
        [START, LAST, LAST],
        [{**START, "headers": [(b"content-length", b"2")]}, BODY],
        [{**START, "headers": [(b"content-length", b"2")]}, LAST],
    ],
)
async def test_what_is_no_reply(messages: list[dict[str, Any]]) -> None:
    """Messages in another order, and a body of another length than its head says."""
    cycle = cycle_on(_Written())
    for message in messages[:-1]:
        await cycle.send(message)
    with pytest.raises(BadReplyError):
        await cycle.send(messages[-1])
