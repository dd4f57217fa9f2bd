"""One emulator for all tests, made as new before each; others are started where a test needs them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from websockets.sync.client import connect as connect_websocket

from onplan.emulator import Emulator, Options

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
CALLBACK = "http://localhost:1455/auth/callback"
ACCOUNT = "acct-emulated-0001"


def decoded(text):
    """The events of a stream in the services' usual framing."""
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in text.split("\n\n") if frame]


TERMINAL = {"response.completed", "response.failed", "response.incomplete", "error"}


def user(said):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": said}]}


class Socket:
    """Messages over an open WebSocket."""

    def __init__(self, connection):
        self.connection = connection
        self.headers = connection.response.headers

    def send(self, *said, **fields):
        items = [user(item) if isinstance(item, str) else item for item in said]
        message = {"type": "response.create", "model": "gpt-5.5", "stream": True, "store": False}
        self.connection.send(json.dumps({**message, "input": items, **fields}))

    def read(self):
        """The messages up to one that ends a turn."""
        messages = []
        while not messages or messages[-1]["type"] not in TERMINAL:
            messages.append(json.loads(self.connection.recv(timeout=20)))
        return messages

    def create(self, *said, **fields):
        self.send(*said, **fields)
        return self.read()

    def completed(self, *said, **fields):
        """The response object of a turn that ends well."""
        last = self.create(*said, **fields)[-1]
        assert last["type"] == "response.completed", last
        return last["response"]


@dataclass
class Client:
    """The client of these tests: sends the requests and returns the answers unchecked."""

    emulator: Emulator
    http: httpx2.Client

    def headers(self, **changes):
        tokens = self.emulator.issue_tokens()
        headers = {
            "authorization": f"Bearer {tokens['access_token']}",
            "chatgpt-account-id": ACCOUNT,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return {name: value for name, value in headers.items() if value is not ...}

    def turn(self, said="hi", /, *, headers=None, **fields):
        body = {"model": "gpt-5.5", "stream": True, "store": False, "input": [user(said)], **fields}
        body = {name: value for name, value in body.items() if value is not ...}
        url = f"{self.emulator.codex_base_url}/responses"
        return self.http.post(url, json=body, headers=headers or self.headers())

    def events(self, said="hi", /, **fields):
        reply = self.turn(said, **fields)
        assert reply.status_code == 200, reply.text
        return decoded(reply.text)

    def completed(self, said="hi", /, **fields):
        return self.events(said, **fields)[-1]["response"]

    @contextmanager
    def websocket(self, **changes):
        """An open WebSocket, spoken by a library that shares nothing with the emulator."""
        headers = self.headers(**{"openai_beta": "responses_websockets=2026-02-06", **changes})
        url = f"{self.emulator.codex_base_url}/responses".replace("http", "ws", 1)
        with connect_websocket(url, additional_headers=headers, proxy=None, max_size=None) as connection:
            yield Socket(connection)

    def get(self, path, **options):
        return self.http.get(self.emulator.issuer + path, **options)

    def authorize(self, challenge="c" * 43, **changes):
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": "openid profile email offline_access",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "the-state",
            "id_token_add_organizations": "true",
            "codex_cli_simplified_flow": "true",
            "originator": "codex_cli_rs",
            **changes,
        }
        return self.get("/oauth/authorize", params={k: v for k, v in query.items() if v is not None})

    def approved(self):
        """A code with its verifier."""
        verifier = secrets.token_urlsafe(64)
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        location = self.authorize(challenge).headers["location"]
        return dict(parse_qsl(urlsplit(location).query))["code"], verifier

    def exchange(self, code, verifier, /, **changes):
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": verifier,
            **changes,
        }
        return self.http.post(f"{self.emulator.issuer}/oauth/token", data=form)

    def refresh(self, refresh_token, /, **changes):
        body = {
            "client_id": CLIENT_ID,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            **changes,
        }
        return self.http.post(f"{self.emulator.issuer}/oauth/token", json=body)

    def post(self, path, body, **options):
        return self.http.post(self.emulator.issuer + path, json=body, **options)


@pytest.fixture(scope="session")
def shared_emulator():
    with Emulator(Options()) as running:
        yield running


@pytest.fixture
def emulator(shared_emulator):
    shared_emulator.disarm()
    shared_emulator.clear_journal()
    shared_emulator.set_access_token_lifetime(864_000)
    return shared_emulator


@pytest.fixture(scope="session")
def http():
    """One client for all tests: making its TLS context takes longer than most of them."""
    with httpx2.Client(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def connect(http):
    """Talk to an emulator started by the test."""
    return lambda emulator: Client(emulator, http)


@pytest.fixture
def client(emulator, connect):
    return connect(emulator)
