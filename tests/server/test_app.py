"""Requests and replies over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import closing

from onplan.dialects.served import ServedReply, ServedRequest

from ..conftest import eventually
from .conftest import KEY, Running


class Stub:
    """Answers with what it was asked, or streams until it is closed."""

    def __init__(self) -> None:
        self.asked: list[ServedRequest] = []
        self.ended: list[str] = []
        self.thinking = threading.Event()

    async def answer(self, request: ServedRequest) -> ServedReply:
        self.asked.append(request)
        if request.path == "/v1/think":
            await self._think()
        if request.path == "/v1/stream":
            return ServedReply(200, {"content-type": "text/event-stream"}, self._stream())
        return ServedReply.json({"path": request.path, "body": request.body.decode()})

    async def _think(self) -> None:
        self.thinking.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    async def _stream(self) -> AsyncGenerator[bytes]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
            self.thinking.set()
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.append("closed")


def test_a_request_reaches_the_service_and_its_reply_the_client(serve: Callable[..., Running]) -> None:
    """Method, path, query, headers and body arrive as they were sent; the reply as the service gave it."""
    stub = Stub()
    answer = serve(stub).ask("POST", "/v1/responses?a=b", b'{"x": 1}', content_type="application/json")

    assert answer.status == 200
    assert json.loads(answer.text) == {"path": "/v1/responses", "body": '{"x": 1}'}
    [asked] = stub.asked
    assert (asked.method, asked.query, asked.headers["content-type"]) == ("POST", "a=b", "application/json")


def test_a_stream_is_sent_piece_by_piece_and_closed_when_its_client_leaves(
    serve: Callable[..., Running],
) -> None:
    """What has been generated is there before the end; a client that leaves ends the rest."""
    stub = Stub()
    running = serve(stub)
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        connection.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n".encode())
        connection.sendall(f"Authorization: Bearer {KEY}\r\n\r\n".encode())
        received = b""
        while b"data: 2" not in received:
            received += connection.recv(65_536)
    assert eventually(lambda: stub.ended) == ["closed"]


def test_a_client_that_leaves_while_the_model_thinks_cancels_the_request(
    serve: Callable[..., Running],
) -> None:
    """Nothing of the reply has been sent, and what was asked of the backend is ended."""
    stub = Stub()
    running = serve(stub)
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        connection.sendall(f"GET /v1/think HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n".encode())
        connection.sendall(f"Authorization: Bearer {KEY}\r\n\r\n".encode())
        assert stub.thinking.wait(20)
    assert eventually(lambda: stub.ended) == ["cancelled"]


def test_a_request_without_the_key_is_refused(serve: Callable[..., Running]) -> None:
    """Without the key or with another one: 401, and the service is not asked."""
    stub = Stub()
    running = serve(stub)
    assert running.ask(authorization=None).status == 401
    assert running.ask(authorization="Bearer wrong").status == 401
    assert stub.asked == []
