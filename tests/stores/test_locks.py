"""Locks where flock(2) fails, and where a process forks: nothing is spent, nothing stays locked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import Record, open_store
from onplan.stores.lock import waiting_at_most

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks there are not those of flock(2)")

# The system's answer, in a process of its own. No file system here has that fault.
_PROGRAM = """
import errno, fcntl, sys, warnings
def flock(descriptor, operation):
    raise OSError(getattr(errno, sys.argv[1]), "as such a file system answers")
fcntl.flock = flock
warnings.simplefilter("error")
import onplan
client = onplan.Client(store=sys.argv[2])
try:
    print(client.credentials().access_token[-8:])
    client._assembly.tokens.replace(client.credentials().access_token)
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
