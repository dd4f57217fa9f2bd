"""Refreshed tokens that cannot be saved: they are used, saved when possible, never lost silently."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.stores import Record, open_store
from onplan.stores import lock as locks
from onplan.tokens.manager import TokenManager
from onplan.transports.httpx2_sync import HTTPTransport


def stored(spec: str) -> onplan.OAuthCredentials:
    loaded = open_store(spec).load()
    assert loaded
    assert loaded.record.credentials
    return loaded.record.credentials


class FailingStore:
    """A store that takes the note that a refresh has begun, and nothing else until it is repaired."""

    def __init__(self, spec: str) -> None:
        self.inner, self.repaired = open_store(spec), False
        self.problems: list[onplan.OnplanError] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def save(self, record: Record, version: str | None) -> str:
        if record.pending_refresh is None and not self.repaired:
            raise onplan.StoreError("The disk is full.")
        try:
            return self.inner.save(record, version)
        except onplan.StoreError as error:
            self.problems.append(error)
            raise


@pytest.fixture
def failing(spec: str, sign_in: Callable[..., Any]) -> Iterator[FailingStore]:
    """Over the store of this test; repaired when it ends, for the sake of the process that runs the tests."""
    sign_in()
    store = FailingStore(spec)
    yield store
    store.repaired = True


@pytest.fixture
def manager(failing: FailingStore) -> Iterator[TokenManager]:
    """Over the failing store."""
    transport = HTTPTransport()
    manager = TokenManager(failing, load_settings().issuer, transport.fetch, sleep=lambda seconds: None)
    yield manager
    failing.repaired = True
    manager.drain()
    transport.close()


def test_a_later_request_saves_what_could_not_be_saved(
    spec: str, failing: FailingStore, manager: TokenManager, refreshes: Callable[[], list[int]]
) -> None:
    """As soon as the store takes it again, a request saves the refreshed set: no close is needed."""
    refreshed = manager.credentials()
    assert stored(spec) != refreshed
    failing.repaired = True

    assert manager.credentials() == refreshed
    assert stored(spec) == refreshed
    assert refreshes() == [200]


async def test_a_later_task_saves_what_could_not_be_saved(
    spec: str, failing: FailingStore, manager: TokenManager
) -> None:
    """The same under an event loop."""
    refreshed = await manager.credentials_async()
    failing.repaired = True

    assert await manager.credentials_async() == refreshed
    assert stored(spec) == refreshed


def test_an_unsaved_set_is_used_while_the_store_fails(
    failing: FailingStore, manager: TokenManager, refreshes: Callable[[], list[int]]
) -> None:
    """Requests go on with it, also those whose older token is refused, and nothing more is spent."""
    old = stored_before = failing.inner.load().record.credentials  # type: ignore[union-attr]
    refreshed = manager.credentials()

    assert old == stored_before != refreshed
    assert [manager.credentials() for _ in range(3)] == [refreshed] * 3
    assert manager.replace(old.access_token) == refreshed  # type: ignore[union-attr]
    assert refreshes() == [200]


def test_closing_and_a_request_take_locks_in_one_order(
    failing: FailingStore, manager: TokenManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a thread has the store's lock for a refresh, another that closes waits for it without a lock."""
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 3.0)
    refreshed = manager.credentials()
    failing.repaired = True
    holding, closing = threading.Event(), threading.Event()
    take = failing.inner.lock

    @contextlib.contextmanager
    def lock() -> Iterator[object]:
        if threading.current_thread().name == "closer":
            closing.set()
        with take() as held:
            if threading.current_thread().name != "closer":
                holding.set()
                assert closing.wait(20)
            yield held

    def load() -> Any:
        if threading.current_thread().name == "closer":
            closing.set()
        return failing.inner.load()

    failing.lock, failing.load = lock, load  # type: ignore[attr-defined]
    closer = threading.Thread(target=lambda: holding.wait(20) and manager.drain(), name="closer")
    closer.start()
    manager._save_again_at = float("inf")  # so that the refresh itself comes to save it

    replaced = manager.replace(refreshed.access_token)
    closer.join()

    assert failing.problems == []
    assert failing.inner.load().record.credentials == replaced  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [onplan.Client, onplan.AsyncClient])
async def test_another_client_goes_on_with_it(
    spec: str, failing: FailingStore, manager: TokenManager, refreshes: Callable[[], list[int]], kind: Any
) -> None:
    """Clients that find the spent token in their store use and save what came of it; none spends again."""
    refreshed = await manager.credentials_async()
    for store in (failing, None):  # None: its own, which takes everything
        client = kind(store=store)
        if kind is onplan.Client:
            with client:
                assert client.credentials() == refreshed
        else:
            async with client:
                assert await client.credentials() == refreshed

    assert stored(spec) == refreshed
    assert refreshes() == [200]


def test_another_client_renews_it_when_it_is_refused(
    spec: str, failing: FailingStore, manager: TokenManager, refreshes: Callable[[], list[int]]
) -> None:
    """If the set of the other client is of no use any more, it is saved first, and then refreshed itself."""
    refreshed = manager.credentials()
    transport = HTTPTransport()
    other = TokenManager(open_store(spec), load_settings().issuer, transport.fetch)
    replaced = other.replace(refreshed.access_token)
    transport.close()

    assert stored(spec) == replaced != refreshed
    assert refreshes() == [200, 200]
    failing.repaired = True
    manager.drain()
    assert stored(spec) == replaced


@pytest.mark.parametrize("error", [OSError("I/O error"), RuntimeError(), KeyError("eyJ.a.secret")])
def test_a_store_that_raises_anything_loses_nothing(
    spec: str,
    sign_in: Callable[..., Any],
    refreshes: Callable[[], list[int]],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """Another package's store may raise what it likes when it saves: the set is kept, and saved later."""
    sign_in()
    inner, repaired = open_store(spec), False

    class Store:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def save(self, record: Record, version: str | None) -> str:
            if record.pending_refresh is None and not repaired:
                raise error
            return inner.save(record, version)

    transport = HTTPTransport()
    manager = TokenManager(Store(), load_settings().issuer, transport.fetch, sleep=lambda seconds: None)  # type: ignore[arg-type]
    refreshed = manager.credentials()
    assert stored(spec) != refreshed
    assert type(error).__name__ in caplog.text
    assert "secret" not in caplog.text
    repaired = True
    manager.drain()
    transport.close()

    assert stored(spec) == refreshed
    assert refreshes() == [200]


_PROGRAM = """
import sys, onplan
from onplan.tokens.manager import TokenManager
from onplan.config.settings import load_settings
from onplan.stores import open_store
from onplan.transports.httpx2_sync import HTTPTransport
inner = open_store(load_settings().store)
class Store:
    repaired = False
    def __getattr__(self, name):
        return getattr(inner, name)
    def save(self, record, version):
        if record.pending_refresh is None and not self.repaired:
            raise onplan.StoreError("The disk is full.")
        return inner.save(record, version)
store = Store()
manager = TokenManager(store, load_settings().issuer, HTTPTransport().fetch)
print(manager.credentials().access_token[-8:])
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("end", ["", "del manager", "import threading; threading.Timer(0.01, print).start()"])
def test_a_program_that_ends_saves_it(
    spec: str, sign_in: Callable[..., Any], refreshes: Callable[[], list[int]], end: str
) -> None:
    """A program that never closed its client saves the refreshed set when it ends, and ends with 0."""
    sign_in()
    result = run(f"{_PROGRAM}\nstore.repaired = True\n{end}")

    assert (result.returncode, result.stdout.split()[0]) == (0, stored(spec).access_token[-8:])
    assert refreshes() == [200]


@pytest.mark.parametrize(
    "end", ["", "sys.exit(0)", "raise RuntimeError", "import onplan as o; del manager, store"]
)
def test_a_program_that_ends_without_having_saved_it_fails(
    spec: str, sign_in: Callable[..., Any], end: str
) -> None:
    """If it cannot be saved even then: words and a command on stderr, what was printed, not exit code 0."""
    before = sign_in()
    result = run(f"{_PROGRAM}\n{end}")

    assert result.returncode == onplan.StoreError.exit_code
    assert len(result.stdout.split()) == 1
    assert (
        f"could not be saved in {spec.removeprefix('file:')} and is lost. The disk is full." in result.stderr
    )
    assert "`onplan login`" in result.stderr
    assert "eyJ" not in result.stderr
    assert stored(spec).refresh_token == before.refresh_token


def test_after_a_sign_out_nothing_is_left_to_save(spec: str, sign_in: Callable[..., Any]) -> None:
    """What was signed out meanwhile is not saved, and that is no failure."""
    sign_in()
    result = run(f"{_PROGRAM}\ninner.delete()")

    assert (result.returncode, "is lost" in result.stderr) == (0, False)
    assert open_store(spec).load() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_leaves_it_to_its_parent(spec: str, sign_in: Callable[..., Any]) -> None:
    """A child that was forked meanwhile ends with 0: the set is its parent's to save."""
    sign_in()
    code = "os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"
    end = f"import os\nchild = os.fork()\nif child:\n    print({code})\n    store.repaired = True"
    result = run(f"{_PROGRAM}\n{end}")

    assert (result.returncode, result.stdout.split()[-1]) == (0, "0"), result.stderr
    assert stored(spec).access_token[-8:] == result.stdout.split()[0]


_CHILD = """
import multiprocessing, sys

def work():
    namespace = {}
    exec(sys.argv[2], namespace)
    namespace["store"].repaired = sys.argv[3] == "repaired"

if __name__ == "__main__":
    import onplan.tokens.manager  # as where a program has used it before it starts others
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    child.start()
    child.join()
    print("child", child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("end", ["repaired", "failing"])
def test_a_process_of_multiprocessing_is_no_exception(
    spec: str, sign_in: Callable[..., Any], tmp_path: Path, method: str, end: str
) -> None:
    """A child that ends saves what it could not save before, or ends with the exit code of a StoreError."""
    before = sign_in()
    program = tmp_path / "program.py"
    program.write_text(_CHILD)
    result = subprocess.run(
        [sys.executable, str(program), method, _PROGRAM, end],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    expected = 0 if end == "repaired" else onplan.StoreError.exit_code
    assert (result.returncode, result.stdout.split()[-1]) == (0, str(expected)), result.stderr
    assert (stored(spec).refresh_token == before.refresh_token) is (end == "failing")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_does_not_spend_it_either(
    spec: str, sign_in: Callable[..., Any], refreshes: Callable[[], list[int]]
) -> None:
    """A new client in a forked child goes on with what its parent could not save, and saves it."""
    sign_in()
    end = """
import os
child = os.fork()
if child == 0:
    with onplan.Client() as client:
        print(client.credentials().access_token[-8:], flush=True)
else:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    result = run(f"{_PROGRAM.replace('[-8:])', '[-8:], flush=True)')}{end}")

    first, second, code = result.stdout.split()
    assert (result.returncode, code) == (0, "0"), result.stderr
    assert first == second == stored(spec).access_token[-8:]
    assert refreshes() == [200]


_HELPER = """#!/bin/sh
for verb; do :; done
case "$verb" in
  get) [ ! -e "$1" ] || cat "$1" ;;
  store)
    cat >"$1.new"
    if [ -e "$1" ] && ! grep -q '"fingerprint"' "$1.new"; then echo "no space left" >&2; exit 1; fi
    mv "$1.new" "$1" ;;
  erase) rm -f "$1" ;;
esac
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the helper is a shell script")
def test_the_command_line_does_not_succeed_either(
    emulator: Any, sign_in: Callable[..., Any], spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`onplan token` with a helper that fails after the refresh prints the token and ends with an error."""
    sign_in()
    helper = tmp_path / "helper"
    helper.write_text(_HELPER)
    helper.chmod(0o755)
    (tmp_path / "record").write_bytes(Path(spec.removeprefix("file:")).read_bytes())
    monkeypatch.setenv("ONPLAN_STORE", f"command:'{helper}' '{tmp_path / 'record'}'")

    result = subprocess.run(
        [sys.executable, "-m", "onplan", "token"], capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == onplan.StoreError.exit_code
    assert result.stdout.startswith("eyJ")
    assert "is lost" in result.stderr
    assert "Traceback" not in result.stderr
