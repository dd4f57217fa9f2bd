"""Tests that every credential store must pass, for authors of stores.

::

    import pytest
    from onplan.stores.contract import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def spec(self, tmp_path):
            return f"mine:{tmp_path}/place"

``spec`` names an empty store of your scheme, which your package registers in the entry-point group
``onplan.stores``: the tests open it in other processes, too. Some kill the holder of the lock, so let leases
last a few seconds there. One kills at every step; for a store that takes hundreds of steps, a larger
``stride`` chooses fewer of them. On systems without ``fork`` that proof is left out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, ClassVar

import msgspec

from onplan.errors import StoreConflictError
from onplan.stores import CredentialStore, PendingRefresh, Record, Stored, open_store
from onplan.types import OAuthCredentials

NASTY = " \"'\\/ %s {} \u00e9\u00df\u4e2d\U0001f511 \x7f\t\n\r= & ; $HOME `id` "

_CREDENTIALS = OAuthCredentials(
    access_token="access-" + "a" * 4000,
    refresh_token="refresh-" + "r" * 2000,
    id_token="id-" + "i" * 4000,
    expires_at=2_000_000_000.0,
    account_id="acct-1",
    plan="plus",
    email="person@example.com",
    client_id="app_1",
    issuer="https://issuer.example.com",
    scopes=["openid", "offline_access"],
)
FIRST = Record(credentials=_CREDENTIALS, obtained_at=1_700_000_000.0)
PENDING = msgspec.structs.replace(
    FIRST, pending_refresh=PendingRefresh(fingerprint="0123456789abcdef", started_at=1_800_000_000.5)
)
SECOND = Record(
    credentials=msgspec.structs.replace(
        _CREDENTIALS, access_token="access-2" + "b" * 5000, refresh_token="refresh-2" + "s" * 2500
    ),
    obtained_at=1_800_000_001.0,
)
_PROCESSES, _ROUNDS = 3, 4
_LONGEST = 900.0  # seconds, after which a process of the tests has hung, however busy the machine is


class LocalStoreContract:
    """The tests for every store, also for one whose records end with their process."""

    def open(self, spec: str) -> CredentialStore:
        """A store object for ``spec``; redefine it if two of them share nothing."""
        return open_store(spec)

    def test_an_empty_store_holds_nothing(self, spec: str) -> None:
        """What was never written is None, not an error."""
        assert self.open(spec).load() is None

    def test_what_is_saved_is_loaded(self, spec: str) -> None:
        """Every field comes back as it was, in another object for the same place, under the same version."""
        version = self.open(spec).save(PENDING, None)

        assert self.open(spec).load() == Stored(PENDING, version)

    def test_nasty_characters_survive(self, spec: str) -> None:
        """Quotes, control characters, and characters beyond the basic plane come back unchanged."""
        nasty = msgspec.structs.replace(_CREDENTIALS, email=NASTY, plan=NASTY, scopes=[NASTY])
        record = Record(credentials=nasty)
        self.open(spec).save(record, None)

        assert _stored(self.open(spec)) == record

    def test_a_record_is_replaced(self, spec: str) -> None:
        """A writer who knows the version replaces the record, and the version changes."""
        store = self.open(spec)
        first = store.save(FIRST, None)
        second = store.save(SECOND, first)

        assert first != second
        assert self.open(spec).load() == Stored(SECOND, second)

    def test_a_slower_writer_loses(self, spec: str) -> None:
        """A save over an outdated version, or over none, is refused, and the stored record stays."""
        store = self.open(spec)
        first = store.save(FIRST, None)
        second = store.save(SECOND, first)

        for outdated in (first, None):
            _expect_conflict(partial(self.open(spec).save, FIRST, outdated))
        assert store.load() == Stored(SECOND, second)

    def test_a_deleted_record_is_not_brought_back(self, spec: str) -> None:
        """A save over the version of a record that was deleted meanwhile is refused."""
        version = self.open(spec).save(FIRST, None)
        self.open(spec).delete()

        _expect_conflict(lambda: self.open(spec).save(SECOND, version))
        assert self.open(spec).load() is None

    def test_deleting_twice_is_no_error(self, spec: str) -> None:
        """Deleting removes the record; deleting nothing does nothing; afterwards the place can be used."""
        self.open(spec).delete()
        self.open(spec).save(FIRST, None)
        self.open(spec).delete()
        self.open(spec).delete()
        assert self.open(spec).load() is None

        self.open(spec).save(SECOND, None)
        assert _stored(self.open(spec)) == SECOND

    def test_the_holder_of_the_lock_may_do_everything(self, spec: str) -> None:
        """Inside the lock its holder loads, saves and deletes; afterwards it can be had again."""
        store = self.open(spec)
        for _ in range(2):
            with store.lock():
                version = store.save(FIRST, None)
                assert store.load() == Stored(FIRST, version)
                store.delete()

    def test_threads_exclude_each_other(self, spec: str) -> None:
        """Two threads with one store object, or with one each, never hold the lock together."""
        shared, together = self.open(spec), []
        inside = threading.Lock()

        def hold(store: CredentialStore) -> None:
            for _ in range(_ROUNDS):
                with store.lock():
                    together.append(not inside.acquire(blocking=False))
                    inside.release()

        threads = [threading.Thread(target=hold, args=(s,)) for s in (shared, shared, self.open(spec))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together == [False] * len(threads) * _ROUNDS

    def test_nothing_secret_is_printed(self, spec: str) -> None:
        """Neither the description nor the printed form of a store shows a token."""
        store = self.open(spec)
        store.save(FIRST, None)
        printed = store.describe() + repr(store) + str(store) + repr(store.load())

        assert store.describe()
        assert "aaaa" not in printed
        assert "rrrr" not in printed


class StoreContract(LocalStoreContract):
    """Derive from it and give it the fixture ``spec``.

    Attributes:
        stride: kill a refresh at each step (1), at every second one (2), and so on.
    """

    stride: ClassVar[int] = 1

    def test_two_processes_never_do_the_same_step(self, spec: str) -> None:
        """Processes that each load, count up and save under the lock lose no step and meet no conflict."""
        open_store(spec).save(_counted(0), None)
        with ExitStack() as started:
            arguments = ("count", spec, str(_ROUNDS))
            workers = [started.enter_context(_spawned(*arguments)) for _ in range(_PROCESSES)]
            for worker in workers:
                _, errors = worker.communicate(timeout=_LONGEST)
                assert worker.returncode == 0, errors

        assert _stored(open_store(spec)) == _counted(_PROCESSES * _ROUNDS)

    def test_the_lock_of_a_killed_process_passes_on(self, spec: str) -> None:
        """After the holder of the lock is killed, the lock is free, after one lease at most."""
        with _spawned("hold", spec) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"

        store = open_store(spec)
        with store.lock():
            store.save(FIRST, None)
        assert _stored(open_store(spec)) == FIRST

    def test_killed_between_any_two_steps(self, spec: str) -> None:
        """Killed at any point of a refresh's writes, a store has the old or the new record and is usable."""
        if not hasattr(os, "fork"):
            return
        open_store(spec).save(FIRST, None)
        with _spawned("kill", spec, str(self.stride)) as worker:
            output, errors = worker.communicate(timeout=_LONGEST)

        assert worker.returncode == 0, errors
        states = output.split()
        assert states[-1] == "finished"
        assert len(states) > 5, "it was killed at hardly any step"
        assert set(states[:-1]) <= {"old", "pending", "new"}
        assert _stored(open_store(spec)) == SECOND


def _stored(store: CredentialStore) -> Record | None:
    loaded = store.load()
    return loaded.record if loaded else None


def _expect_conflict(save: Callable[[], object]) -> None:
    try:
        save()
    except StoreConflictError:
        return
    raise AssertionError("a slower writer was not refused")


def _counted(number: int) -> Record:
    return Record(credentials=msgspec.structs.replace(_CREDENTIALS, access_token=str(number)))


# --- the other processes ------------------------------------------------------------------------------


@contextmanager
def _spawned(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed at the end of the block if it has not ended."""
    with subprocess.Popen(
        [sys.executable, "-m", "onplan.stores.contract", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def count(spec: str, rounds: str) -> None:
    """Count the record up, under the lock."""
    for _ in range(int(rounds)):
        store = open_store(spec)
        with store.lock():
            loaded = store.load()
            if loaded and loaded.record.credentials:
                store.save(_counted(int(loaded.record.credentials.access_token) + 1), loaded.version)


def hold(spec: str) -> None:
    """Hold the lock until killed."""
    with open_store(spec).lock():
        sys.stdout.write("held\n")
        sys.stdout.flush()
        sys.stdin.read()


def kill(spec: str, stride: str) -> None:
    """Refresh the record again and again, killed ``stride`` steps later each time, until none is left."""
    open_store(spec).load()  # so that its modules are loaded once, and only its own steps are counted
    step = 0
    while (code := _in_child(partial(kill_at, step, partial(_refresh, spec)))) == 0:
        state = _in_child(partial(_state, spec))
        sys.stdout.write(f"{_STATES.get(state, 'damaged')}\n")
        if _in_child(partial(_begin_again, spec)):
            sys.exit("the store could not be used again")
        step += int(stride)
    if code != 1:
        sys.exit(f"the store failed after it was killed at {step} steps")
    sys.stdout.write("finished\n")


def _refresh(spec: str) -> int:
    """The writes of a refresh. Exit code 1: it came to its end."""
    store = open_store(spec)
    with store.lock():
        loaded = store.load()
        version = store.save(PENDING, loaded.version if loaded else None)
        store.save(SECOND, version)
    return 1


_STATES = {10: "old", 11: "pending", 12: "new"}


def _state(spec: str) -> int:
    found = _stored(open_store(spec))
    return 10 + [FIRST, PENDING, SECOND].index(found) if found in (FIRST, PENDING, SECOND) else 1


def _begin_again(spec: str) -> int:
    store = open_store(spec)
    with store.lock():
        loaded = store.load()
        store.save(FIRST, loaded.version if loaded else None)
    return 0


def _in_child(work: Callable[[], int]) -> int:
    """The exit code of ``work`` in a process of its own, or 0 if it was killed."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        except Exception:  # noqa: BLE001 - printed, for the report of the failed test
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 0


_STEPS = frozenset(
    "open close read write flush fsync fdatasync ftruncate truncate replace rename link unlink remove mkdir "
    "rmdir flock lockf chmod utime connect send sendall sendto recv recv_into recvmsg sendmsg execute commit "
    "fork_exec".split()
)


def is_step(called: Any) -> bool:
    """Whether a built-in function calls the system to change something, or to learn what changed."""
    return getattr(called, "__name__", "") in _STEPS and not isinstance(
        getattr(called, "__self__", None), (str, bytes)
    )


def kill_at(step: int, work: Callable[[], Any]) -> Any:
    """Do ``work``, and kill this process before its call number ``step`` to the system."""
    left = step

    def watch(frame: Any, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_call" and is_step(called):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        return work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


if __name__ == "__main__":
    _WORK: dict[str, Callable[..., None]] = {"count": count, "hold": hold, "kill": kill}
    _WORK[sys.argv[1]](*sys.argv[2:])
