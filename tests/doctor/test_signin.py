"""The doctor and what this machine keeps: configuration, store, lock, an interrupted refresh, the sign-in."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onplan import doctor
from onplan.config.private_files import PERMISSIONS
from onplan.doctor import signin
from onplan.emulator import Emulator
from onplan.stores import PendingRefresh, open_store

Find = Callable[..., dict[str, doctor.check.Result]]

needs_modes = pytest.mark.skipif(not PERMISSIONS, reason="no file modes here")


@pytest.fixture
def path(signed_in: Emulator, clean_environment: Path) -> Path:
    """The file that the sign-in is kept in."""
    return clean_environment / "credentials" / "default.json"


@pytest.fixture
def change(path: Path) -> Callable[..., None]:
    """Change what is stored: fields of the credentials, and of the record."""

    def put(record_fields: dict[str, Any] | None = None, **fields: Any) -> None:
        store = open_store(f"file:{path}")
        loaded = store.load()
        assert loaded
        record, version = loaded
        assert record.credentials
        credentials = msgspec.structs.replace(record.credentials, **fields)
        changed = msgspec.structs.replace(record, credentials=credentials, **(record_fields or {}))
        store.save(changed, version)

    return put


def problems(found: dict[str, doctor.check.Result]) -> dict[str, int]:
    """The problems and their exit codes."""
    return {name: result.exit_code for name, result in found.items() if result.state == "problem"}


def test_a_configuration_that_cannot_be_read(clean_environment: Path, find: Find) -> None:
    """Without settings nothing else can be examined, and everything says so."""
    clean_environment.mkdir()
    (clean_environment / "config.toml").write_text("profile =")
    found = find()

    assert problems(found) == {"configuration": 2}
    assert "config.toml is not valid TOML" in found["configuration"].message
    assert {result.state for name, result in found.items() if name != "configuration"} == {"skipped"}


def test_what_the_settings_amount_to(signed_in: Emulator, find: Find, path: Path) -> None:
    """Profile, backend and store are told, and which variables are in effect."""
    told = find(offline=True)["configuration"].message

    assert told == (
        f"Profile default, backend openai-codex, store file:{path}. "
        "Set in the environment: ONPLAN_HOME, ONPLAN_ISSUER, ONPLAN_CODEX_BASE_URL."
    )


def test_nobody_is_signed_in(emulator: Emulator, find: Find) -> None:
    """Nobody signed in is one problem; the way to the servers is examined all the same."""
    found = find()

    assert problems(found) == {"token": 3}
    assert found["token"].fix == "Run `onplan login`."
    assert (found["backend"].state, found["store"].state, found["catalogue"].state) == ("ok", "ok", "skipped")


@pytest.mark.parametrize(
    ("spec", "exit_code", "told"),
    [("nonsense:x", 2, "There is no credential store called"), ("file:", 2, "needs a path")],
)
def test_a_store_that_cannot_be_opened(
    emulator: Emulator, find: Find, spec: str, exit_code: int, told: str
) -> None:
    """A store spec that names no store is the store's problem, and the network is examined."""
    found = find(store=spec)

    assert problems(found) == {"store": exit_code}
    assert told in found["store"].message
    assert {found[name].state for name in ("lock", "refresh", "token", "catalogue")} == {"skipped"}


@needs_modes
def test_a_file_that_others_can_read(path: Path, find: Find) -> None:
    """Its mode is told, and the command that corrects it."""
    path.chmod(0o640)
    found = find(offline=True)

    assert problems(found) == {"store": 7}
    assert "(mode 640)" in found["store"].message
    assert f"chmod 600 {path}" in (found["store"].fix or "")


@needs_modes
def test_a_file_of_the_codex_cli_that_others_can_read(path: Path, find: Find, tmp_path: Path) -> None:
    """So it is with another program's file, which that program does not mind."""
    home = tmp_path / "codex"
    home.mkdir(mode=0o700)
    (home / "auth.json").write_text('{"OPENAI_API_KEY": null}')
    (home / "auth.json").chmod(0o644)
    found = find(offline=True, store=f"codex:{home}")

    assert problems(found) == {"store": 7}
    assert f"{home / 'auth.json'} can be read by other users" in found["store"].message


@needs_modes
def test_a_folder_that_others_can_change(path: Path, find: Find) -> None:
    """Whoever can write to the folder can put another file there."""
    path.parent.chmod(0o777)
    found = find(offline=True)

    assert problems(found) == {"store": 7}
    assert f"chmod 700 {path.parent}" in (found["store"].fix or "")
    path.parent.chmod(0o755)
    assert problems(find(offline=True)) == {}


def test_a_damaged_record(path: Path, find: Find) -> None:
    """A record that cannot be read is not taken for nobody being signed in."""
    path.write_text('{"schema": 1, "credentials": {"acc')
    found = find(offline=True)

    assert problems(found) == {"store": 61}
    assert found["token"].message == "Not examined because of the problem with store."


def test_what_killed_writers_left(path: Path, find: Find) -> None:
    """Files that a killed writer left beside the record are counted."""
    (path.parent / f".{path.name}.~1").write_text("")
    found = find(offline=True)

    assert problems(found) == {}
    assert "left 1 behind" in found["lock"].message


def test_nothing_is_written(path: Path, find: Find) -> None:
    """The record and whatever is beside it stay as they were."""
    (path.parent / f".{path.name}.~1").write_text("")
    before = {entry: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in path.parent.iterdir()}
    find()

    assert {
        entry: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in path.parent.iterdir()
    } == before


# --- the lock and refreshes ----------------------------------------------------------------------------

_HOLD = """
import sys
from onplan.stores import open_store
with open_store(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def frozen(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that is frozen while it holds the store's lock."""
    monkeypatch.setattr(signin, "_LOCK_SECONDS", 0.5)
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, f"file:{path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    yield process
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)


def test_a_frozen_holder_of_the_lock(frozen: subprocess.Popen[str], find: Find) -> None:
    """The holder is named, and the wait is short; with a token that lasts, the plan is examined."""
    found = find()

    assert problems(found) == {"lock": 7}
    assert "locked by" in found["lock"].message
    if Path("/proc/locks").exists():
        assert f"process {frozen.pid} " in found["lock"].message
        assert f"kill {frozen.pid}" in (found["lock"].fix or "")
    assert {found[name].state for name in ("token", "catalogue", "request")} == {"ok"}
    assert found["refresh"].state == "skipped"


def test_a_refresh_that_cannot_be_made_is_not_begun(
    change: Callable[..., None], find: Find, signed_in: Emulator, request: pytest.FixtureRequest
) -> None:
    """With the token expired, whatever would wait for the lock is skipped."""
    change({"obtained_at": None}, expires_at=time.time() - 60)
    request.getfixturevalue("frozen")
    found = find()

    assert problems(found) == {"lock": 7}
    assert found["catalogue"].message == "Not examined because of the problem with lock."
    assert not [row for row in signed_in.journal() if row["path"] == "/oauth/token"]


def test_an_interrupted_refresh(change: Callable[..., None], find: Find) -> None:
    """A refresh that never ended is told, with its time and what will come of it."""
    pending = PendingRefresh(fingerprint="0" * 16, started_at=1_700_000_000.0)
    change({"pending_refresh": pending})
    found = find(offline=True)

    assert problems(found) == {"refresh": 60}
    assert "began at 2023-11-1" in found["refresh"].message
    assert "tries it once more" in found["refresh"].message


def test_an_expired_token_is_refreshed(
    change: Callable[..., None], find: Find, signed_in: Emulator, path: Path
) -> None:
    """A token that is due is refreshed for the catalogue, once, and the line says so."""
    change({"obtained_at": None}, expires_at=time.time() - 60)
    found = find()

    assert problems(found) == {}
    assert "access token expired at" in found["token"].message
    assert found["catalogue"].message.endswith("The access token was refreshed for it.")
    assert len([row for row in signed_in.journal() if row["path"] == "/oauth/token"]) == 1
    assert json.loads(path.read_text())["credentials"]["expires_at"] > time.time()


# --- the sign-in --------------------------------------------------------------------------------------


def test_who_is_signed_in(path: Path, find: Find) -> None:
    """The account, the plan, how long the token lasts, and its scopes."""
    told = find(offline=True)["token"].message

    assert told.startswith("person@example.com (ChatGPT Plus); access token valid until ")
    assert "refreshed automatically; scopes openid profile email offline_access" in told


@pytest.mark.parametrize(
    ("record_fields", "fields", "exit_code", "told"),
    [
        ({}, {"account_id": None}, 4, "does not say for which account"),
        ({}, {"issuer": "https://other.example"}, 9, "The sign-in came from https://other.example"),
        ({}, {"refresh_token": None, "expires_at": 1.0}, 4, "it has no refresh token"),
        (
            {"borrowed_from": "codex:"},
            {"refresh_token": None, "expires_at": 1.0},
            4,
            "borrowed from codex: has expired",
        ),
    ],
    ids=["no account", "another issuer", "ended", "borrowed and ended"],
)
def test_a_sign_in_that_is_of_no_use(
    change: Callable[..., None],
    find: Find,
    record_fields: dict[str, Any],
    fields: dict[str, Any],
    exit_code: int,
    told: str,
) -> None:
    """Each is told with what to do, and nothing is asked with it."""
    change(record_fields, **fields)
    found = find()

    assert problems(found) == {"token": exit_code}
    assert told in found["token"].message
    assert found["catalogue"].state == "skipped"


def test_a_borrowed_token(change: Callable[..., None], find: Find) -> None:
    """While it lasts, a borrowed token is told as that."""
    change({"borrowed_from": "codex:"}, refresh_token=None)
    found = find(offline=True)

    assert "cannot be refreshed; borrowed from codex:, which alone refreshes it" in found["token"].message


def test_a_sign_in_that_the_server_has_ended(
    change: Callable[..., None], find: Find, signed_in: Emulator
) -> None:
    """What the server says to a refresh is the catalogue's problem, with the way out."""
    change({"obtained_at": None}, expires_at=time.time() - 60)
    signed_in.arm("refresh_token_expired")
    found = find()

    assert problems(found) == {"catalogue": 4}
    assert found["catalogue"].fix == "Run `onplan login`."


def test_a_catalogue_that_cannot_be_read(path: Path, find: Find, signed_in: Emulator) -> None:
    """The built-in list does not hide that the catalogue cannot be read."""
    signed_in.arm("models_500", times=9)
    found = find()

    assert set(problems(found)) == {"backend"}
    signed_in.disarm()
    signed_in.arm("models_empty", times=2)
    found = find()
    assert problems(found) == {"catalogue": 33}


# --- disks, and what hangs ----------------------------------------------------------------------------

_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    tried = [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    with suppress(FileNotFoundError):
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    return False


@pytest.mark.skipif(not _can_mount(), reason="this system lets nobody mount a small disk")
@pytest.mark.parametrize(
    ("spoil", "told"),
    [('head -c 60K /dev/zero >"$0/filler"', "is full"), ('mount -o remount,ro "$0"', "cannot be written")],
)
def test_a_disk_that_takes_nothing(path: Path, tmp_path: Path, spoil: str, told: str) -> None:
    """A full or read-only disk is told before it matters."""
    folder = tmp_path / "disk"
    folder.mkdir()
    script = (
        f'mount -t tmpfs -o size=64k,mode=700 none "$0" && cp -p {shlex.quote(str(path))} "$0/c.json"'
        f" && {spoil};"
        f' exec {shlex.quote(sys.executable)} -m onplan doctor --offline --json --store "file:$0/c.json"'
    )
    result = subprocess.run(
        [*_NAMESPACE, "sh", "-c", script, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}

    assert result.returncode == 7
    assert told in checks["store"]["message"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_store_that_hangs(tmp_path: Path, path: Path, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that never answers is given up, and the rest is examined."""
    checks = [replace(check, seconds=0.5) if check.name == "store" else check for check in doctor.CHECKS]
    monkeypatch.setattr(doctor, "CHECKS", tuple(checks))
    os.mkfifo(tmp_path / "never")
    helper = tmp_path / "helper"
    helper.write_text('#!/bin/sh\nread -r line <"$1"\n')  # which waits until another program writes
    helper.chmod(0o700)
    monkeypatch.setenv(
        "ONPLAN_STORE", f"command:{shlex.quote(str(helper))} {shlex.quote(str(tmp_path / 'never'))}"
    )
    found = find()
    os.close(os.open(tmp_path / "never", os.O_RDWR))  # lets it go, and does not wait for it

    assert problems(found) == {"store": 42}
    assert found["backend"].state == "ok"
