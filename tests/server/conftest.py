"""A server on a real socket, in a thread of its own, and clients that speak raw HTTP to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from onplan.server.app import Answers, App
from onplan.server.running import run

KEY = "sk-onplan-of-the-tests"


class Running:
    """A server in a thread, for as long as the ``with`` block lasts."""

    def __init__(self, app: App) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._app = app
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="server of a test")

    def _serve(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await run(self._app, [self._listener], self._ready.set, self._stop)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive()

    def raw(self, sent: bytes, *, half_close: bool = False) -> bytes:
        """All that comes back for these bytes until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def ask(
        self, method: str = "GET", path: str = "/v1/models", body: bytes = b"", **headers: str | None
    ) -> Any:
        """The whole answer to one request. A header that is None is left out."""
        import http.client

        given = {"authorization": f"Bearer {KEY}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name: value for name, value in given.items() if value is not None}
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        answer.text = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Running]]:
    """Start a server for this service; it ends with the test."""
    started: list[Running] = []

    def start(service: Answers) -> Running:
        started.append(Running(App(service, KEY)).__enter__())
        return started[-1]

    yield start
    for each in started:
        each.__exit__()
