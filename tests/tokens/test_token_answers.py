"""Odd answers of a token endpoint: the new tokens reach the store all the same."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import onplan
from onplan.stores import Record, open_store

ROTATED = b'"access_token": "new-access", "refresh_token": "new-refresh"'


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Sign in at a token endpoint that answers with these bytes; gives the store spec."""
    body = b""

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    issuer, spec = f"http://127.0.0.1:{server.server_port}", f"file:{tmp_path / 'kept' / 'one.json'}"
    monkeypatch.setenv("ONPLAN_ISSUER", issuer)
    monkeypatch.setenv("ONPLAN_STORE", spec)
    credentials = onplan.OAuthCredentials(
        access_token="old", refresh_token="spent", expires_at=time.time() - 60, issuer=issuer
    )
    open_store(spec).save(Record(credentials=credentials), None)

    def answer(with_bytes: bytes) -> str:
        nonlocal body
        body = with_bytes
        return spec

    yield answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "body",
    [
        b"{" + ROTATED + b"}",
        b"\xef\xbb\xbf{" + ROTATED + b"}",
        ("\ufeff{" + ROTATED.decode() + "}").encode("utf-16-le"),
        b"{" + ROTATED + b"}\0\0trailing",
        b"{" + ROTATED + b', "expires_in": "soon", "scope": 7, "id_token": {}, "account_id": []}',
        b"{" + ROTATED + b', "expires_in": 1e999, "id_token": "a.b.c", "earliest_refresh_at": "never"}',
        b"{" + ROTATED + b', "name": "J\xf6rg\\ud83d"}',
        b"{" + ROTATED + b', "junk": ' + b"[" * 50_000,
        b'{"data": {' + ROTATED + b"}}",
        b"access_token=new-access&refresh_token=new-refresh",
    ],
    ids=range(10),
)
def test_the_rotated_set_is_stored(answering: Callable[[bytes], str], body: bytes) -> None:
    """The new tokens are handed out and stored, and a later process finds them."""
    spec = answering(body)
    with onplan.Client() as client:
        assert client.credentials().access_token == "new-access"

    record, _ = open_store(spec).load()  # type: ignore[misc]
    assert record.credentials.refresh_token == "new-refresh"
    assert record.pending_refresh is None


@pytest.mark.parametrize("body", [b"{" + ROTATED[:-3], b"<html>", b'{"refresh_token": null}', b""])
def test_an_answer_without_the_set_changes_nothing(answering: Callable[[bytes], str], body: bytes) -> None:
    """What holds no whole refresh token is an unknown outcome: the stored set stays, and says so."""
    spec = answering(body)
    with onplan.Client() as client, pytest.raises(onplan.RefreshOutcomeUnknownError):
        client.credentials()

    record, _ = open_store(spec).load()  # type: ignore[misc]
    assert record.credentials.refresh_token == "spent"
    assert record.pending_refresh is not None
