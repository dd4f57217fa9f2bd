"""Requests and replies over real sockets: what reaches the service, and what its clients get."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from onplan.dialects.served import ServedReply
from onplan.server.asgi import Message
from onplan.server.sending import Heartbeat, send_reply

from ..conftest import eventually
from .conftest import KEY, Running, Stub

Serve = Callable[..., Running]


def test_a_request_reaches_the_service_and_its_reply_the_client(serve: Serve, stub: Stub) -> None:
    """Method, path, query, headers, body and caller arrive as they were sent; the reply as it was given."""
    answer = serve().ask("POST", "/v1/responses?a=b", b'{"x": 1}')

    assert answer.status == 200
    assert answer.json() == {"path": "/v1/responses", "body": '{"x": 1}'}
    [asked] = stub.asked
    assert (asked.method, asked.query, asked.caller) == ("POST", "a=b", "")
    assert asked.headers["content-type"] == "application/json"


def test_a_stream_is_sent_piece_by_piece_to_its_end(serve: Serve, stub: Stub) -> None:
    """What has been generated is there before the rest is."""
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head("/v1/stream"))
        received = b""
        while b"data: 2" not in received:
            received += connection.recv(65_536)
        assert b"data: end" not in received
        stub.let_go()
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65_536)
    assert b"data: end" in received
    assert stub.ended == ["whole", "closed"]


@pytest.mark.parametrize("abruptly", [False, True])
@pytest.mark.parametrize(("path", "ended"), [("/v1/stream", "closed"), ("/v1/think", "cancelled")])
def test_a_client_that_leaves_ends_what_was_asked_for_it(
    serve: Serve, stub: Stub, path: str, ended: str, *, abruptly: bool
) -> None:
    """While a reply is streamed, and while the model thinks and nothing has been sent: it is ended."""
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head(path))
        assert stub.begun.acquire(timeout=20)
        if abruptly:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert eventually(lambda: stub.ended) == [ended]


def test_a_client_that_leaves_after_a_large_body_is_noticed(serve: Serve, stub: Stub) -> None:
    """Reading, which was paused while the body came faster than it was read, goes on."""
    running = serve()
    body = b'"' + b"x" * 4_000_000 + b'"'
    with running.connect() as connection:
        head = running.head(
            "/v1/think", "POST", content_type="application/json", content_length=str(len(body))
        )
        connection.sendall(head + body)
        assert stub.begun.acquire(timeout=20)
    assert eventually(lambda: stub.ended) == ["cancelled"]


def test_a_client_that_does_not_read_slows_the_service(serve: Serve, stub: Stub) -> None:
    """No more is taken from the service than buffers hold, until the client reads on."""
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head("/v1/flood"))
        taken = 0
        while stub.begun.acquire(timeout=0.5):
            taken += 1
            assert taken < 1_000  # 64 MB
        connection.recv(65_536)
        for _ in range(200):
            connection.recv(1_000_000)
        assert stub.begun.acquire(timeout=20)


def test_an_upload_that_is_not_taken_is_told_by_the_service(serve: Serve, stub: Stub) -> None:
    """What a plan has not is 404 with the reason, and not a question of the media type."""
    body, kind = b"--x--\r\n", "multipart/form-data; boundary=x"
    serve().ask("POST", "/v1/audio/transcriptions", body, content_type=kind)

    assert [request.path for request in stub.asked] == ["/v1/audio/transcriptions"]


def test_a_fault_of_the_server_is_told_in_the_dialect(
    serve: Serve, stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with OpenAI's shape; the log has the traceback, and neither has the key."""
    answer = serve().ask(path="/v1/fails")

    assert (answer.status, answer.code) == (500, "internal_error")
    assert "a fault" in caplog.text
    assert KEY not in caplog.text
    assert b"a fault" not in answer.body


def test_head_has_the_headers_of_get_and_no_body(serve: Serve, stub: Stub) -> None:
    """The length is that of the body that GET would have."""
    running = serve()
    whole, head = running.ask("GET"), running.ask("HEAD")

    assert head.body == b""
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.body))


def test_many_requests_go_over_one_connection(serve: Serve, stub: Stub) -> None:
    """Also if the second is sent before the first is answered."""
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head("/v1/models") + running.head("/v1/models", connection="close"))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_a_client_that_asks_before_its_body_is_told_to_go_on(serve: Serve, stub: Stub) -> None:
    """As curl does with a large one; a client that is refused need not send it."""
    running = serve()
    fields = {"expect": "100-continue", "content_type": "application/json", "content_length": "2"}
    head = running.head("/v1/responses", "POST", connection="close", **fields)
    with running.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for byte in (b"{", b"}"):
            connection.sendall(byte)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert stub.asked[0].body == b"{}"
    assert running.raw(head.replace(b"authorization", b"x-none")).startswith(b"HTTP/1.1 401 ")


def test_a_stream_gives_a_sign_of_life_while_nothing_comes(
    serve: Serve, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pieces the heartbeat of the reply is sent, again and again, and none after the end."""
    monkeypatch.setattr("onplan.server.sending.SILENCE", 0.05)
    running = serve()
    with running.connect() as connection:
        connection.sendall(running.head("/v1/stream", connection="close"))
        received = b""
        while received.count(b": ping\n\n") < 2:
            received += connection.recv(65_536)
        stub.let_go()
        received += b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.index(b"data: 2") < received.index(b": ping")
    assert received.endswith(b"data: end\n\n\r\n0\r\n\r\n")


def test_a_stream_that_breaks_never_ends_as_if_it_were_whole(serve: Serve, stub: Stub) -> None:
    """The connection is cut, which every client takes for a failure."""
    running = serve()
    received = running.raw(running.head("/v1/breaks"))

    assert b"data: 0" in received
    assert not received.endswith(b"0\r\n\r\n")


def test_uploads_reach_the_service_where_images_are_edited(serve: Serve, stub: Stub) -> None:
    """A form is taken there, with and without /v1, and at no other path."""
    running, form = serve(), "multipart/form-data; boundary=x"
    statuses = [
        running.ask("POST", path, b"--x--\r\n", content_type=form).status
        for path in ("/v1/images/edits", "/images/edits", "/v1/images/generations")
    ]

    assert statuses == [200, 200, 415]
    assert [request.body for request in stub.asked] == [b"--x--\r\n", b"--x--\r\n"]


def test_pages_of_the_server_take_get_alone(serve: Serve, stub: Stub) -> None:
    """Other methods are refused with what is allowed, and the service is not asked."""
    running = serve()
    for path in ("/healthz", "/v1/usage"):
        answer = running.ask("DELETE", path)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert stub.asked == []


class _Pieces:
    """A body without an end, which is no generator."""

    is_closed = False

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        return b"data: 1\n\n"

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True


async def test_a_body_that_is_not_sent_to_its_end_is_closed() -> None:
    """Wherever sending fails or is cancelled: what was asked of the backend ends there."""
    for failing in ("http.response.start", "http.response.body"):
        body = _Pieces()

        async def send(message: Message, failing: str = failing) -> None:
            if message["type"] == failing:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await send_reply(send, ServedReply.events(body), "POST")
        assert body.is_closed


async def test_a_heartbeat_is_for_intervals_without_a_piece() -> None:
    """An interval in which something was sent has none; the next one, if nothing comes, has."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    heartbeat = Heartbeat(send, b": ping\n\n")
    heartbeat.begin()
    heartbeat.is_due = False  # a piece was sent
    heartbeat.beat()
    await asyncio.sleep(0)
    assert sent == []
    heartbeat.beat()
    await asyncio.sleep(0)
    assert [message["body"] for message in sent] == [b": ping\n\n"]
    heartbeat.end()
