"""Something in front of the sign-in service answers in its place, over a real connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.sign_in.login import sign_in_with_device_code
from onplan.stores import Record, open_store

_STEPS: dict[str, Any] = {
    "/api/accounts/deviceauth/usercode": {"device_auth_id": "d", "user_code": "ABCD-1234", "interval": "1"},
    "/api/accounts/deviceauth/token": {"authorization_code": "c", "code_verifier": "v"},
    "/oauth/token": {"access_token": "at", "refresh_token": "rt-2"},
}
_CHALLENGE = (
    403,
    {"content-type": "text/html; charset=UTF-8", "server": "cloudflare", "cf-mitigated": "challenge"},
    b"<!DOCTYPE html><title>Just a moment...</title>",
)
_REFUSALS = [
    (_CHALLENGE, "firewall"),
    ((403, {"content-type": "text/plain"}, b"error code: 1010"), "firewall"),
    ((200, {"content-type": "text/html"}, b"<html>Log in to the Wi-Fi"), "web page|not a token"),
    ((403, {}, b'{"error": {"code": "unsupported_country_region_territory"}}'), "country or region"),
    ((402, {}, b'{"detail": {"code": "deactivated_workspace"}}'), "deactivated"),
    ((403, {}, b'{"detail": {"code": "invalid_workspace_selected"}}'), "was chosen"),
]
refusals = pytest.mark.parametrize(("answer", "words"), _REFUSALS)


@contextmanager
def service(where: str, answer: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """A sign-in service at whose path ``where`` something else answers; its URL, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Tests are quiet."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(self.path)
            usual = (200, {"content-type": "application/json"}, json.dumps(_STEPS[self.path]).encode())
            status, headers, body = answer if self.path == where else usual
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@refusals
@pytest.mark.parametrize("where", ["/api/accounts/deviceauth/usercode", "/oauth/token"])
def test_a_sign_in_says_what_refused_it(
    monkeypatch: pytest.MonkeyPatch, where: str, answer: tuple[int, dict[str, str], bytes], words: str
) -> None:
    """At the first and at the last step of a sign-in the sentence names what refused it; nothing is kept."""
    with service(where, answer) as (url, asked):
        monkeypatch.setenv("ONPLAN_ISSUER", url)
        settings = load_settings()
        store = open_store(settings.store)
        with pytest.raises(onplan.SignInError, match=words) as caught:
            sign_in_with_device_code(settings, store, lambda authorization: None)

    assert caught.value.status_code == answer[0]
    assert asked[-1] == where
    assert store.load() is None


@refusals
def test_a_refresh_says_what_refused_it(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[int, dict[str, str], bytes], words: str
) -> None:
    """So does a refresh, which keeps the sign-in."""
    with service("/oauth/token", answer) as (url, asked):
        monkeypatch.setenv("ONPLAN_ISSUER", url)
        store = open_store(load_settings().store)
        spent = onplan.OAuthCredentials(access_token="at", refresh_token="rt-1", expires_at=1.0, issuer=url)
        store.save(Record(credentials=spent), None)
        with onplan.Client() as client, pytest.raises(onplan.CredentialError, match=words):
            client.credentials()

    loaded = store.load()
    assert loaded
    assert loaded.record.credentials == spent
    assert asked == ["/oauth/token"]
