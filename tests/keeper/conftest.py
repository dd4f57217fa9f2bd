"""The stores that the proofs of this folder run on, each holding a credential that the emulator honours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import onplan
from onplan.emulator import Emulator
from onplan.oauth.id_token import account_id
from onplan.stores import Record, open_store

# `make interop` adds one that needs more than Python: its spec.
EXTERNAL = os.environ.get("ONPLAN_TEST_STORE")


@pytest.fixture
def spec(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store spec that clients of this test use; named by a parameter, or a file."""
    scheme = getattr(request, "param", "file")
    if scheme == "vault":
        request.getfixturevalue("vault")
    places = {
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
        tokens = emulator.issue_tokens()
        credentials = onplan.OAuthCredentials(
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
            id_token=tokens["id_token"],
            expires_at=time.time() + (-60 if expired else 864_000),
            account_id=account_id(tokens["id_token"]),
            plan="plus",
            email="person@example.com",
            client_id="app_EMoamEEZ73f0CkXaXp7hrann",
            issuer=emulator.issuer,
        )
        store = open_store(spec)
        with store.lock():
            loaded = store.load()
            store.save(Record(credentials=credentials), loaded[1] if loaded else None)
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
            store.save(Record(credentials=old), version)

    return change


@pytest.fixture
def refreshes(emulator: Emulator) -> Callable[[], list[int]]:
    """The statuses of the refreshes that the issuer has seen."""

    def statuses() -> list[int]:
        rows = [row for row in emulator.journal() if row["path"] == "/oauth/token"]
        return [row["status"] for row in rows if row["body"]["grant_type"] == "refresh_token"]

    return statuses
