"""Saving the tokens of a refresh: over what, how often, and what happens to those that cannot be saved."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from onplan.errors import StoreConflictError, StoreDamagedError, StoreError
from onplan.stores import Record, Stored
from onplan.stores.memory import MemoryStore
from onplan.tokens import rotation as rotations
from onplan.tokens.rotation import Rotation, SignedOutError
from onplan.types import OAuthCredentials

from .children import in_a_child


def tokens(number: int) -> OAuthCredentials:
    return OAuthCredentials(access_token=f"access-{number}", refresh_token=f"refresh-{number}")


SPENT = tokens(1)
REFRESHED = Record(credentials=tokens(2), obtained_at=2.0)
NEWER = Record(credentials=tokens(3))
FULL = StoreError("The disk is full.", hint="Delete something.")


class Store(MemoryStore):
    """Holds the spent token; the next saves fail with these errors, each after ``happen``."""

    def __init__(self, *errors: Exception, happen: Callable[[Store], object] = lambda store: None) -> None:
        super().__init__(record=Record(credentials=SPENT))
        self.errors, self._happen = list(errors), happen
        self.damaged = False

    def load(self) -> Stored | None:
        found = super().load()
        if self.damaged:
            assert found
            raise StoreDamagedError("It is damaged.", version=found.version)
        return found

    def save(self, record: Record, expected_version: str | None) -> str:
        if self.errors:
            error = self.errors.pop(0)
            self._happen(self)
            raise error
        self.damaged = False
        return super().save(record, expected_version)

    def write(self, record: Record) -> None:
        """As another program does."""
        found = super().load()
        super().save(record, found.version if found else None)

    @property
    def record(self) -> Record | None:
        found = super().load()
        return found.record if found else None


class Lease:
    """A lock with so many seconds left."""

    def __init__(self, left: float) -> None:
        self._left = left

    def remaining(self) -> float:
        return self._left


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What would be called when the program ends; nothing of these tests is."""
    handlers: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", handlers.append)
    monkeypatch.setattr(rotations, "_at_exit", rotations._AtExit())
    return handlers


def rotation_of(store: Store, slept: list[float] | None = None) -> Rotation:
    return Rotation(store, (slept if slept is not None else []).append)


def save(store: Store, lease: Lease | None = None) -> Record:
    return rotation_of(store).save(REFRESHED, SPENT, "1", lease)


# --- over what ---


def _damage(store: Store) -> None:
    store.write(Record(credentials=SPENT, obtained_at=1.0))
    store.damaged = True


HELD = {"no lease": None, "a lease": Lease(0.5)}
HAPPENED: dict[str, tuple[Callable[[Store], object], Record]] = {
    "nothing": (lambda store: None, REFRESHED),
    "rewritten": (lambda store: store.write(Record(credentials=SPENT, obtained_at=1.0)), REFRESHED),
    "damaged": (_damage, REFRESHED),
    "removed": (lambda store: store.delete(), REFRESHED),
    "emptied": (lambda store: store.write(Record()), REFRESHED),
    "signed in anew": (lambda store: store.write(NEWER), NEWER),
}


@pytest.mark.parametrize("lease", HELD.values(), ids=HELD)
@pytest.mark.parametrize(("happen", "expected"), HAPPENED.values(), ids=HAPPENED)
def test_what_is_saved_after_a_failure(
    happen: Callable[[Store], object], expected: Record, lease: Lease | None
) -> None:
    """With the lock held, whatever became of the spent token is replaced; newer tokens are kept, and used."""
    store = Store(StoreConflictError("It was changed."), happen=happen)
    rotation = rotation_of(store)

    assert rotation.save(REFRESHED, SPENT, "1", lease) == expected
    assert store.record == expected
    assert not rotation.unsaved


SIGNED_OUT: dict[str, Callable[[Store], object]] = {
    "removed": lambda store: store.delete(),
    "emptied": lambda store: store.write(Record()),
}


@pytest.mark.parametrize("left", [0.0, -1.0])
@pytest.mark.parametrize("happen", SIGNED_OUT.values(), ids=SIGNED_OUT)
def test_a_sign_out_after_the_lease_counts(happen: Callable[[Store], object], left: float) -> None:
    """Once the lock may be another's, an empty store means that the user signed out."""
    store = Store(FULL, happen=happen)

    with pytest.raises(SignedOutError, match="signed out") as caught:
        save(store, Lease(left))
    assert caught.value.hint == "Run `onplan login`."
    assert store.record in (None, Record())


@pytest.mark.parametrize("lease", [None, Lease(0.0)], ids=["locked", "not locked"])
def test_an_api_key_is_not_replaced(lease: Lease | None) -> None:
    """A key that was stored instead means that the sign-in was given up."""
    store = Store(FULL, happen=lambda store: store.write(Record(api_key="sk")))

    with pytest.raises(SignedOutError):
        save(store, lease)
    assert store.record == Record(api_key="sk")


# --- how often ---


def test_a_save_is_tried_five_times(caplog: pytest.LogCaptureFixture) -> None:
    """With growing pauses; if the last one succeeds, nothing is left to do and nothing is said."""
    store, slept = Store(*[FULL] * 4), list[float]()
    rotation = rotation_of(store, slept)

    assert rotation.save(REFRESHED, SPENT, "1", None) == REFRESHED
    assert store.record == REFRESHED
    assert slept == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert not rotation.unsaved
    assert not caplog.records


def test_tokens_that_cannot_be_saved_are_kept(
    caplog: pytest.LogCaptureFixture, registered: list[Callable[[], None]]
) -> None:
    """They are used, the log says why they are not saved, and the end of the program saves them."""
    store = Store(*[FULL] * 5)
    rotation = rotation_of(store)

    assert rotation.save(REFRESHED, SPENT, "1", None) == REFRESHED
    assert rotation.unsaved
    (logged,) = caplog.records
    assert logged.levelno == logging.ERROR
    assert "exists in this process only. The disk is full. Delete something." in logged.getMessage()
    (handler,) = registered
    handler()
    assert store.record == REFRESHED
    assert not rotation.unsaved


def test_the_log_has_no_text_of_other_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    """Of an exception that is none of ours only the class is told: its text may hold a token."""
    save(Store(*[KeyError("access-2")] * 5))

    assert "The store raised KeyError." in caplog.text
    assert "access-2" not in caplog.text


# --- later ---


def kept(store: Store) -> Rotation:
    """A rotation whose tokens could not be saved in ``store``, which fails no more."""
    store.errors = [FULL] * 5
    rotation = rotation_of(store)
    rotation.save(REFRESHED, SPENT, "1", None)
    assert rotation.unsaved
    return rotation


LATER = {name: HAPPENED[name] for name in ("nothing", "rewritten", "damaged", "signed in anew")}


@pytest.mark.parametrize(("happen", "expected"), LATER.values(), ids=LATER)
def test_they_are_saved_later(happen: Callable[[Store], object], expected: Record) -> None:
    """Over the spent token, or damage; never over newer tokens. Then there is nothing left to save."""
    store = Store()
    rotation = kept(store)
    happen(store)

    rotation.save_again()
    assert store.record == expected
    assert not rotation.unsaved
    assert rotations._at_exit.rotations == frozenset()
    store.write(NEWER)
    rotation.save_again()
    assert store.record == NEWER


@pytest.mark.parametrize("happen", SIGNED_OUT.values(), ids=SIGNED_OUT)
def test_after_a_sign_out_they_are_forgotten(happen: Callable[[Store], object]) -> None:
    """What was signed out stays signed out, and is not tried again."""
    store = Store()
    rotation = kept(store)
    happen(store)

    with pytest.raises(SignedOutError):
        rotation.save_again()
    assert store.record in (None, Record())
    assert not rotation.unsaved
    rotation.save_again()


def test_they_stay_until_they_are_saved() -> None:
    """A later save that fails as well loses nothing."""
    store = Store()
    rotation = kept(store)
    store.errors = [FULL]

    with pytest.raises(StoreError, match="disk is full"):
        rotation.save_again()
    assert rotation.unsaved
    rotation.save_again()
    assert store.record == REFRESHED


def test_a_later_refresh_replaces_them() -> None:
    """Tokens of a later refresh that are saved leave nothing to save."""
    store = Store()
    rotation = kept(store)
    later = Record(credentials=tokens(4))

    rotation.save(later, tokens(2), "1", None)
    assert store.record == later
    assert not rotation.unsaved
    rotation.save_again()
    assert store.record == later


def test_other_clients_go_on_with_them() -> None:
    """Who finds the spent token in any store of this process gets what came of it, until it is saved."""
    store = Store()
    rotation, other = kept(store), rotation_of(Store())

    assert other.successor_of(SPENT) == REFRESHED
    assert other.successor_of(tokens(2)) is None
    rotation.save_again()
    assert other.successor_of(SPENT) is None


def test_a_child_uses_its_parents() -> None:
    """A forked process goes on with the unsaved tokens, and leaves the saving to its parent."""
    store = Store()
    kept(store)
    rotations._at_exit.reset_in_child()

    assert rotation_of(Store()).successor_of(SPENT) == REFRESHED
    rotations._at_exit.save_all()
    assert store.record == Record(credentials=SPENT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_has_its_own_list() -> None:
    """A forked process leaves its parent's tokens alone, also if a thread was just noting some."""
    store = Store()
    rotation = kept(store)
    exits = rotations._at_exit

    def work() -> None:
        assert (exits.rotations, exits.inherited) == (frozenset(), {rotation})
        exits.add(rotation)
        exits.discard(rotation)

    with exits._changing:
        assert in_a_child(work) == 0
    assert (exits.rotations, exits.inherited) == ({rotation}, frozenset())


# --- when the program ends ---


class Ended(BaseException):
    """The process has ended with this exit code."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of this test, which take no time; and the end of the process is an exception."""

    def end(code: int) -> None:
        raise Ended(code)

    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(os, "_exit", end)
    return pauses


def test_the_end_registers_once(registered: list[Callable[[], None]]) -> None:
    """However many clients have unsaved tokens, one handler saves all of them; a child has its own."""
    stores = [Store(), Store()]
    for store in stores:
        kept(store)

    assert len(registered) == 1
    registered[0]()
    assert [store.record for store in stores] == [REFRESHED] * 2
    rotations._at_exit.reset_in_child()
    kept(Store())
    assert len(registered) == 2


def test_the_last_try_waits_for_the_store(slept: list[float]) -> None:
    """A store that is busy when the program ends is tried three times within a second."""
    store = Store()
    kept(store)
    store.errors = [FULL] * 2

    rotations._at_exit.save_all()
    assert store.record == REFRESHED
    assert slept == [0.0, 0.2, 0.5]


def test_a_sign_out_is_no_failure_at_the_end(slept: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said about tokens of a user who has signed out meanwhile."""
    store = Store()
    kept(store)
    store.delete()

    rotations._at_exit.save_all()
    assert (store.record, slept, capsys.readouterr().err) == (None, [0.0], "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(FULL, "The disk is full."), (KeyError("access-2"), "The store raised KeyError.")],
    ids=["ours", "another"],
)
def test_tokens_that_are_lost_are_reported(
    slept: list[float], capsys: pytest.CaptureFixture[str], error: Exception, reason: str
) -> None:
    """If even the last try fails, stderr says what is lost and what to do, and the exit code is 7."""
    lost, saved = Store(), Store()
    kept(lost)
    kept(saved)
    lost.errors = [error] * 3

    with pytest.raises(Ended) as ended:
        rotations._at_exit.save_all()
    assert ended.value.args == (StoreError.exit_code,) == (7,)
    assert saved.record == REFRESHED
    assert capsys.readouterr().err == (
        "onplan: The refreshed sign-in could not be saved in the memory of this process and is lost. "
        f"{reason} Make it writable, then run `onplan login`.\n"
    )


def test_output_is_written_before_the_process_ends(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was printed and logged until then is not lost with the tokens."""
    flushed: list[object] = []

    class Stream:
        def write(self, text: str) -> None:
            raise OSError("It is closed.")

        def flush(self) -> None:
            flushed.append(self)

    out, err = Stream(), Stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(logging, "shutdown", lambda: flushed.append("log"))
    store = Store()
    kept(store)
    store.errors = [FULL] * 3

    with pytest.raises(Ended):
        rotations._at_exit.save_all()
    assert flushed == ["log", out, err]


@pytest.mark.parametrize("parent", [None, object()], ids=["a main process", "a child of multiprocessing"])
def test_a_child_of_multiprocessing(
    monkeypatch: pytest.MonkeyPatch, registered: list[Callable[[], None]], parent: object
) -> None:
    """It may run no exit handlers: there it is a finalizer, too, which runs after its own children's end."""
    finalizers: list[tuple[Any, ...]] = []

    def finalize(*arguments: Any, exitpriority: int) -> None:
        finalizers.append((*arguments, exitpriority < 0))

    monkeypatch.setattr("multiprocessing.util.Finalize", finalize)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    kept(Store())

    assert len(registered) == 1
    assert finalizers == ([(None, registered[0], True)] if parent else [])


def test_a_program_without_multiprocessing(
    monkeypatch: pytest.MonkeyPatch, registered: list[Callable[[], None]]
) -> None:
    """Where it was never imported, it is not needed."""
    monkeypatch.delitem(sys.modules, "multiprocessing")
    kept(Store())

    assert len(registered) == 1
    assert "multiprocessing" not in sys.modules
