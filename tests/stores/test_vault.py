"""The vault store with a real server: its layout, its versions, and the engines that it accepts."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

import onplan
from onplan.emulator import Emulator
from onplan.stores import CredentialStore, PendingRefresh, Record, open_store
from onplan.stores.contract import FIRST, PENDING, SECOND, StoreContract

SPEC = "vault:secret/onplan/me?lease=1"
DATA = "secret/data/onplan/me"


class TestVaultStore(StoreContract):
    @pytest.fixture
    def spec(self, vault: Any) -> str:
        return "vault:secret/onplan/me?lease=5"  # on a busy machine a holder's steps take more than a second

    @pytest.fixture
    def undertaker(self, vault: Any) -> Iterator[None]:
        """An administrator who takes the lock away from processes that are dead, so that nobody waits."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                with suppress(urllib.error.HTTPError):  # 404: nobody has it
                    found = vault.api("GET", f"{DATA}.lease")["data"]
                    try:
                        os.kill(found["data"]["pid"], 0)
                    except ProcessLookupError:
                        versions = {"versions": [found["metadata"]["version"]]}
                        vault.api("POST", "secret/delete/onplan/me.lease", versions)

        thread = threading.Thread(target=watch)
        thread.start()
        yield
        done.set()
        thread.join()

    def test_killed_between_any_two_steps(self, spec: str, undertaker: None) -> None:
        """Killed at each of about a hundred steps; that the lease expires by itself is another test's."""
        super().test_killed_between_any_two_steps(spec)


@pytest.fixture
def store(vault: Any) -> CredentialStore:
    """An empty store."""
    return open_store(SPEC)


def secret(vault: Any, path: str = DATA) -> dict[str, Any]:
    fields: dict[str, Any] = vault.api("GET", path)["data"]["data"]
    return fields


def put(vault: Any, fields: dict[str, Any], path: str = DATA) -> None:
    vault.api("POST", path, {"data": fields})


# --- layout --------------------------------------------------------------------------------------------


def test_the_fields_are_at_the_top_level(vault: Any, store: CredentialStore) -> None:
    """Other programs find the tokens where they look for them, and whole seconds as an integer."""
    store.save(FIRST, None)

    found = secret(vault)
    assert FIRST.credentials
    assert found["access_token"] == FIRST.credentials.access_token
    assert found["refresh_token"] == FIRST.credentials.refresh_token
    assert json.dumps(found["expires_at"]) == "2000000000"
    assert (found["schema"], json.dumps(found["obtained_at"])) == (2, "1700000000")


def test_fractions_of_seconds_are_kept(store: CredentialStore) -> None:
    """A time that is no whole second comes back exactly."""
    credentials = msgspec.structs.replace(FIRST.credentials, expires_at=1_795_387_147.371471)
    record = Record(credentials=credentials, obtained_at=0.1)
    version = store.save(record, None)

    assert store.load() == (record, version)


def test_what_others_keep_there_stays(vault: Any, store: CredentialStore) -> None:
    """Fields that are not ours survive every write; ours that are over do not."""
    theirs = {"base_url": "https://x", "headers": {"a": [1, None, 1.5]}, "note": "ü"}
    put(vault, {"access_token": "at", **theirs})
    _, version = store.load()  # type: ignore[misc]
    version = store.save(PENDING, version)
    assert theirs.items() <= secret(vault).items()

    store.save(FIRST, version)

    assert theirs.items() <= secret(vault).items()
    assert "pending_refresh" not in secret(vault)


def test_an_older_onplans_secret_is_read(vault: Any, store: CredentialStore) -> None:
    """A secret of schema 1 loads whole, and the next write leaves nothing of that schema there."""
    fields = {"schema": 1, "access_token": "at", "refresh_token": "rt", "renewed_at": 1_700_000_000}
    put(vault, fields | {"note": "theirs"})
    record, version = store.load()  # type: ignore[misc]
    assert (record.issuer_kind, record.obtained_at) == ("codex", 1_700_000_000.0)

    store.save(record, version)
    written = secret(vault)
    assert (written["schema"], written["obtained_at"], written["note"]) == (2, 1_700_000_000, "theirs")
    assert "renewed_at" not in written


def token(**claims: Any) -> str:
    payload = {"exp": 1_900_000_000, **claims}
    parts = (json.dumps(part).encode() for part in ({}, payload, {}))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


CLAIMS = {
    "email": "me@example.com",
    "https://api.openai.com/auth": {"chatgpt_account_id": "acct-9", "chatgpt_plan_type": "pro"},
}


@pytest.mark.parametrize(
    ("fields", "expires_at", "account"),
    [
        ({"access_token": token(**CLAIMS)}, 1_900_000_000.0, "acct-9"),
        ({"access_token": token(**CLAIMS), "expires_at": 1_800_000_000}, 1_900_000_000.0, "acct-9"),
        ({"expires_at": 1_800_000_000}, 1_800_000_000.0, "acct-9"),
        ({"expires_at": 1_800_000_000_500}, 1_800_000_000.5, "acct-9"),
        ({"expires_at": "1800000000"}, 1_800_000_000.0, "acct-9"),
        ({}, None, "acct-9"),
        ({"expires_at": 1_800_000_000, "chatgpt_account_id": "acct-1"}, 1_800_000_000.0, "acct-1"),
        ({"expires_at": 1_800_000_000, "id_token": None}, 1_800_000_000.0, "acct-9"),
    ],
)
def test_another_programs_layout_is_read(
    vault: Any, fields: dict[str, Any], expires_at: float | None, account: str
) -> None:
    """Tokens without a schema are a sign-in; an expiry may be text or milliseconds; claims count first."""
    lasting = {"access_token": token(exp=None, **CLAIMS), "refresh_token": "rt"}
    put(
        vault,
        lasting | fields,
        "secret/data/codetether/providers/openai-codex",
    )
    store = open_store("vault:secret/codetether/providers/openai-codex")
    record, version = store.load()  # type: ignore[misc]

    assert record.credentials == onplan.OAuthCredentials(
        access_token=(lasting | fields)["access_token"],
        refresh_token="rt",
        expires_at=expires_at,
        account_id=account,
        plan="pro",
        email="me@example.com",
    )
    assert store.load() == (record, "1")
    store.save(record, version)
    assert store.load() == (record, "2")


def test_another_programs_record_is_refreshed_in_place(vault: Any, signed_in: Emulator) -> None:
    """A refreshed sign-in is still one for a program that knows three fields, and perhaps one more."""
    path = "secret/data/codetether/providers/openai-codex"
    tokens = signed_in.issue_tokens()
    expired = token(exp=int(time.time()) - 60, iss=signed_in.issuer)
    old = {"access_token": expired, "refresh_token": tokens["refresh_token"]}
    put(vault, {**old, "expires_at": int(time.time()) - 60, "chatgpt_account_id": "stale", "x": 1}, path)

    with onplan.Client(store="vault:secret/codetether/providers/openai-codex?lease=10") as client:
        credentials = client.credentials()

    found = secret(vault, path)
    assert found["access_token"] == credentials.access_token != old["access_token"]
    assert found["refresh_token"] == credentials.refresh_token != old["refresh_token"]
    assert isinstance(found["expires_at"], int)
    assert found["expires_at"] > time.time()
    assert (found["chatgpt_account_id"], found["x"]) == (credentials.account_id, 1)
    assert [row["path"] for row in signed_in.journal()].count("/oauth/token") == 1


@pytest.mark.parametrize(
    "fields", [{"password": "k"}, {"access_token": 5}, {"schema": "x"}, {"schema": 1, "refresh_token": "r"}]
)
def test_what_is_no_sign_in_is_told_apart(vault: Any, store: CredentialStore, fields: dict[str, Any]) -> None:
    """Another kind of secret is an error, not "nobody is signed in"; a record may replace its version."""
    put(vault, fields)
    with pytest.raises(onplan.errors.StoreDamagedError) as caught:
        store.load()
    assert caught.value.version == "1"

    with pytest.raises(onplan.errors.StoreConflictError):
        store.save(FIRST, None)
    store.save(FIRST, caught.value.version)

    assert store.load() == (FIRST, "2")
    assert ("password" in secret(vault)) == ("password" in fields)


def test_a_newer_schema_is_left_alone(vault: Any, store: CredentialStore) -> None:
    """What a newer onplan wrote is neither read nor taken for damaged."""
    put(vault, {"schema": 99, "access_token": "x"})

    with pytest.raises(onplan.StoreError, match="newer onplan") as caught:
        store.load()
    assert not isinstance(caught.value, onplan.errors.StoreDamagedError)


# --- versions ------------------------------------------------------------------------------------------


def test_deleting_hides_every_version(vault: Any, store: CredentialStore) -> None:
    """After a sign-out no version can be read, for the older ones hold tokens, too; the history is there."""
    version = None
    for record in (FIRST, PENDING, SECOND):
        version = store.save(record, version)
    store.delete()

    metadata = vault.api("GET", "secret/metadata/onplan/me")["data"]
    assert len(metadata["versions"]) == 4
    for number, described in metadata["versions"].items():
        assert described["deletion_time"]
        assert not described["destroyed"]
        with pytest.raises(urllib.error.HTTPError):
            vault.api("GET", f"{DATA}?version={number}")


@pytest.mark.parametrize("gone", ["DELETE secret/data", "POST secret/destroy", "DELETE secret/metadata"])
def test_what_an_administrator_removed_is_gone(vault: Any, store: CredentialStore, gone: str) -> None:
    """A secret that was deleted, destroyed or forgotten elsewhere is an empty store that can be used."""
    store.save(FIRST, None)
    method, path = gone.split()
    vault.api(method, f"{path}/onplan/me", {"versions": [1]} if method == "POST" else None)
    assert store.load() is None

    version = store.save(SECOND, None)

    assert store.load() == (SECOND, version)


def test_an_engine_that_forgets_is_reported(
    vault: Any, store: CredentialStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the engine deletes what is written after a while, saving a sign-in there warns of it."""
    vault.api("POST", "secret/config", {"delete_version_after": "3600s"})
    store.save(FIRST, None)

    assert "deletes secret/onplan/me after 3600 seconds" in caplog.text


# --- where it is ---------------------------------------------------------------------------------------


def test_a_mount_may_have_slashes(vault: Any) -> None:
    """Which part of the path is the mount is what the server says."""
    vault.mount("people/kv")
    store = open_store("vault:/people/kv/a/b c/ü%41/")
    store.save(FIRST, None)

    assert secret(vault, "people/kv/data/a/b%20c/%C3%BC%2541")["schema"] == 2
    with pytest.raises(onplan.StoreError, match="secrets engine as a whole"):
        open_store("vault:people/kv").load()
    vault.api("DELETE", "sys/mounts/people/kv")


@pytest.mark.parametrize(
    ("mount", "sentence", "hint"),
    [
        ("old", "old/ .* KV engine of version 1", "bao kv enable-versioning old"),
        ("absent", "no secrets engine at absent/", "bao secrets enable -path=absent -version=2 kv"),
        ("cubbyhole", "an engine for cubbyhole", "KV engine of version 2"),
    ],
)
def test_another_engine_is_not_written_to(vault: Any, mount: str, sentence: str, hint: str) -> None:
    """A KV engine of version 1, another engine, or none: each has its sentence, and nothing is written."""
    vault.mount("old", version=1)
    store = open_store(f"vault:{mount}/onplan/me")

    for use in (store.load, lambda: store.save(FIRST, None), store.delete, lambda: store.lock().__enter__()):
        with pytest.raises(onplan.StoreError, match=sentence) as caught:
            use()
        assert hint in caught.value.hint
    with pytest.raises(urllib.error.HTTPError):
        vault.api("GET", "old/data/onplan/me")
    vault.api("DELETE", "sys/mounts/old")


def test_namespaces_are_apart(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The namespace comes from the spec or the environment; the same path elsewhere is another secret."""
    vault.api("POST", "sys/namespaces/team", {})
    vault.mount("secret", namespace="team")
    open_store("vault:secret/onplan/me?namespace=team").save(FIRST, None)
    assert open_store("vault:secret/onplan/me").load() is None

    monkeypatch.setenv("VAULT_NAMESPACE", "team")
    store = open_store("vault:secret/onplan/me")
    assert store.load() == (FIRST, "1")
    assert store.describe() == f"vault:secret/onplan/me at {vault.address} in namespace team"
    with pytest.raises(onplan.StoreError, match="no such namespace") as caught:
        open_store("vault:secret/onplan/me?namespace=nobody").load()
    assert "VAULT_NAMESPACE" in caught.value.hint
    vault.api("DELETE", "sys/namespaces/team")


@pytest.mark.parametrize(
    ("spec", "variables", "sentence"),
    [
        ("vault:secret", {}, "mount and a path"),
        ("vault:secret/../x", {}, "mount and a path"),
        ("vault:secret/a?token=x", {}, "no option called 'token'"),
        ("vault:secret/a?lease=0", {}, "lease=0"),
        ("vault:secret/a?lease=soon", {}, "lease=soon"),
        ("vault:secret/a?auth=ldap", {}, "auth=ldap"),
        ("vault:secret/a?auth=kubernetes", {}, "needs a role"),
        ("vault:secret/a?auth=approle", {}, "needs a role"),
        ("vault:secret/a?address=http://vault.example.com:8200", {}, "where a token could be read"),
        ("vault:secret/a?address=https://u:p@vault.example.com", {}, "scheme, host and path"),
        (
            "vault:secret/a",
            {"VAULT_ADDR": "http://vault.example.com"},
            "VAULT_ADDR is http://vault.example.com",
        ),
        ("vault:secret/a", {"VAULT_ADDR": ""}, "has no server address"),
        ("vault:secret/a", {"VAULT_SKIP_VERIFY": "true"}, "not verified"),
        ("vault:secret/a", {"VAULT_CACERT": "/absent.pem"}, "VAULT_CACERT is /absent.pem"),
        ("vault:secret/a", {"VAULT_CAPATH": "/absent"}, "VAULT_CAPATH is /absent"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    vault: Any, monkeypatch: pytest.MonkeyPatch, spec: str, variables: dict[str, str], sentence: str
) -> None:
    """A setting that is wrong or not safe is refused before anything is sent."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(onplan.ConfigurationError, match=sentence):
        open_store(spec)


def run(code: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60)


def test_a_missing_library_names_the_extra(vault: Any) -> None:
    """Without hvac the store says what to install, before it is used."""
    code = (
        "import sys, onplan\n"
        "from importlib.machinery import PathFinder\n"
        "from onplan.stores import open_store\n"
        "class Without(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, *rest):\n"
        "        return None if name == 'hvac' else super().find_spec(name, *rest)\n"
        "sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]\n"
        "try: open_store('vault:secret/onplan/me')\n"
        "except onplan.MissingExtraError as error: print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert "pip install 'onplan[vault]'" in done.stdout


def test_opening_loads_nothing_heavy(vault: Any) -> None:
    """Opening the store loads neither hvac nor an HTTP library."""
    code = (
        "import sys\n"
        "from onplan.stores import open_store\n"
        "open_store('vault:secret/onplan/me').describe()\n"
        "print({'hvac', 'requests', 'httpx2'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "set()\n"


def test_the_printed_form_names_the_place(vault: Any) -> None:
    """Neither the description nor the printed form has a token in it; both say where it is."""
    store = open_store(SPEC)
    assert store.describe() == f"vault:secret/onplan/me at {vault.address}"
    assert "root" not in repr(store) + repr(vars(store))
    assert repr(store) == f"<VaultStore {store.describe()}>"


def test_a_pending_refresh_is_kept(store: CredentialStore) -> None:
    """All that a record may hold comes back."""
    record = Record(
        credentials=FIRST.credentials,
        pending_refresh=PendingRefresh(fingerprint="f", started_at=1.5),
        borrowed_from="codex:~/.codex",
    )
    version = store.save(record, None)

    assert store.load() == (record, version)
    assert store.save(Record(), version) == "2"
    assert store.load() == (Record(), "2")
