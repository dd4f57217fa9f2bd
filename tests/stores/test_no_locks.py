"""File systems without flock(2): nothing is spent, and one sentence says what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.emulator import Emulator
from onplan.settings import load_settings
from onplan.stores import Record, open_store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there locks are not those of flock(2)")

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
    client._keeper.replace(client.credentials().access_token)
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
        open_store(spec).save(Record(credentials=loaded[0].credentials), None)
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
        assert after[0].credentials == loaded[0].credentials
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
    with other.lock():
        assert isinstance(other.load(), tuple)
