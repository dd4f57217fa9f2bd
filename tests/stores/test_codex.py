"""The codex store: the file and locks of the Codex CLI, and tokens that the CLI has refreshed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.errors import StoreConflictError, StoreDamagedError
from onplan.oauth.issuer import CODEX
from onplan.sign_in.borrowing import borrow
from onplan.stores import PendingRefresh, Record, open_store
from onplan.stores.contract import FIRST, PENDING, SECOND, StoreContract
from onplan.tokens.manager import TokenManager
from onplan.transports.httpx2_sync import HTTPTransport

from .expired import expired_sign_in

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="file modes")
needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="flock(2)")


class TestCodexStore(StoreContract):
    @pytest.fixture
    def spec(self, home: Path) -> str:
        return f"codex:{home}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "codex"


@pytest.fixture
def store(home: Path) -> Any:
    return open_store(f"codex:{home}")


def jwt(**claims: Any) -> str:
    """A token nobody signed, as the CLI accepts it."""
    from base64 import urlsafe_b64encode

    parts = ({"alg": "none"}, claims)
    return (
        ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".x"
    )


ACCOUNT = {"chatgpt_account_id": "acct-claimed", "chatgpt_plan_type": "pro"}
ID_TOKEN = jwt(email="person@example.com", **{"https://api.openai.com/auth": ACCOUNT})
# As the CLI writes it, and with fields that nobody knows: numbers no reader should round, on every level.
THEIRS = """{
  "auth_mode": "chatgpt",
  "OPENAI_API_KEY": null,
  "tokens": {
    "future": [1.10, 1e400, 123456789012345678901234567890],
    "id_token": "ID",
    "access_token": "ACCESS",
    "refresh_token": "REFRESH",
    "oauth_provenance": {
      "issuer": "https://issuer.example.com",
      "client_id": "app_2",
      "added": "\\u00e9 \\/ \\u2603"
    },
    "login_owner_id": "owner",
    "account_id": "acct-chosen"
  },
  "last_refresh": "2026-11-22T10:00:00.123456789Z",
  "zzz": {}
}"""


def put(home: Path, text: str = THEIRS, **values: str) -> None:
    """Be the CLI: leave an auth.json."""
    home.mkdir(mode=0o700, exist_ok=True)
    values = {"ID": ID_TOKEN, "ACCESS": jwt(exp=2_000_000_000), "REFRESH": "rt-1", **values}
    for name, value in values.items():
        text = text.replace(f'"{name}"', f'"{value}"')
    (home / "auth.json").write_text(text)
    (home / "auth.json").chmod(0o600)


def auth(home: Path) -> Any:
    return json.loads((home / "auth.json").read_text())


def changed(record: Record, **changes: Any) -> Record:
    credentials = msgspec.structs.replace(record.credentials, **changes)  # type: ignore[type-var]
    return Record(credentials=credentials, obtained_at=1_800_000_000.25)


def pending(record: Record) -> Record:
    return msgspec.structs.replace(record, pending_refresh=PendingRefresh(fingerprint="f", started_at=1.5))


def refresh(store: Any, **changes: Any) -> Record:
    """What a refresh saves, in its two steps."""
    record, version = store.load()
    after = changed(record, **changes)
    store.save(after, store.save(pending(record), version))
    return after


# --- the file -----------------------------------------------------------------------------------------


def test_their_file_is_understood(home: Path, store: Any) -> None:
    """Every field of the CLI's file has its place; the account chosen wins over the claimed one."""
    put(home)

    record, _ = store.load()

    assert record.obtained_at == pytest.approx(1_795_341_600.123456789, abs=1e-6)
    assert record.credentials == onplan.OAuthCredentials(
        access_token=jwt(exp=2_000_000_000),
        refresh_token="rt-1",
        id_token=ID_TOKEN,
        expires_at=2_000_000_000.0,
        account_id="acct-chosen",
        plan="pro",
        email="person@example.com",
        client_id="app_2",
        issuer="https://issuer.example.com",
    )


@needs_modes
def test_a_file_of_ours_is_like_theirs(home: Path, store: Any) -> None:
    """A new file has the CLI's fields in its order, indentation and modes; the locks stay behind."""
    store.save(PENDING, None)

    text = (home / "auth.json").read_text()
    written = json.loads(text)
    assert text == json.dumps(written, indent=2)
    assert list(written) == ["auth_mode", "OPENAI_API_KEY", "tokens", "last_refresh"]
    assert (written["auth_mode"], written["OPENAI_API_KEY"]) == ("chatgpt", None)
    assert written["last_refresh"] == "2023-11-14T22:13:20.000000000Z"
    assert list(written["tokens"]) == [
        "id_token",
        "access_token",
        "refresh_token",
        "oauth_provenance",
        "login_owner_id",
        "account_id",
    ]
    assert len(written["tokens"]["login_owner_id"]) == 43
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir() if ".~" not in path.name}
    assert modes == {
        "auth.json": 0o600,
        "auth.json.lock": 0o600,
        "auth.lock": 0o600,
        "auth.onplan.json": 0o600,
        "auth.onplan.lock": 0o600,
    }
    beside = (home / "auth.onplan.json").read_text()
    assert not any(name in beside for name in ("access-", "refresh-", "id-i"))


def test_what_is_not_ours_stays(home: Path, store: Any) -> None:
    """A refresh changes tokens and time; everything else stays where it was, to the letter."""
    put(home)

    refresh(store, access_token=jwt(exp=2_000_000_001), refresh_token="rt-2")

    expected = json.loads(THEIRS)
    text = (home / "auth.json").read_text()
    after = json.loads(text)
    assert "1e400" in text
    assert '"added": "\\u00e9 \\/ \\u2603"' in text
    assert "1.10," in text
    assert list(after) == list(expected)
    assert list(after["tokens"]) == list(expected["tokens"])
    assert after["tokens"]["refresh_token"] == "rt-2"
    assert after["tokens"]["login_owner_id"] == "owner"
    assert after["last_refresh"] == "2027-01-15T08:00:00.250000000Z"
    refreshed = ("access_token", "refresh_token", "id_token")
    for document in (after, expected):
        del document["last_refresh"]
        for name in refreshed:
            del document["tokens"][name]
    assert after == expected


def test_an_older_file_gets_no_newer_fields(home: Path, store: Any) -> None:
    """Fields that an older CLI did not write are not added by a refresh, and nothing we know is lost."""
    put(
        home,
        '{"tokens": {"id_token": "ID", "access_token": "ACCESS", "refresh_token": "REFRESH"}, '
        '"last_refresh": "2026-11-22T10:00:00Z"}',
    )
    record, _ = store.load()
    assert record.credentials.account_id == "acct-claimed"

    after = refresh(store, refresh_token="rt-2", issuer="https://issuer.example.com", scopes=["a", "b"])

    assert list(auth(home)) == ["tokens", "last_refresh"]
    assert list(auth(home)["tokens"]) == ["id_token", "access_token", "refresh_token"]
    assert store.load().record == after


def test_a_refresh_may_tell_the_account(home: Path, store: Any) -> None:
    """Tokens that say nothing of an account, and successors that do, are of one sign-in."""
    put(home, THEIRS.replace('"acct-chosen"', "null"), ID="opaque")
    assert store.load().record.credentials.account_id is None

    after = refresh(store, refresh_token="rt-2", id_token=ID_TOKEN, account_id="acct-claimed")

    assert auth(home)["tokens"]["login_owner_id"] == "owner"
    assert store.load().record.credentials.account_id == "acct-claimed"
    assert after.credentials.refresh_token == store.load().record.credentials.refresh_token  # type: ignore[union-attr]


def test_the_login_owner_changes_with_the_sign_in(home: Path, store: Any) -> None:
    """A refresh keeps it; a new sign-in and another account get one of their own."""
    put(home)
    owners = [auth(home)["tokens"]["login_owner_id"]]
    for change in (
        lambda: refresh(store, refresh_token="rt-2"),
        lambda: store.save(changed(store.load().record, refresh_token="rt-3"), store.load().version),
        lambda: refresh(store, refresh_token="rt-4", account_id="acct-other"),
    ):
        change()
        owners.append(auth(home)["tokens"]["login_owner_id"])

    assert owners[:2] == ["owner", "owner"]
    assert len(set(owners)) == 3
    assert auth(home)["tokens"]["account_id"] == "acct-other"


@pytest.mark.parametrize("moment", [0.1, 1_795_342_800.1234567, 1_795_342_800.0, 2_000_000_000.0])
def test_a_moment_survives(home: Path, store: Any, moment: float) -> None:
    """The time of a refresh comes back exactly out of ``last_refresh``."""
    store.save(Record(credentials=FIRST.credentials, obtained_at=moment), None)
    (home / "auth.onplan.json").unlink()

    assert store.load().record.obtained_at == moment


BESIDE_SCHEMA_1 = """{
  "854e06db38f928b215537576786bf4b7b90eebfcbd79d463209271c1518c2c84": {
    "record": {"renewed_at": 6.0, "pending_refresh": {"fingerprint": "0123456789abcdef", "started_at": 7.0}},
    "credentials": {"expires_at": 9.0}
  }
}"""


def test_what_an_older_onplan_noted_beside_it_counts(home: Path, store: Any) -> None:
    """The file beside auth.json that a version before schema 2 wrote still belongs to the same sign-in."""
    tokens = {"id_token": "i", "access_token": "a", "refresh_token": "r", "account_id": "acct-1"}
    put(home, json.dumps({"tokens": tokens, "last_refresh": "1970-01-01T00:00:05.000000000Z"}))
    (home / "auth.onplan.json").write_text(BESIDE_SCHEMA_1)

    record, version = store.load()
    assert record.pending_refresh == PendingRefresh(fingerprint="0123456789abcdef", started_at=7.0)
    assert (record.schema, record.obtained_at, record.credentials.expires_at) == (2, 6.0, 9.0)
    store.save(record, version)
    assert store.load().record == record


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T12:00:00+02:00", 1_795_341_600.0),
        ("2026-11-22T10:00:00.5Z", 1_795_341_600.5),
        ("2026-13-22T10:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_times_of_others_are_read(home: Path, store: Any, text: str, seconds: float | None) -> None:
    """Any RFC 3339 time is understood, and what is none is no time."""
    put(home, THEIRS.replace("2026-11-22T10:00:00.123456789Z", text))

    assert store.load().record.obtained_at == seconds


def test_a_link_is_written_through(home: Path, store: Any, tmp_path: Path) -> None:
    """A linked auth.json stays a link, and the locks are those that the CLI takes for it."""
    put(home)
    target = tmp_path / "elsewhere.json"
    (home / "auth.json").rename(target)
    (home / "auth.json").symlink_to(target)

    after = refresh(store, refresh_token="rt-2")

    assert (home / "auth.json").is_symlink()
    assert json.loads(target.read_text())["tokens"]["refresh_token"] == "rt-2"
    assert Path(f"{target}.lock").exists()
    assert store.load().record == after
    assert [path for path in tmp_path.iterdir() if ".~" in path.name] == []


def test_a_linked_file_is_removed_where_it_is(home: Path, store: Any, tmp_path: Path) -> None:
    """Signing out removes what the link leads to; a later sign-in comes to the same place."""
    target = tmp_path / "elsewhere.json"
    home.mkdir()
    (home / "auth.json").symlink_to(target)
    store.save(FIRST, None)

    store.delete()
    assert not target.exists()
    assert store.load() is None

    store.save(SECOND, None)
    assert target.exists()
    assert store.load().record == SECOND


def test_an_opaque_token_keeps_its_expiry(home: Path, store: Any) -> None:
    """What the file cannot say is kept beside it, and counts no more when the CLI has rotated the token."""
    opaque = msgspec.structs.replace(FIRST.credentials, access_token="opaque", expires_at=1_900_000_000.5)
    store.save(Record(credentials=opaque), None)
    assert store.load().record.credentials.expires_at == 1_900_000_000.5
    text = (home / "auth.json").read_text()
    (home / "auth.json").write_text(text.replace('"opaque"', '"another"'))

    record, _ = open_store(f"codex:{home}").load()  # type: ignore[misc]

    assert record.credentials.access_token == "another"
    assert record.credentials.expires_at is None


@pytest.mark.parametrize("beside", [b"", b"{", b"[]", b'{"x": {"credentials": 1}}'])
def test_a_damaged_note_costs_no_sign_in(home: Path, store: Any, beside: bytes) -> None:
    """Without what is kept beside it their file is still a sign-in, and can be written."""
    store.save(PENDING, None)
    (home / "auth.onplan.json").write_bytes(beside)

    record, version = store.load()

    assert record.credentials.refresh_token == PENDING.credentials.refresh_token  # type: ignore[union-attr]
    assert store.save(SECOND, version) == store.load().version


# --- what is no sign-in -------------------------------------------------------------------------------

API_KEY = '{\n  "auth_mode": "apikey",\n  "OPENAI_API_KEY": "sk-1",\n  "kept": 1.10\n}'


def test_an_api_key_is_no_plan(home: Path, store: Any) -> None:
    """A file with an API key alone holds no sign-in; signing in and out leaves the key where it was."""
    put(home, API_KEY)
    assert store.load() is None
    assert "API key" in store.why_empty()
    store.delete()
    assert (home / "auth.json").read_text() == API_KEY

    store.save(FIRST, None)
    assert store.load().record == FIRST
    assert auth(home)["auth_mode"] == "chatgpt"
    store.delete()

    assert auth(home) == {"auth_mode": "chatgpt", "OPENAI_API_KEY": "sk-1", "kept": 1.1}
    assert store.load() is None
    assert not (home / "auth.onplan.json").exists()


@pytest.mark.parametrize("text", [API_KEY, None])
def test_an_empty_record_changes_nothing(home: Path, store: Any, text: str | None) -> None:
    """It tries, before a sign-in, whether there can be one; and it does not take the place of one."""
    if text:
        put(home, text)

    assert store.save(Record(), None)
    assert store.load() is None
    assert (home / "auth.json").exists() == bool(text)
    assert not text or (home / "auth.json").read_text() == text

    store.save(FIRST, None)
    with pytest.raises(onplan.StoreError, match="nothing else"):
        store.save(Record(), store.load().version)
    with pytest.raises(StoreConflictError):
        store.save(Record(), None)


def test_signing_out_leaves_nothing_secret(home: Path, store: Any) -> None:
    """The file goes, with what was beside it and what killed writers of ours left; not what others left."""
    store.save(PENDING, None)
    (home / ".auth.json.~killed").write_text("x")
    (home / ".auth-AbCdEf").write_text("the CLI's")

    store.delete()

    assert sorted(path.name for path in home.iterdir()) == [
        ".auth-AbCdEf",
        "auth.json.lock",
        "auth.lock",
        "auth.onplan.lock",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": 1}', '{"tokens": {"access_token": 1}}', "\\xff"])
def test_damage_is_told_apart(home: Path, store: Any, text: str) -> None:
    """A file that makes no sense is an error, not "nobody is signed in"; who has a sign-in may replace it."""
    put(home, text)

    with pytest.raises(StoreDamagedError, match="damaged") as caught:
        store.load()
    with pytest.raises(StoreConflictError):
        store.save(FIRST, None)

    store.save(FIRST, caught.value.version)
    assert store.load().record == FIRST


_INSTEAD = [
    ('{"OPENAI_API_KEY": "sk-x"}', "API key"),
    ('{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-x", "tokens": null, "last_refresh": null}', "API key"),
    ('{"auth_mode": "apikey", "OPENAI_API_KEY": null}', "API key"),
    ('{"auth_mode": "agentIdentity", "agent_identity": {"agent_id": "x"}}', "agent identity"),
    ('{"agent_identity": {"agent_id": "x"}, "tokens": null}', "agent identity"),
    ('{"auth_mode": "agentIdentity", "OPENAI_API_KEY": "sk-x"}', "agent identity"),
    ('{"auth_mode": "personalAccessToken", "personal_access_token": "at-x"}', "personal access token"),
    ('{"personal_access_token": "at-x"}', "personal access token"),
    ('{"auth_mode": "bedrockApiKey", "bedrock_api_key": "x"}', "Bedrock"),
    ('{"bedrock_access_keys": {"id": "x"}}', "Bedrock"),
    ('{"auth_mode": "chatgptAuthTokens"}', "another program"),
    ('{"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {}, "last_refresh": null}', "signed out"),
    ('{"tokens": {}}', "signed out"),
    (
        '{"tokens": {"id_token": "", "access_token": "", "refresh_token": "", "account_id": null}}',
        "signed out",
    ),
    ('{"tokens": {"account_id": "acct-1"}}', "signed out"),
]


@pytest.mark.parametrize(("text", "named"), _INSTEAD)
def test_what_the_cli_is_signed_in_with_instead_is_named(
    home: Path, store: Any, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    """Where a plan's sign-in is missing, the error names what is there instead, and shows no secret."""
    put(home, text)
    monkeypatch.setenv("ONPLAN_STORE", f"codex:{home}")

    assert store.load() is None
    with onplan.Client() as client, pytest.raises(onplan.NotSignedInError, match=named) as asked:
        client.complete("hi")
    with pytest.raises(onplan.NotSignedInError, match=named) as imported:
        borrow(load_settings(store=f"file:{home / 'own.json'}"), f"codex:{home}")

    for told in (asked.value, imported.value):
        assert str(home / "auth.json") in str(told)
        assert "onplan login" in told.hint
        assert "sk-x" not in str(told)
        assert "at-x" not in str(told)


@pytest.mark.parametrize(("text", "named"), _INSTEAD)
def test_a_plan_can_be_signed_in_beside_it(home: Path, store: Any, text: str, named: str) -> None:
    """A sign-in there is written as the CLI would, and leaves what is not about it."""
    put(home, text)
    before = json.loads(text)

    store.save(FIRST, None)

    assert store.load().record == FIRST
    after = auth(home)
    assert after["auth_mode"] == "chatgpt"
    for name in ("OPENAI_API_KEY", "agent_identity", "personal_access_token", "bedrock_api_key"):
        assert after.get(name) == before.get(name)


@pytest.mark.parametrize(
    "text", ["{}", '{"auth_mode": "chatgpt", "OPENAI_API_KEY": null}', '{"tokens": null}']
)
def test_an_empty_file_says_nothing_more(home: Path, store: Any, text: str) -> None:
    """Where nothing is known of another sign-in, nobody is signed in."""
    put(home, text)

    assert (store.load(), store.why_empty()) == (None, None)


# --- a file that is just being written ------------------------------------------------------------------

# Overwrites the file as older CLIs do: half of it, a word to whoever reads, and then the rest.
_HALF = """
import os, sys
path, data = sys.argv[1], sys.stdin.buffer.readline()
with open(path, "r+b") as file:
    file.truncate()
    file.write(data[: len(data) // 2])
    file.flush()
    print("half", flush=True)
    sys.stdin.buffer.readline()
    file.write(data[len(data) // 2 :])
"""


def test_a_file_that_is_being_overwritten_is_no_damaged_one(home: Path, store: Any) -> None:
    """A reader who meets half a file, under no lock, looks again before it calls that damage."""
    put(home)
    whole = (home / "auth.json").read_bytes().replace(b"\n", b" ") + b"\n"
    writer = subprocess.Popen(
        [sys.executable, "-c", _HALF, str(home / "auth.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdin
    assert writer.stdout
    writer.stdin.write(whole)
    writer.stdin.flush()
    assert writer.stdout.readline() == b"half\n"
    seen = 0

    def watch(frame: Any, event: str, called: Any) -> None:
        nonlocal seen
        if event == "c_call" and called.__name__ == "sleep":
            seen += 1
            if seen == 1:
                writer.communicate(b"\n", timeout=20)

    sys.setprofile(watch)
    try:
        record, _ = store.load()
    finally:
        sys.setprofile(None)

    assert (seen > 0, record.credentials.refresh_token) == (True, "rt-1")


def test_damage_is_told_without_their_locks_as_well(home: Path, store: Any) -> None:
    """Where the CLI's lock files cannot be made, what is damaged is still called damaged."""
    put(home, "{")
    (home / "auth.lock").mkdir()

    with pytest.raises(StoreDamagedError):
        store.load()


@pytest.mark.parametrize("mode", ["keyring", "auto"])
def test_a_sign_in_in_the_keyring_is_said_to_be_there(home: Path, store: Any, mode: str) -> None:
    """Where the CLI is told to use the keyring, a missing file does not mean that nobody is signed in."""
    home.mkdir()
    (home / "config.toml").write_text(f'cli_auth_credentials_store = "{mode}"\n')

    with pytest.raises(onplan.StoreError, match="keyring") as caught:
        store.load()

    assert 'cli_auth_credentials_store = "file"' in caught.value.hint


@pytest.mark.parametrize("config", ['cli_auth_credentials_store = "file"', "not toml", "", None])
def test_otherwise_a_missing_file_is_an_empty_store(home: Path, store: Any, config: str | None) -> None:
    """With any other configuration, or none, nobody is signed in; and looking makes no folder."""
    if config is not None:
        home.mkdir()
        (home / "config.toml").write_text(config)

    assert store.load() is None
    store.delete()
    assert home.exists() == (config is not None)


def test_the_folder_is_theirs(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a location it is CODEX_HOME's folder, else .codex in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_store("codex:").describe() == str(tmp_path / ".codex" / "auth.json")
    monkeypatch.setenv("CODEX_HOME", str(home))
    assert open_store("codex:").describe() == str(home / "auth.json")
    assert open_store("codex:~/x").describe() == str(tmp_path / "x" / "auth.json")


# --- both at once -------------------------------------------------------------------------------------


class OtherCLI:
    """The other program, in a process of its own."""

    def __init__(self, home: Path) -> None:
        script = str(Path(__file__).parent / "codex_cli.py")
        self.process = subprocess.Popen(
            [sys.executable, script, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answer()

    def answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def do(self, command: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.answer()


@pytest.fixture
def cli(home: Path) -> Iterator[OtherCLI]:
    home.mkdir(exist_ok=True)
    other = OtherCLI(home)
    try:
        yield other
    finally:
        other.process.communicate(timeout=60)


_SAVER = """
import sys
from onplan.stores import open_store
from onplan.stores.contract import SECOND

def watch(frame, event, called):
    if event == "c_exception" and called.__name__ == "flock":
        sys.setprofile(None)
        print("refused", flush=True)

store = open_store("codex:" + sys.argv[1])
version = store.load().version
with store.lock():
    sys.setprofile(watch)
    store.save(SECOND, version)
print("saved", flush=True)
"""


@needs_flock
def test_our_writing_waits_for_theirs(home: Path, store: Any, cli: OtherCLI) -> None:
    """While the CLI holds its locks we write nothing; when it lets go, we do."""
    store.save(FIRST, None)
    before = sha256((home / "auth.json").read_bytes()).hexdigest()
    cli.do("lock")
    saver = subprocess.Popen([sys.executable, "-c", _SAVER, str(home)], stdout=subprocess.PIPE, text=True)
    assert saver.stdout
    assert saver.stdout.readline() == "refused\n"

    assert cli.do("unlock") == before

    assert saver.communicate(timeout=60)[0] == "saved\n"
    assert store.load().record == SECOND


_LOADER = """
import sys
from onplan.stores import open_store

def watch(frame, event, called):
    if event == "c_exception" and called.__name__ == "flock":
        sys.setprofile(None)
        print("refused", flush=True)

sys.setprofile(watch)
print(open_store("codex:" + sys.argv[1]).load().record.credentials.refresh_token, flush=True)
"""


@needs_flock
def test_a_file_that_is_being_written_under_the_locks_is_no_damaged_one(home: Path, cli: OtherCLI) -> None:
    """A reader who meets half a file waits for the CLI's locks until it has written the other half."""
    put(home)
    whole = (home / "auth.json").read_text()
    (home / "auth.json").write_text(whole[: len(whole) // 2])
    cli.do("lock")
    reader = subprocess.Popen([sys.executable, "-c", _LOADER, str(home)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout
    assert reader.stdout.readline() == "refused\n"

    (home / "auth.json").write_text(whole)
    cli.do("unlock")

    assert reader.communicate(timeout=60)[0] == "rt-1\n"


_HOLDER = """
import os, sys
from pathlib import Path

def watch(frame, event, called):
    if event == "c_call" and called in (os.rename, os.replace):
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        print(*sorted(name.name for name in Path(sys.argv[1]).iterdir() if any(
            f":{name.stat().st_ino}" in row[5] and row[1] == "FLOCK" and row[3] == "WRITE" for row in held)))

from onplan.stores import open_store
from onplan.stores.contract import FIRST
store = open_store("codex:" + sys.argv[1])
sys.setprofile(watch)
store.save(FIRST, None)
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell who holds locks")
def test_their_locks_are_held_while_we_write(home: Path) -> None:
    """At every rename the CLI's own two locks are ours, as flock(2) knows them, beside our own."""
    told = subprocess.run(
        [sys.executable, "-c", _HOLDER, str(home)], capture_output=True, text=True, timeout=60, check=True
    )

    locks = "auth.json.lock auth.lock auth.onplan.lock"
    assert told.stdout.splitlines() == [locks, locks]


_FORKS = """
import os, signal, sys
from pathlib import Path
from onplan.stores import open_store
store = open_store(f"codex:{sys.argv[1]}")
with store._their_locks():
    if os.fork() == 0:
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_flock
def test_a_child_does_not_inherit_their_locks(home: Path, store: Any) -> None:
    """When a program is killed while it writes, its lock is free, although its child lives on."""
    store.save(FIRST, None)
    program = [sys.executable, "-c", _FORKS, str(home)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forking:
        assert forking.stdout
        assert forking.stdout.readline() == "forked\n"
        assert forking.wait(60) < 0

        store.save(SECOND, store.load().version)
        assert forking.stdin
        forking.stdin.close()
    assert store.load().record == SECOND


@needs_flock
def test_our_lock_does_not_hold_them_up(home: Path, store: Any, cli: OtherCLI) -> None:
    """While we hold the lock for a refresh the CLI writes; we are then refused, and theirs stays."""
    store.save(FIRST, None)
    with store.lock():
        record, version = store.load()
        version = store.save(pending(record), version)
        tokens = {"id_token": "i", "access_token": "a", "refresh_token": "r"}
        cli.do(f"put {json.dumps(tokens)}")
        assert cli.do("save") == "saved"

        with pytest.raises(StoreConflictError):
            store.save(SECOND, version)
    assert store.load().record.credentials.refresh_token == "r"
    assert store.load().record.pending_refresh is None


@pytest.fixture
def shared(emulator: Emulator, home: Path, store: Any) -> Any:
    """The store with a sign-in that the emulator honours, and an access token that has expired."""
    store.save(expired_sign_in(emulator), None)
    return store


@pytest.fixture
def transport() -> Iterator[HTTPTransport]:
    opened = HTTPTransport()
    yield opened
    opened.close()


def token_posts(emulator: Emulator) -> list[int]:
    return [row["status"] for row in emulator.journal() if row["path"] == "/oauth/token"]


@needs_flock
def test_their_refresh_is_adopted_when_ours_is_refused(
    shared: Any, emulator: Emulator, cli: OtherCLI, transport: HTTPTransport, home: Path
) -> None:
    """The CLI spends the token first and saves after we were refused: we go on with theirs, unchanged.

    The emulator only refuses the second use here: the CLI posts without a lock, which nobody can prevent.
    """
    emulator.world.ledger.reuse = "refuse"
    saved = []

    def send(request: Any, **options: Any) -> Any:
        cli.do(f"refresh {emulator.issuer}/oauth/token")
        return transport.fetch(request, **options)

    def sleep(seconds: float) -> None:
        if seconds and not saved:
            saved.append(cli.do("save"))
            saved.append((home / "auth.json").read_text())

    credentials = TokenManager(shared, CODEX.at(emulator.issuer), send, sleep=sleep).credentials()

    assert token_posts(emulator) == [200, 401]
    assert saved[0] == "saved"
    theirs = json.loads(saved[1])["tokens"]
    assert credentials.refresh_token == theirs["refresh_token"]
    assert auth(home) == json.loads(saved[1])


@needs_flock
def test_their_refresh_is_adopted_when_both_succeed(
    shared: Any, emulator: Emulator, cli: OtherCLI, transport: HTTPTransport, home: Path
) -> None:
    """The CLI saves while our answer is on its way: what it saved is not overwritten, and is used."""
    theirs = emulator.issue_tokens()

    def send(request: Any, **options: Any) -> Any:
        cli.do(f"put {json.dumps(theirs)}")
        answer = transport.fetch(request, **options)
        assert cli.do("save") == "saved"
        return answer

    credentials = TokenManager(shared, CODEX.at(emulator.issuer), send).credentials()

    assert credentials.refresh_token == theirs["refresh_token"]
    assert auth(home)["tokens"]["refresh_token"] == theirs["refresh_token"]


def test_what_we_refreshed_is_not_overwritten_by_them(
    shared: Any, emulator: Emulator, cli: OtherCLI, transport: HTTPTransport, home: Path
) -> None:
    """The CLI, slower than we are, finds that the token it spent is no longer there, and adopts ours."""
    cli.do(f"put {json.dumps(emulator.issue_tokens())}")
    ours = TokenManager(shared, CODEX.at(emulator.issuer), transport.fetch).credentials()

    assert cli.do("save") == "lost"
    assert auth(home)["tokens"]["refresh_token"] == ours.refresh_token


_WRITER = """
import sys
from onplan.stores import open_store
from onplan.stores.contract import FIRST, PENDING, SECOND
store = open_store("codex:" + sys.argv[1])
version = store.load().version
for _ in range(30):
    for record in (PENDING, SECOND, FIRST):
        version = store.save(record, version)
"""


def test_a_reader_never_sees_a_mixture(home: Path, store: Any) -> None:
    """Read without any lock while both files change: always one of the records that were saved, whole."""
    store.save(FIRST, None)
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(home)])
    seen = []
    while writer.poll() is None:
        record = store.load().record
        seen.append([FIRST, PENDING, SECOND].index(record))

    assert writer.returncode == 0
    assert set(seen) == {0, 1, 2}


@pytest.mark.parametrize("before", [2, 3])
def test_a_reader_who_was_held_up_begins_again(home: Path, store: Any, before: int) -> None:
    """Before any of its readings others may write more than once: what it gets is theirs, and whole."""
    version, opened = store.save(SECOND, None), []

    def watch(frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == "open":
            opened.append(called)
            if len(opened) == before:
                sys.setprofile(None)
                other = open_store(f"codex:{home}")
                other.save(PENDING, other.save(FIRST, version))

    sys.setprofile(watch)
    try:
        record, _ = store.load()
    finally:
        sys.setprofile(None)

    assert len(opened) == before
    assert record == PENDING


# --- nothing is spent that could not be kept ----------------------------------------------------------


@needs_modes
def test_a_write_protected_file_spends_nothing(
    shared: Any, emulator: Emulator, transport: HTTPTransport, home: Path
) -> None:
    """A file without write permission is not replaced, which is noticed before the token is sent."""
    (home / "auth.json").chmod(0o400)
    manager = TokenManager(shared, CODEX.at(emulator.issuer), transport.fetch)

    with pytest.raises(onplan.StoreError, match="write-protected") as caught:
        manager.credentials()
    assert f"chmod u+w {home / 'auth.json'}" in caught.value.hint
    assert token_posts(emulator) == []

    (home / "auth.json").chmod(0o600)
    assert manager.credentials().access_token
    assert token_posts(emulator) == [200]


# A file that is mounted into a container by itself: test_mounted.py.


def test_room_is_made_before_the_token_is_spent(home: Path, store: Any) -> None:
    """While a refresh is pending both files have room for what comes of it, and it is used up by that."""
    version = store.save(PENDING, None)
    reserved = [path for path in home.iterdir() if ".~" in path.name]
    assert len(reserved) == 2
    assert max(path.stat().st_size for path in reserved) > (home / "auth.json").stat().st_size

    store.save(SECOND, version)

    assert [path for path in home.iterdir() if ".~" in path.name] == []


def test_errors_hold_no_token(home: Path, store: Any) -> None:
    """Neither the sentences nor the local variables of our frames show what is in the file."""
    raised: list[BaseException] = []
    attempts: list[tuple[str, Callable[[], Any]]] = [
        ('{"tokens": {"refresh_token": "MARKED"}}', store.load),
        ('{"tokens": "MARKED', store.load),
        (THEIRS.replace('"REFRESH"', '"MARKED"'), lambda: store.save(SECOND, "outdated")),
        (THEIRS.replace('"REFRESH"', '"MARKED"'), lambda: store.save(Record(), store.load().version)),
    ]
    for text, attempt in attempts:
        put(home, text)
        with pytest.raises(onplan.StoreError) as caught:
            attempt()
        raised.append(caught.value)
    frames = [frame for error in raised for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals["__name__"].startswith("onplan.")]

    assert len(ours) > len(raised)
    told = "".join([*map(repr, raised), *(repr(frame.f_locals) for frame in ours)])
    assert "MARKED" not in told
