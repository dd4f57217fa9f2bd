"""Locks where flock(2) fails, and where a process forks: nothing is spent, nothing stays locked."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.errors import StoreError
from onplan.stores import Record, open_store
from onplan.stores import lock as locks
from onplan.stores.lock import (
    LOCK_TIMEOUT,
    ProcessLock,
    patience,
    user_lock,
    user_lock_path,
    waiting_at_most,
)
from onplan.tokens.refresher import EXCHANGE_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks there are not those of flock(2)")

# The system's answer, in a process of its own. No file system here has that fault.
_PROGRAM = """
import errno, fcntl, sys, warnings
def flock(descriptor, operation):
    raise OSError(getattr(errno, sys.argv[1]), "as such a file system answers")
fcntl.flock = flock
warnings.simplefilter("error")
import onplan
from onplan.client_parts import tokens_of
client = onplan.Client(store=sys.argv[2])
try:
    print(client.credentials().access_token[-8:])
    tokens_of(client).replace(client.credentials().access_token)
except onplan.StoreError as error:
    print(f"{error} {error.hint}")
"""

_WAIT = """
import sys, onplan
from onplan.stores import open_store
from onplan.stores.lock import waiting_at_most
try:
    with waiting_at_most(0.1), open_store(sys.argv[1]).lock():
        print("held")
except onplan.StoreError as error:
    print(error)
"""


@pytest.fixture
def run(signed_in: Emulator, tmp_path: Path) -> Callable[[str, str], list[str]]:
    """What the program prints, line by line: with this error of flock(2), on a store of this scheme."""

    def call(number: str, scheme: str) -> list[str]:
        loaded = open_store(load_settings().store).load()
        assert loaded
        spec = f"{scheme}:{tmp_path / scheme}{'/kept.json' if scheme == 'file' else ''}"
        open_store(spec).save(Record(credentials=loaded.record.credentials), None)
        result = subprocess.run(
            [sys.executable, "-c", _PROGRAM, number, spec],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        after = open_store(spec).load()
        assert after
        assert after.record.credentials == loaded.record.credentials
        return result.stdout.splitlines()

    return call


@pytest.mark.parametrize("scheme", ["file", "codex"])
@pytest.mark.parametrize("number", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "ENOTSUP"])
def test_without_locks_nothing_is_spent(
    signed_in: Emulator, run: Callable[[str, str], list[str]], number: str, scheme: str
) -> None:
    """A fresh token is used all the same; a refresh is refused in one sentence with what helps."""
    token, sentence = run(number, scheme)

    assert len(token) == 8
    assert "its file system has no locks" in sentence
    assert "--store file:PATH" in sentence
    assert "keyring:" in sentence
    assert [row for row in signed_in.journal() if row["path"] == "/oauth/token"] == []


def _lists(path: Path) -> bool:
    """Whether the system lists a lock on ``path`` by the numbers that stat(2) gives (Btrfs does not)."""
    if sys.platform != "linux":
        return False
    import fcntl

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = os.fstat(file.fileno())
        mark = f" {os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino} "
        return mark in Path("/proc/locks").read_text()


def test_a_lock_that_another_program_has_is_no_lack_of_locks(tmp_path: Path) -> None:
    """Control: where locks work, two stores on one file exclude each other."""
    one, other = (open_store(f"file:{tmp_path / 'kept.json'}") for _ in range(2))
    with one.lock():
        one.save(Record(), None)
        outcome = subprocess.run(
            [
                sys.executable,
                "-c",
                _WAIT,
                f"file:{tmp_path / 'kept.json'}",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    assert "has been locked by" in outcome.stdout
    if _lists(tmp_path / "kept.json.lock"):
        assert f"locked by process {os.getpid()} for" in outcome.stdout
    with other.lock():
        assert isinstance(other.load(), tuple)


_LEAVE_A_CHILD = """
import os, signal, sys, threading, warnings
from onplan.stores import open_store
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside a thread is what is tried here
store, holding = open_store(sys.argv[1]), threading.Event()
def hold():
    with getattr(store, sys.argv[2])(*sys.argv[3:]):
        holding.set()
        signal.pause()
threading.Thread(target=hold, daemon=True).start()
holding.wait()
if os.fork() == 0:
    print("child", os.getpid(), flush=True)
    signal.pause()
signal.pause()
"""


@pytest.mark.parametrize(
    ("scheme", "how"), [("file", ["lock"]), ("codex", ["lock"]), ("codex", ["_writing", "written"])]
)
def test_a_lock_does_not_outlive_its_process(tmp_path: Path, scheme: str, how: list[str]) -> None:
    """A child forked while another thread held a lock does not hold it when its parent was killed."""
    spec = f"{scheme}:{tmp_path / scheme}{'/kept.json' if scheme == 'file' else ''}"
    (tmp_path / scheme).mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", _LEAVE_A_CHILD, spec, *how], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    child = int(parent.stdout.readline().split()[1])
    try:
        parent.kill()
        parent.wait()
        store = open_store(spec)
        with waiting_at_most(5.0), store.lock():
            store.save(Record(), None)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


# --- waiting ---------------------------------------------------------------------------------------------


def test_how_long_a_lock_is_waited_for() -> None:
    """Longer than a refresh may take; less where the caller says so, and in no other place."""
    assert patience(LOCK_TIMEOUT) == LOCK_TIMEOUT > 2 * EXCHANGE_SECONDS
    with waiting_at_most(5.0):
        assert (patience(LOCK_TIMEOUT), patience(1.0)) == (5.0, 1.0)
        with waiting_at_most(2.0):
            assert patience(LOCK_TIMEOUT) == 2.0
        assert patience(LOCK_TIMEOUT) == 5.0
    with pytest.raises(KeyError), waiting_at_most(5.0):
        raise KeyError
    assert patience(LOCK_TIMEOUT) == LOCK_TIMEOUT


def in_a_thread(work: Callable[[], object]) -> object:
    """What ``work`` gives, or the error that it raises, in a thread of its own."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(work())
        except StoreError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def attempt(lock: ProcessLock, seconds: float = 0.0) -> str:
    with waiting_at_most(seconds), lock.held():
        return "held"


def test_a_lock_is_one_threads(tmp_path: Path) -> None:
    """The thread that has it may take it again; another one, or another lock on that file, waits for it."""
    path = tmp_path / "new" / "a.lock"
    lock, other = ProcessLock(path, "It"), ProcessLock(path, "It")
    with lock.held():
        assert attempt(lock) == "held"
        for each in (lock, other):
            refused = in_a_thread(lambda each=each: attempt(each))  # type: ignore[misc]
            assert isinstance(refused, StoreError)
            assert str(refused).endswith("for 0 seconds. Nothing is lost.")
            if _lists(tmp_path / "other"):
                assert str(refused).startswith(f"It has been locked by process {os.getpid()} for")
                assert refused.hint == f"`kill {os.getpid()}` if it hangs, then run the command again."
    assert in_a_thread(lambda: attempt(lock)) == "held"
    assert in_a_thread(lambda: attempt(other)) == "held"


def test_a_lock_file_is_its_owners(tmp_path: Path) -> None:
    """Whatever the umask, nobody else can open the file, or look into its folder."""
    path = tmp_path / "new" / "a.lock"
    before = os.umask(0)
    try:
        with ProcessLock(path, "It").held():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    """The error says what cannot be locked, and why."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"^It cannot be locked: one of the folders in its path is a file"):
        attempt(ProcessLock(tmp_path / "file" / "a.lock", "It"))


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it was taken when it was tried."""
    monkeypatch.setattr(locks, "_SLICE", 0.01)
    lock, found = user_lock("a", "It", 0.001), list[object]()
    with lock.held():
        waiting = threading.Thread(target=lambda: found.append(in_a_thread(lambda: attempt(lock, 60.0))))
        waiting.start()
        waiting.join(0.1)  # many tries; if fewer, less is shown
        assert found == []
    waiting.join()

    assert found == ["held"]
    assert user_lock_path("a") == tmp_path / "state" / "onplan" / "locks" / "a.lock"
    assert user_lock_path("a").exists()


_LEAVE = """
import sys, threading
from pathlib import Path
from onplan.stores.lock import ProcessLock
def wait():
    try:
        with ProcessLock(Path(sys.argv[1]), "It").held():
            print("held")
    except Exception as error:
        print(type(error).__name__)
threading.Thread(target=wait).start()
"""


def test_a_program_that_ends_waits_no_longer(tmp_path: Path) -> None:
    """When its main thread has ended, a thread that waits for another program's lock gives up."""
    with ProcessLock(tmp_path / "a.lock", "It").held():
        left = subprocess.run(
            [sys.executable, "-c", _LEAVE, str(tmp_path / "a.lock")],
            capture_output=True,
            text=True,
            timeout=LOCK_TIMEOUT / 2,
            check=True,
        )

    assert left.stdout == "StoreError\n"


LISTED = """\
1: POSIX  ADVISORY  WRITE 17 fe:01:7 0 EOF
2: FLOCK  ADVISORY  WRITE 1 fe:01:8 0 EOF
2: -> FLOCK  ADVISORY  WRITE 19 fe:01:8 0 EOF
3: FLOCK  ADVISORY  WRITE 0 fe:01:9 0 EOF
4: OFDLCK ADVISORY  WRITE -1 fe:01:10 0 EOF
"""


@pytest.mark.parametrize(
    ("file", "process"),
    [("fe:01:7", 17), ("fe:01:8", 1), ("fe:01:9", None), ("fe:01:10", None), ("fe:01:1", None)],
    ids=["a process", "the first process, and one that waits", "another container's", "none", "not locked"],
)
def test_who_holds_a_lock_is_read_from_the_systems_list(file: str, process: int | None) -> None:
    """It has the holder first, then those who wait; not every holder has a number here (proc(5))."""
    assert locks._holder_listed(LISTED, file) == process


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this system does not say who holds a lock")
def test_a_lock_of_no_process_names_none(tmp_path: Path) -> None:
    """A lock that belongs to an open file has no process: the error says another program."""
    import fcntl
    import struct

    if not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("this Python has no such locks")
    path = tmp_path / "a.lock"
    lock = ProcessLock(path, "It")
    with lock.held(), (tmp_path / "b.lock").open("w") as other:
        assert locks._holder(tmp_path / "b.lock") is None
        assert locks._holder(tmp_path / "c.lock") is None
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        fcntl.fcntl(other, fcntl.F_OFD_SETLK, whole)
        assert locks._holder(tmp_path / "b.lock") is None
        told = ProcessLock(tmp_path / "b.lock", "It")._taken(1.4)
    assert str(told) == "It has been locked by another program for 1 seconds. Nothing is lost."
    assert told.hint == "End it if it hangs, then run the command again."
