"""Signing out: what the server hears, what is left here, and what is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import Settings, load_settings
from onplan.emulator import Emulator
from onplan.emulator.journal import fingerprint
from onplan.sign_in.login import sign_in_with_browser
from onplan.sign_in.sign_out import SignOut, sign_out, sign_out_everywhere
from onplan.stores import CredentialStore, Record, Stored, open_store


def revocations(emulator: Emulator) -> list[dict[str, Any]]:
    return [row["body"] for row in emulator.journal() if row["path"] == "/oauth/revoke"]


def change(store: CredentialStore, **changes: Any) -> Record:
    """Change fields of the credentials that are stored."""
    loaded = store.load()
    assert loaded
    record, version = loaded
    assert record.credentials
    after = msgspec.structs.replace(
        record, credentials=msgspec.structs.replace(record.credentials, **changes)
    )
    store.save(after, version)
    return after


def test_signing_out_revokes_and_forgets(
    signed_in: Emulator, settings: Settings, store: CredentialStore
) -> None:
    """Signing out ends the tokens at the server and here; doing it twice is no error."""
    loaded = store.load()
    assert loaded
    held = loaded.record.credentials
    assert held
    assert held.refresh_token

    assert sign_out(settings, store) == SignOut(was_signed_in=True, confirmed=True)

    assert store.load() is None
    (body,) = revocations(signed_in)
    assert set(body) == {"token", "token_type_hint", "client_id"}
    assert body["token"] == fingerprint(held.refresh_token)
    assert not signed_in.world.ledger.accepts(held.access_token)
    assert sign_out(settings, store).was_signed_in is False
    assert len(revocations(signed_in)) == 1


def test_nothing_secret_is_left_behind(
    signed_in: Emulator, settings: Settings, store: CredentialStore, clean_environment: Path
) -> None:
    """Afterwards no file in the configuration folder has a token in it, nor one of a killed writer."""
    loaded = store.load()
    assert loaded
    held = loaded.record.credentials
    assert held
    leftover = clean_environment / "credentials" / ".default.json.~killed"
    leftover.write_text(held.access_token)

    sign_out(settings, store)

    left = b"".join(path.read_bytes() for path in clean_environment.rglob("*") if path.is_file())
    assert held.access_token.encode() not in left
    assert (held.refresh_token or "").encode() not in left


def test_a_server_in_trouble_is_asked_again(
    signed_in: Emulator, settings: Settings, store: CredentialStore
) -> None:
    """Two failures that pass do not keep the tokens from being revoked."""
    signed_in.arm("revoke_500", times=2)

    assert sign_out(settings, store).confirmed
    assert len(revocations(signed_in)) == 3


def test_signing_out_forgets_also_without_the_server(
    signed_in: Emulator, settings: Settings, store: CredentialStore
) -> None:
    """When the server does not confirm, the tokens are forgotten here and the outcome says so."""
    signed_in.arm("revoke_500", times=9)

    assert sign_out(settings, store) == SignOut(was_signed_in=True, confirmed=False)
    assert store.load() is None


@pytest.mark.parametrize("issuer", ["http://issuer.example.com", "not a URL"])
def test_an_issuer_that_cannot_be_reached_delays_no_sign_out(
    signed_in: Emulator, settings: Settings, store: CredentialStore, issuer: str
) -> None:
    """A credential whose issuer is out of the question is forgotten all the same."""
    change(store, issuer=issuer)

    assert sign_out(settings, store) == SignOut(was_signed_in=True, confirmed=False)
    assert store.load() is None


def test_what_was_borrowed_is_not_revoked(
    signed_in: Emulator, settings: Settings, store: CredentialStore
) -> None:
    """A token that belongs to another program is forgotten here, and goes on working there."""
    loaded = store.load()
    assert loaded
    record, version = loaded
    store.save(msgspec.structs.replace(record, borrowed_from="codex:/other"), version)

    outcome = sign_out(settings, store)

    assert outcome == SignOut(was_signed_in=True, confirmed=False, borrowed_from="codex:/other")
    assert store.load() is None
    assert signed_in.journal() == []


def test_a_damaged_record_is_not_removed_unasked(
    signed_in: Emulator, settings: Settings, store: CredentialStore
) -> None:
    """What cannot be read cannot be revoked: that is told and nothing done, unless it is wanted."""
    path = Path(store.describe())
    path.write_text('{"credentials": {"refresh_tok')

    with pytest.raises(onplan.StoreError, match="cannot be revoked") as caught:
        sign_out(settings, store)

    assert "onplan logout --force" in caught.value.hint
    assert path.exists()
    assert sign_out(settings, store, force=True) == SignOut(was_signed_in=True, confirmed=False)
    assert not path.exists()


class WornOutStore:
    """A stranger's store that still can be read."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def load(self) -> Stored:
        return Stored(self._record, "1")

    def save(self, record: Record, expected_version: str | None) -> str:
        raise onplan.StoreError("Worn out.")

    def delete(self) -> None:
        raise onplan.StoreError("Worn out.", hint="Buy another.")

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def describe(self) -> str:
        return "a slate"


def test_a_store_that_does_not_let_go_is_told(
    signed_in: Emulator, settings: Settings, store: CredentialStore
) -> None:
    """Where the record cannot be removed, that is an error that says what became of the tokens."""
    loaded = store.load()
    assert loaded

    with pytest.raises(onplan.StoreError, match=r"Worn out\..*no longer work") as caught:
        sign_out(settings, WornOutStore(loaded.record))

    assert caught.value.hint == "Buy another."
    assert len(revocations(signed_in)) == 1


def test_a_read_only_store_is_told(
    emulator: Emulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in in a variable cannot be removed, and is not ours to revoke."""
    monkeypatch.setenv("TOKEN_FOR_THIS_TEST", emulator.issue_tokens()["access_token"])

    with pytest.raises(onplan.StoreError, match="can only be read"):
        sign_out(settings, open_store("env:TOKEN_FOR_THIS_TEST"))

    assert emulator.journal() == []


# --- everywhere ---------------------------------------------------------------------------------------


@pytest.fixture
def many(
    emulator: Emulator,
    browse: Callable[[str], None],
    tmp_path: Path,
    clean_environment: Path,
) -> Emulator:
    """Signed in: ``home``, and ``one`` and ``two``, who share a store. ``worn`` is damaged."""
    for name, store in (
        ("home", None),
        ("one", f"file:{tmp_path}/s.json"),
        ("two", f"file:{tmp_path}/s.json"),
    ):
        settings = load_settings(profile=name, store=store)
        if name != "two":
            sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)
        remember_profile(settings)
    worn = tmp_path / "worn.json"
    worn.write_text("worn")
    worn.chmod(0o600)
    config = f"[profiles.worn]\nstore = {json.dumps(f'file:{worn}')}\n"
    (clean_environment / "config.toml").write_text(config)
    emulator.clear_journal()
    return emulator


def test_everybody_is_signed_out_once(many: Emulator, tmp_path: Path) -> None:
    """Each store is signed out once, for all its profiles; one that fails does not stop the others."""
    rows = {row.profiles: row.outcome for row in sign_out_everywhere(load_settings())}

    assert set(rows) == {("two", "one"), ("default",), ("home",), ("worn",)}
    assert rows["home",] == rows["two", "one"] == SignOut(was_signed_in=True, confirmed=True)
    assert rows["default",] == SignOut(was_signed_in=False, confirmed=False)
    assert isinstance(rows["worn",], onplan.StoreError)
    assert len(revocations(many)) == 2
    assert not (tmp_path / "s.json").exists()
    assert (tmp_path / "worn.json").exists()


def test_a_store_that_the_environment_names_belongs_to_them(
    many: Emulator, monkeypatch: pytest.MonkeyPatch, browse: Callable[[str], None], tmp_path: Path
) -> None:
    """ONPLAN_STORE hides the profiles' own stores from every other command; signed out are all of them."""
    monkeypatch.setenv("ONPLAN_STORE", f"file:{tmp_path}/other.json")
    settings = load_settings()
    sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)
    many.clear_journal()

    rows = sign_out_everywhere(load_settings())

    assert rows[0].store == f"file:{tmp_path}/other.json"
    assert len(revocations(many)) == 3


def test_a_store_that_cannot_be_opened_is_one_that_fails(emulator: Emulator, clean_environment: Path) -> None:
    """A profile whose store does not exist on this machine is told, and the others are signed out."""
    clean_environment.mkdir(exist_ok=True)
    (clean_environment / "config.toml").write_text('[profiles.odd]\nstore = "nowhere:x"\n')

    rows = {row.profiles: row for row in sign_out_everywhere(load_settings())}

    assert rows["odd",].store == "nowhere:x"
    assert isinstance(rows["odd",].outcome, onplan.ConfigurationError)
    assert rows["default",].outcome == SignOut(was_signed_in=False, confirmed=False)
