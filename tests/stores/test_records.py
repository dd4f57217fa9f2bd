"""Records of each schema, and what the stores of each scheme can be used for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.backends import ROWS
from onplan.config.store_schemes import CAPABILITIES, Capabilities
from onplan.stores import (
    STORES,
    PendingRefresh,
    capabilities_of,
    decode_record,
    open_store,
    require_permitted,
)
from onplan.stores.memory import MemoryStore

SCHEMA_1 = {
    "schema": 1,
    "credentials": {"access_token": "at", "refresh_token": "rt"},
    "renewed_at": 1_700_000_000.5,
    "pending_refresh": {"fingerprint": "0123456789abcdef", "started_at": 1.0},
    "api_key_for": "https://a.example",
}
REGISTRATION = {"client_id": "oaiapp_1", "issuer": "https://issuer.example"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [({}, "codex"), ({"registration": None}, "codex"), ({"registration": REGISTRATION}, "siwc")],
)
@pytest.mark.parametrize("leave_out", [(), ("schema",)])
def test_a_record_of_schema_1_is_read(
    tmp_path: Path, change: dict[str, Any], kind: str, leave_out: tuple[str, ...]
) -> None:
    """An older onplan's file loads whole; the kind of its issuer follows from the registered client."""
    fields = {name: value for name, value in (SCHEMA_1 | change).items() if name not in leave_out}
    record = decode_record(json.dumps(fields).encode(), "a file")

    assert (record.schema, record.issuer_kind, record.obtained_at) == (2, kind, 1_700_000_000.5)
    assert record.credentials
    assert record.credentials.refresh_token == "rt"
    assert record.pending_refresh == PendingRefresh(fingerprint="0123456789abcdef", started_at=1.0)
    assert record.api_key_for == "https://a.example"
    assert (record.registration is not None) is (kind == "siwc")


def test_the_next_write_is_of_schema_2(tmp_path: Path) -> None:
    """What is saved over an older record has the new names only, and comes back equal."""
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(SCHEMA_1))
    path.chmod(0o600)
    store = open_store(f"file:{path}")
    loaded = store.load()
    assert loaded
    store.save(loaded.record, loaded.version)

    written = json.loads(path.read_text())
    assert (written["schema"], written["issuer_kind"], written["obtained_at"]) == (
        2,
        "codex",
        1_700_000_000.5,
    )
    assert "renewed_at" not in written
    again = store.load()
    assert again
    assert again.record == loaded.record


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": 3, "credentials": "of a shape to come"},
        {"schema": 3, "issuer_kind": "one to come"},
        {"schema": 99},
    ],
)
def test_a_newer_record_is_not_called_damaged(fields: dict[str, Any]) -> None:
    """Whatever a newer onplan has changed: this one says that it is newer, and what to do."""
    with pytest.raises(onplan.StoreError, match="newer onplan") as caught:
        decode_record(json.dumps(fields).encode(), "a file")
    assert not isinstance(caught.value, onplan.StoreDamagedError)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize("schema", [True, "2", None, 2.5])
def test_a_schema_that_is_no_number_is_damage(schema: Any) -> None:
    """Only a whole number is a schema."""
    with pytest.raises(onplan.StoreDamagedError):
        decode_record(json.dumps({"schema": schema}).encode(), "a file")


def test_an_unknown_kind_of_issuer_is_damage() -> None:
    """A record of this schema names a kind that there is."""
    with pytest.raises(onplan.StoreDamagedError):
        decode_record(b'{"schema": 2, "issuer_kind": "elsewhere"}', "a file")


# --- what stores can be used for -------------------------------------------------------------------------

(LOCAL_ONLY,) = (row for row in ROWS if row.local_stores_only)


class RemoteStore(MemoryStore):
    """Another package's, which says that it is on a server."""

    capabilities = Capabilities(shareable=True, not_for_local_sign_ins="it is on a server")


class SilentStore(MemoryStore):
    """Another package's, which says nothing."""

    capabilities = None  # type: ignore[assignment]


def test_every_scheme_declares_its_capabilities() -> None:
    """The table that is read without loading a store, and the class of each scheme, say the same."""
    assert CAPABILITIES.keys() == STORES.keys()
    for scheme, target in STORES.items():
        module, _, name = target.partition(":")
        found = getattr(__import__(module, fromlist=[name]), name)
        assert found.capabilities is CAPABILITIES[scheme] is capabilities_of(f"{scheme}:x")


@pytest.mark.parametrize("scheme", ["vault", "codex", "env"])
def test_a_local_sign_in_is_not_kept_elsewhere(scheme: str) -> None:
    """The spec alone is enough to refuse it; the sentence names the scheme and the reason."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        open_store(f"{scheme}:a/b", LOCAL_ONLY)
    assert str(caught.value) == (
        f"A {LOCAL_ONLY.name} sign-in is not kept in {scheme}: {CAPABILITIES[scheme].not_for_local_sign_ins}."
    )


def test_another_packages_store_is_asked_what_it_is() -> None:
    """An object that declares nothing is permitted; one that is on a server is not."""
    require_permitted(SilentStore(), LOCAL_ONLY)
    with pytest.raises(onplan.ConfigurationError, match="is not kept in this store: it is on a server"):
        require_permitted(RemoteStore(), LOCAL_ONLY)
    for row in ROWS:
        if row is not LOCAL_ONLY:
            require_permitted(RemoteStore(), row)
