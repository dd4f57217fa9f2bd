"""What the doctor is shown: servers that are not as they should be, and what it finds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any

import pytest

from onplan.doctor import examine
from onplan.doctor.check import Result

Findings = dict[str, Result]


@pytest.fixture(autouse=True)
def usual_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may trust others than the system does."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def find() -> Callable[..., Findings]:
    """Examine, and give the results by name."""

    def run(**options: Any) -> Findings:
        return {result.name: result for result in examine(**options)}

    return run


@contextmanager
def serving(
    status: int = 200,
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    *,
    date: str | None = None,
    context: SSLContext | None = None,
) -> Iterator[int]:
    """A server on loopback that always answers the same; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string(timestamp)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: Any) -> None:
            """Whoever does not trust a certificate leaves in the middle."""

        def finish_request(self, request: Any, client_address: Any) -> None:
            if context:
                with context.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
            else:
                super().finish_request(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Start a server that always answers the same, for as long as the test lasts."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(serving(*arguments, **options))
