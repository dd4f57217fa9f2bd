"""A file that is a mount point, as in a container: it can be written, but not replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onplan.emulator import Emulator
from onplan.stores import open_store

from .expired import expired_sign_in

_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
_MOUNT = 'mount --bind "$0" "$1" && shift && exec "$@"'
_RENEW = """
import sys, onplan
try:
    with onplan.Client(store=sys.argv[1]) as client:
        client.complete("hi")
        print("refreshed")
except onplan.OnplanError as error:
    print(type(error).__name__, error, error.hint)
"""
_LOG_OUT = """
import sys, onplan
from onplan.stores import open_store
store = open_store(sys.argv[1])
store.delete()
loaded = store.load()
print("gone" if loaded is None or loaded.record.credentials is None else loaded)
"""


def _trial() -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)


@pytest.fixture(autouse=True)
def _can_mount() -> None:
    if not shutil.which("unshare") or _trial().returncode:
        pytest.skip("this system lets nobody mount anything")


@pytest.fixture(params=["file", "codex"])
def outside(request: pytest.FixtureRequest, emulator: Emulator, tmp_path: Path) -> str:
    """The store outside of the container, with a sign-in whose access token has expired."""
    spec = f"{request.param}:{tmp_path / 'outside' / 'auth.json'}"
    (tmp_path / "outside").mkdir()
    open_store(spec).save(expired_sign_in(emulator), None)
    emulator.expire_access_tokens()
    return spec


def within(tmp_path: Path, outside: str, program: str, before: str = "") -> str:
    """What ``program`` prints where the file outside is mounted over an empty one, all by itself."""
    scheme = outside.partition(":")[0]
    inside = tmp_path / "inside" / "auth.json"
    inside.parent.mkdir(exist_ok=True)
    inside.touch(0o600)
    mount = _MOUNT.replace("exec", f"{before} exec")
    ran = subprocess.run(
        [
            *_NAMESPACE,
            *(
                "sh",
                "-c",
                mount,
                tmp_path / "outside" / "auth.json",
                inside,
            ),
            *(sys.executable, "-c", program, f"{scheme}:{inside}"),
        ],
        env={**os.environ, "OUTSIDE": str(tmp_path / "outside")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not ran.stderr
    return ran.stdout.strip()


def spent(emulator: Emulator) -> list[int]:
    return [row["status"] for row in emulator.journal() if row["path"] == "/oauth/token"]


def test_it_is_refreshed_in_place(emulator: Emulator, tmp_path: Path, outside: str) -> None:
    """A sign-in in a file mounted by itself is refreshed, and the other side of the mount sees that."""
    before = open_store(outside).load()

    assert within(tmp_path, outside, _RENEW) == "refreshed"

    after = open_store(outside).load()
    assert before
    assert after
    assert before.record.credentials != after.record.credentials
    assert after.record.pending_refresh is None
    assert spent(emulator) == [200]
    left = [path.name for path in (tmp_path / "inside").iterdir() if "~" in path.name]
    assert left == []


def test_one_that_was_replaced_outside_spends_nothing(
    emulator: Emulator, tmp_path: Path, outside: str
) -> None:
    """What is mounted no longer is the file outside: the token in it is not spent, and the hint says why."""
    replaced = 'cp -p "$OUTSIDE/auth.json" "$OUTSIDE/new" && mv "$OUTSIDE/new" "$OUTSIDE/auth.json" &&'

    told = within(tmp_path, outside, _RENEW, before=replaced)

    assert "StoreError" in told
    assert "replaced where it is mounted from" in told
    assert "Mount the folder" in told
    assert spent(emulator) == []


def test_it_can_be_signed_out(tmp_path: Path, outside: str) -> None:
    """A file that cannot be removed holds no token afterwards."""
    assert within(tmp_path, outside, _LOG_OUT) == "gone"

    assert b"token" not in (tmp_path / "outside" / "auth.json").read_bytes()
