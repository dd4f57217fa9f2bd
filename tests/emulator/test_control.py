"""The control endpoints and the journal."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
import zstandard

from onplan.emulator import Emulator, Options
from onplan.emulator.faults.register import FAULTS
from onplan.emulator.journal import MOST_ROWS, Journal, fingerprint
from onplan.emulator.wire.replies import Request

from ..conftest import eventually


def control(client, method, path, **options):
    return client.http.request(method, f"{client.emulator.issuer}/_emulator/{path}", **options)


def test_the_journal_shows_requests(client):
    """Method, path without query, headers, decoded body, status; control requests are not in it."""
    client.get("/backend-api/codex/models", params={"client_version": "0.171.0"}, headers=client.headers())
    body = zstandard.compress(b'{"model": "gpt-4o"}')
    headers = client.headers(content_encoding="zstd", content_type="application/json")
    client.http.post(f"{client.emulator.codex_base_url}/responses", content=body, headers=headers)
    first, second = control(client, "GET", "journal").json()["requests"]
    assert {"n", "time", "method", "path", "headers", "body", "status"} <= set(first)
    assert (first["method"], first["path"], first["query"]) == (
        "GET",
        "/backend-api/codex/models",
        {"client_version": "0.171.0"},
    )
    assert (first["status"], first["body"]) == (200, None)
    assert (second["status"], second["body"], second["n"]) == (400, {"model": "gpt-4o"}, first["n"] + 1)
    assert control(client, "DELETE", "journal").json() == {"requests": []}
    assert client.emulator.journal() == []


def test_no_secret_is_in_the_journal(client):
    """Tokens, codes and verifiers appear as fingerprints, the same for the same secret."""
    code, verifier = client.approved()
    tokens = client.exchange(code, verifier).json()
    client.turn(headers=client.headers(authorization=f"Bearer {tokens['access_token']}"))
    new = client.refresh(tokens["refresh_token"]).json()
    client.post("/oauth/revoke", {"token": new["refresh_token"]})
    text = control(client, "GET", "journal").text
    secrets = [
        code,
        verifier,
        *(t[k] for t in (tokens, new) for k in ("id_token", "access_token", "refresh_token")),
    ]
    assert not any(secret in text for secret in secrets)
    shown = [code, verifier, tokens["access_token"], tokens["refresh_token"], new["refresh_token"]]
    assert all(fingerprint(secret) in text for secret in shown)
    assert f"Bearer {fingerprint(tokens['access_token'])}" in text


def test_a_row_is_there_before_the_reply(client):
    """Its status is null until the reply starts; that a client left is noted."""
    client.emulator.arm("slow_first_byte", seconds=600)
    parts = urlsplit(client.emulator.issuer)
    headers = "".join(f"{name}: {value}\r\n" for name, value in client.headers().items())
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        body = '{"model":"gpt-5.5","stream":true,"store":false,"input":[]}'
        head = f"POST /backend-api/codex/responses HTTP/1.1\r\nhost: x\r\n{headers}"
        kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        connection.sendall(f"{head}{kind}\r\n{body}".encode())
        row = eventually(lambda: next(iter(client.emulator.journal()), None))
        assert (row["status"], row["ended"]) == (None, None)
    assert eventually(lambda: client.emulator.journal()[0]["ended"]) == "client_left"


def test_leaving_a_stalled_stream_is_noted(client):
    """Also while nothing is being sent."""
    client.emulator.arm("stall")
    body = {"model": "gpt-5.5", "stream": True, "store": False, "input": []}
    url = f"{client.emulator.codex_base_url}/responses"
    with client.http.stream("POST", url, json=body, headers=client.headers()) as reply:
        next(reply.iter_bytes())
    assert eventually(lambda: client.emulator.journal()[0]["ended"]) == "client_left"


def test_the_journal_is_bounded():
    """The oldest rows leave."""
    journal = Journal()
    for _ in range(MOST_ROWS + 5):
        journal.record(Request("GET", "/", "", {}, b""))
    rows = journal.rows()
    assert (len(rows), rows[0]["n"]) == (MOST_ROWS, 6)


def test_faults_are_listed_armed_and_disarmed(client):
    """Each with one line; an unknown name is a 404 with near names."""
    listed = control(client, "GET", "faults").json()
    assert {row["name"] for row in listed["faults"]} == set(FAULTS)
    assert all(row["line"].endswith(".") and "\n" not in row["line"] for row in listed["faults"])
    armed = control(client, "POST", "faults", json={"name": "overloaded_503", "times": 2})
    assert armed.json() == {"armed": {"overloaded_503": 2}}
    assert client.turn().status_code == 503
    assert control(client, "GET", "faults").json()["armed"] == {"overloaded_503": 1}
    assert control(client, "DELETE", "faults").json() == {"armed": {}}
    assert client.turn().status_code == 200
    unknown = control(client, "POST", "faults", json={"name": "overloaded"})
    assert (unknown.status_code, "overloaded_503" in unknown.json()["error"]["near"]) == (404, True)


@pytest.mark.parametrize(
    "body", [{}, {"name": 1}, {"name": "stall", "times": 0}, {"name": "stall", "often": 1}]
)
def test_bad_orders_are_refused(client, body):
    """With a sentence, and nothing is armed."""
    reply = control(client, "POST", "faults", json=body)
    assert (reply.status_code, bool(reply.json()["error"]["message"])) == (400, True)
    assert client.emulator.world.faults.armed() == {}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"content-type": "text/plain"}, 415),
        ("POST", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", {"content-type": "multipart/form-data"}, 415),
        ("POST", {"content-type": "application/json", "host": "page.example.com"}, 421),
        ("POST", {"content-type": "application/json", "host": "127.0.0.1.example.com:80"}, 421),
        ("POST", {"content-type": "application/json", "host": "localhost.example.com"}, 421),
        ("POST", {"content-type": "application/json", "host": "[::1"}, 421),
        ("POST", {"content-type": "application/json", "origin": "https://page.example.com"}, 403),
        ("POST", {"content-type": "application/json", "origin": "null"}, 403),
        ("GET", {"host": "page.example.com:8080"}, 421),
        ("GET", {"host": ""}, 421),
        ("DELETE", {"host": "page.example.com"}, 421),
        ("DELETE", {"origin": "http://localhost:3000"}, 403),
    ],
)
def test_a_web_page_does_not_control_it(client, method, headers, status):
    """Neither by a form or text, which need no permission, nor by a name that leads here (DNS rebinding)."""
    body = b'{"name": "server_error_500"}' if method == "POST" else None
    client.emulator.arm("overloaded_503")
    reply = control(client, method, "faults", content=body, headers=headers)
    assert (reply.status_code, set(reply.json()["error"])) == (status, {"message"})
    assert client.emulator.world.faults.armed() == {"overloaded_503": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=utf-8"},
        {"host": "localhost"},
        {"host": "127.0.0.1:1"},
        {"host": "[::1]:80"},
        {"host": "192.0.2.7:8080"},
        {"host": "emulator.example.com"},
        {"host": "localhost:80", "origin": "http://localhost:80"},
    ],
)
def test_programs_control_it_under_any_name_of_its_own(connect, headers):
    """By an address, as localhost, and by the name that it is known under."""
    with Emulator(Options(public_url="https://emulator.example.com")) as emulator:
        headers = {"content-type": "application/json", **headers}
        reply = control(connect(emulator), "POST", "faults", content=b'{"name": "stall"}', headers=headers)
        assert (reply.status_code, emulator.world.faults.armed()) == (200, {"stall": 1})


def test_tokens_are_controlled_over_http(client):
    """Expire, revoke, change the lifetime of those to come."""
    tokens = client.emulator.issue_tokens()
    headers = client.headers()
    control(client, "POST", "tokens", json={"expire_access_tokens": True})
    assert client.turn(headers=headers).status_code == 401
    control(client, "POST", "tokens", json={"revoke_refresh_tokens": True})
    assert client.refresh(tokens["refresh_token"]).json()["error"]["code"] == "refresh_token_invalidated"
    assert control(client, "POST", "tokens", json={"access_token_lifetime": 5}).status_code == 200
    assert client.emulator.issue_tokens()["expires_in"] == 5
    assert control(client, "POST", "tokens", json={"sparkle": 1}).status_code == 400
