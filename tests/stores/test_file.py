"""The file store: modes, atomicity, versions, locks, and errors that say what to do."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.errors import StoreConflictError
from onplan.stores import PendingRefresh, Record, encode_record, open_store
from onplan.stores.file import FileStore
from onplan.stores.lock import waiting_at_most

RunCli = Callable[..., subprocess.CompletedProcess[str]]

RECORD = Record(
    credentials=onplan.OAuthCredentials(access_token="at", refresh_token='rt "\\ \u2028 ☃', email="a@b"),
    pending_refresh=PendingRefresh(fingerprint="f", started_at=1.5),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """A record comes back as it was, whatever characters are in it, with the version it was saved under."""
    store = open_store(f"file:{tmp_path / 'a' / 'b' / 'c.json'}")
    assert store.load() is None

    version = store.save(RECORD, None)

    assert store.load() == (RECORD, version)


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """File and folders are private from their creation, whatever the umask."""
    path = tmp_path / "home" / "credentials" / "default.json"
    subprocess.run([sys.executable, "-c", _SAVE_WITH_OPEN_UMASK, str(path)], check=True, timeout=60)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(f"{path}.lock").stat().st_mode) == 0o600


_SAVE_WITH_OPEN_UMASK = """
import os, sys
os.umask(0)
from onplan.stores import Record, open_store
open_store("file:" + sys.argv[1]).save(Record(), None)
"""


def test_a_file_others_can_read_is_refused(tmp_path: Path) -> None:
    """A credential that other users could have read is not used silently."""
    path = tmp_path / "c.json"
    store = open_store(f"file:{path}")
    store.save(RECORD, None)
    path.chmod(0o640)

    with pytest.raises(onplan.StoreError, match="other users") as caught:
        store.load()

    assert f"chmod 600 {path}" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="modes there say nothing")
def test_a_file_system_without_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others can read every file, no credential is written, and none is used that is there."""
    made = tempfile.mkstemp

    def readable_by_all(*places: Any, **named: Any) -> tuple[int, str]:
        descriptor, name = made(*places, **named)
        Path(name).chmod(0o777)  # as every file there has it
        return descriptor, name

    monkeypatch.setattr(tempfile, "mkstemp", readable_by_all)
    path = tmp_path / "c.json"
    store = open_store(f"file:{path}")

    with pytest.raises(
        onplan.StoreError, match="cannot be written: its file system keeps no modes"
    ) as caught:
        store.save(RECORD, None)
    assert "--store keyring:" in caught.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.json.lock"]

    path.write_bytes(encode_record(RECORD))
    path.chmod(0o777)
    with pytest.raises(onplan.StoreError, match=r"other users .*mode 777") as caught:
        store.load()
    assert "`chmod` changes nothing" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """The error says what could not be done, and why; a named pipe is not waited for."""
    path = tmp_path / "c.json"
    store = open_store(f"file:{path}")
    os.mkfifo(path, 0o600)

    for do, done in ((store.load, "read"), (store.delete, "removed")):
        with pytest.raises(onplan.StoreError, match=f"^{path} cannot be {done}: it is a named pipe"):
            do()
    assert path.is_fifo()


def test_a_slower_writer_loses(tmp_path: Path) -> None:
    """Who writes on an outdated version is refused, and what was written before stays."""
    store = open_store(f"file:{tmp_path / 'c.json'}")
    first = store.save(RECORD, None)
    second = store.save(Record(), first)

    for outdated in (first, None):
        with pytest.raises(StoreConflictError):
            store.save(RECORD, outdated)
    assert store.load() == (Record(), second)


def test_deleting_twice_is_no_error(tmp_path: Path) -> None:
    """Deleting removes the record; deleting nothing does nothing, and makes no folder."""
    store = open_store(f"file:{tmp_path / 'x' / 'c.json'}")
    store.delete()
    assert not (tmp_path / "x").exists()
    store.save(RECORD, None)
    store.delete()
    store.delete()

    assert store.load() is None


def test_a_failed_write_leaves_the_old_record(tmp_path: Path) -> None:
    """When the disk is full the old record stays, no piece of the new one is left, and the error says so."""
    path = tmp_path / "c.json"
    version = open_store(f"file:{path}").save(Record(), None)
    process = subprocess.run(
        [sys.executable, "-c", _SAVE_ON_FULL_DISK, str(path), version],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "StoreError" in process.stdout
    assert "unchanged" in process.stdout
    assert open_store(f"file:{path}").load() == (Record(), version)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["c.json", "c.json.lock"]


_SAVE_ON_FULL_DISK = """
import resource, signal, sys, onplan
from onplan.stores import Record, open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
big = Record(credentials=onplan.OAuthCredentials(access_token="x" * 5000))
try:
    open_store("file:" + sys.argv[1]).save(big, sys.argv[2])
except onplan.StoreError as error:
    print(type(error).__name__, error)
"""


def test_what_was_renamed_is_stored(tmp_path: Path) -> None:
    """That the folder cannot be synchronised afterwards undoes nothing, so it is no error."""
    with pytest.MonkeyPatch.context() as patch:
        opened = os.open

        def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if Path(path) == tmp_path:
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(path, flags, *more, **named)

        patch.setattr(os, "open", open_)
        version = open_store(f"file:{tmp_path / 'c.json'}").save(RECORD, None)

    assert open_store(f"file:{tmp_path / 'c.json'}").load() == (RECORD, version)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """A symbolic link stays one; its target gets the record."""
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    version = open_store(f"file:{target}").save(Record(), None)
    link.symlink_to(target)

    open_store(f"file:{link}").save(RECORD, version)

    assert link.is_symlink()
    loaded = open_store(f"file:{target}").load()
    assert loaded
    assert loaded.record == RECORD


def test_hard_links_share_a_lock(tmp_path: Path) -> None:
    """Two names of one file are one store: who has it by one name keeps out who comes by the other."""
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    store, linked = open_store(f"file:{one}"), open_store(f"file:{other}")
    version = store.save(Record(), None)
    os.link(one, other)
    refused: list[onplan.StoreError] = []

    def come() -> None:
        try:
            with waiting_at_most(0.0), linked.lock():
                pass
        except onplan.StoreError as error:
            refused.append(error)

    for _ in range(2):
        with store.lock():
            thread = threading.Thread(target=come)
            thread.start()
            thread.join()
    come()
    assert len(refused) == 2
    assert "has been locked by" in str(refused[0])
    assert linked.load() == (Record(), version)


@pytest.mark.parametrize(
    ("spec", "says"), [("file:", "needs a path"), ("file:~no-such-user-here/x", "no-such-user-here")]
)
def test_a_place_that_cannot_be_meant(spec: str, says: str) -> None:
    """A spec without a path is refused before anything is read."""
    with pytest.raises(onplan.ConfigurationError, match=says):
        open_store(spec)


@pytest.mark.skipif(sys.platform == "win32", reason="modes there say nothing")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o601, 0o610, 0o660, 0o606, 0o777])
def test_every_permission_of_others_counts(tmp_path: Path, mode: int) -> None:
    """The error has the mode as `ls` and `chmod` write it."""
    path = tmp_path / "c.json"
    store = open_store(f"file:{path}")
    store.save(RECORD, None)
    path.chmod(mode)

    with pytest.raises(onplan.StoreError, match=rf"\(mode {mode:o}\)"):
        store.load()
    for own in (0o600, 0o400, 0o700):
        path.chmod(own)
        assert store.load()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "damaged"), (b"{", "damaged"), (b"[]", "damaged"), (b'{"schema": 99}', "newer onplan")],
)
def test_a_damaged_file_is_told_apart(tmp_path: Path, content: bytes, sentence: str) -> None:
    """A damaged or newer record is an error, not "nobody is signed in", and the file is left alone."""
    path = tmp_path / "c.json"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(onplan.StoreError, match=sentence):
        open_store(f"file:{path}").load()
    assert path.read_bytes() == content


class Overwritten(FileStore):
    """A store in whose file another process writes the rest, before it lets go of the lock."""

    def __init__(self, path: Path, rest: bytes) -> None:
        super().__init__(str(path))
        self.path, self.rest = path, rest

    def lock(self) -> AbstractContextManager[object]:
        with self.path.open("ab") as file:
            file.write(self.rest)
        self.rest = b""
        return super().lock()


def test_a_file_that_is_being_overwritten_is_no_damaged_one(tmp_path: Path) -> None:
    """As a file that is mounted by itself is written: half a record is read once more, under the lock."""
    path = tmp_path / "c.json"
    whole = bytes(encode_record(RECORD))
    path.write_bytes(whole[:40])
    path.chmod(0o600)

    loaded = Overwritten(path, whole[40:]).load()

    assert loaded
    assert loaded.record == RECORD


def test_a_damaged_file_stays_damaged_while_its_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the lock for long does not hold up the error."""
    monkeypatch.setattr(onplan.stores.file, "_SECOND_READ", 0.01)
    path = tmp_path / "c.json"
    path.write_bytes(b"{")
    path.chmod(0o600)

    with open_store(f"file:{path}").lock(), pytest.raises(onplan.StoreDamagedError):
        open_store(f"file:{path}").load()


def test_the_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    """While the lock is held nobody else gets it, and its holder may save."""
    path = tmp_path / "c.json"
    store = open_store(f"file:{path}")
    with store.lock():
        other = subprocess.Popen([sys.executable, "-c", _LOCK, str(path)], stdout=subprocess.PIPE, text=True)
        assert other.stdout
        assert other.stdout.readline() == "waiting\n"
        version = store.save(RECORD, None)
        assert other.poll() is None
    assert other.communicate(timeout=60)[0] == f"{version}\n"


_LOCK = """
import sys
from onplan.stores import open_store
store = open_store("file:" + sys.argv[1])
print("waiting", flush=True)
with store.lock():
    print(store.load().version)
"""


@pytest.mark.parametrize("spec", ["nonsense:x", "x", ""])
def test_an_unknown_store_names_those_there_are(spec: str) -> None:
    """A store spec without a known scheme is refused with the list of schemes."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        open_store(spec)

    assert "file:" in caught.value.hint


def test_a_record_shows_no_secret() -> None:
    """The printed form of what is stored has no token in it."""
    assert "rt" not in repr(RECORD).replace("expires_at", "").replace("started_at", "")
    assert "'at'" not in repr(RECORD)


@pytest.mark.parametrize("moment", [1e300, 1e18, 10**25, -1, -1e300])
def test_a_time_that_no_calendar_shows_is_unknown(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, run_cli: RunCli, moment: float
) -> None:
    """Another program's mistake in a record, or in a token's claims, costs no command its answer."""
    path = Path(load_settings().store.removeprefix("file:"))
    fields = json.loads(path.read_text())
    fields["obtained_at"] = fields["credentials"]["expires_at"] = moment
    path.write_text(json.dumps(fields))
    monkeypatch.setenv("BARE", json.dumps({"access_token": "opaque", "expires_at": moment}))

    for store in (f"file:{path}", "env:BARE"):
        assert "valid for an unknown time" in run_cli("status", "--store", store).stdout
        borrowed = run_cli("import", store, "--profile", "other", "--force").stderr
        assert "works until the server refuses it" in " ".join(borrowed.split())
    loaded = open_store(f"file:{path}").load()
    assert loaded
    assert loaded.record.obtained_at is None
