"""The stores that these tests run on, each with credentials that the emulator accepts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

from ..conftest import issued

# `make interop` adds one that needs more than Python: its spec.
EXTERNAL = os.environ.get("ONPLAN_TEST_STORE")
EXTERNAL_BACKEND = os.environ.get("ONPLAN_TEST_BACKEND", "openai-codex")


@pytest.fixture
def spec(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store spec that clients of this test use; named by a parameter, or a file."""
    scheme = getattr(request, "param", "file")
    if scheme == "vault":
        request.getfixturevalue("vault")
    backend = {"plan": "chatgpt-plan", "external": EXTERNAL_BACKEND}.get(scheme, "openai-codex")
    monkeypatch.setenv("ONPLAN_BACKEND", backend)
    places = {
        "plan": f"file:{tmp_path / 'kept' / 'plan.json'}",
        "file": f"file:{tmp_path / 'kept' / 'credentials.json'}",
        "codex": f"codex:{tmp_path / 'codex'}",
        "vault": "vault:secret/onplan/person?lease=4",
        "external": EXTERNAL or "",
    }
    monkeypatch.setenv("ONPLAN_STORE", places[scheme])
    return places[scheme]


@pytest.fixture
def sign_in(emulator: Emulator, spec: str) -> Callable[..., onplan.OAuthCredentials]:
    """Put fresh tokens into the store; with ``expired`` they look expired to this machine's clock."""

    def put(*, expired: bool = True) -> onplan.OAuthCredentials:
        issuer = load_settings().issuer
        tokens = emulator.issue_plan_tokens() if issuer.registers else emulator.issue_tokens()
        record = issued(tokens, issuer)
        assert record.credentials
        credentials = msgspec.structs.replace(
            record.credentials, expires_at=time.time() + (-60 if expired else 864_000)
        )
        store = open_store(spec)
        with store.lock():
            loaded = store.load()
            version = loaded.version if loaded else None
            store.save(msgspec.structs.replace(record, credentials=credentials), version)
        emulator.clear_journal()
        return credentials

    return put


@pytest.fixture
def expire(spec: str) -> Callable[[], None]:
    """Make the stored access token look expired, without a refresh to show for it."""

    def change() -> None:
        store = open_store(spec)
        with store.lock():
            record, version = store.load()  # type: ignore[misc]
            old = msgspec.structs.replace(record.credentials, expires_at=time.time() - 60)
            store.save(msgspec.structs.replace(record, credentials=old, obtained_at=None), version)

    return change


@pytest.fixture
def refreshes(emulator: Emulator) -> Callable[[], list[int]]:
    """The statuses of the refreshes that the issuer has seen."""

    def statuses() -> list[int]:
        rows = [row for row in emulator.journal() if row["path"].endswith("/oauth/token")]
        return [row["status"] for row in rows if row["body"]["grant_type"] == "refresh_token"]

    return statuses
