"""What the token manager hands out at once, what it waits for, and when it tries again: without a server."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from onplan.errors import NotSignedInError, RefreshError, SignInAgainError, StoreError
from onplan.flow import Request, Response
from onplan.oauth.issuer import CODEX
from onplan.stores import Record, Stored
from onplan.stores.lock import patience
from onplan.stores.memory import MemoryStore
from onplan.tokens.manager import TokenManager

from .children import in_a_child
from .test_decisions import NOW, Issuer, refused, signed_in, tokens


class Store(MemoryStore):
    """Refuses to save refreshed tokens while it is full; notes each such save, and what locks wait for."""

    def __init__(self, record: Record) -> None:
        super().__init__(record=record)
        self.full, self.saves, self.patiences = False, 0, list[float]()

    def save(self, record: Record, expected_version: str | None) -> str:
        if record.pending_refresh is None:
            self.saves += 1
            if self.full:
                raise StoreError("The disk is full.")
        return super().save(record, expected_version)

    def load(self) -> Stored | None:
        found = super().load()
        self.patiences.pop()  # its own
        return found

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.patiences.append(patience(90.0))
        with super().lock():
            yield

    @property
    def access_token(self) -> str | None:
        stored = self.load()
        return stored.record.credentials.access_token if stored and stored.record.credentials else None


def manager_of(store: MemoryStore, *answers: Response | Exception, **options: Any) -> TokenManager:
    options.setdefault("now", lambda: NOW)
    return TokenManager(store, CODEX, Issuer(*answers), sleep=lambda seconds: None, **options)


# --- at once ---


def test_a_fresh_token_needs_no_other_thread() -> None:
    """Once read, it is handed out while another thread refreshes, and without a thread of its own."""
    manager = manager_of(MemoryStore(record=signed_in()))
    first = manager.credentials()

    with manager._mutex:
        assert manager.credentials() is first
        with pytest.raises(StopIteration) as ended:  # it never waits
            manager.credentials_async().send(None)
    assert ended.value.value is first


def test_a_token_is_used_to_its_last_moment(caplog: pytest.LogCaptureFixture) -> None:
    """While refreshing fails, half a second of validity is validity; the log has the failure, once."""
    now = [NOW]
    manager = manager_of(MemoryStore(record=signed_in(10.0)), refused(429), now=lambda: now[0])

    for now[0] in (NOW, NOW + 9.5):
        assert manager.credentials().access_token == "access-1"
    (logged,) = caplog.records
    assert "The access token is still valid and remains in use." in logged.getMessage()
    other = manager_of(MemoryStore(record=signed_in(0.5)), refused(429))
    assert other.credentials().access_token == "access-1"


def test_a_store_that_was_emptied_meanwhile() -> None:
    """A sign-out that comes before the refresh counts, although the token would be valid for a while."""
    store = MemoryStore(record=signed_in(100.0))

    with pytest.raises(NotSignedInError):
        manager_of(store, prepare=store.delete).credentials()


# --- whether the sign-in is over ---


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record(), None),
        (signed_in(), None),
        (signed_in(0.5, refresh_token=None), None),
        (signed_in(0.0), None),
        (signed_in(0.0, refresh_token=None), "The sign-in has ended and cannot be refreshed"),
        (signed_in(0.0, refresh_token=None, borrowed_from="codex:/x"), "borrowed from codex:/x has expired"),
    ],
    ids=["none", "fresh", "its last moment", "to be refreshed", "not to be refreshed", "borrowed"],
)
def test_a_sign_in_has_ended_when_nothing_can_be_sent(record: Record, message: str | None) -> None:
    """An expired token that can be refreshed is no end. Nothing is asked for that."""
    manager = manager_of(MemoryStore(record=record), AssertionError("the issuer is asked"))

    ended = manager.why_ended(record)
    assert (message is None) is (ended is None)
    assert (message or "") in str(ended)


def test_a_sign_in_has_ended_when_its_refresh_token_was_refused() -> None:
    """The reason is what the server said. Another sign-in, which has another token, has not ended."""
    record = signed_in(0.0)
    manager = manager_of(MemoryStore(record=record), refused(401, "refresh_token_expired"))
    assert manager.why_ended(record) is None

    with pytest.raises(SignInAgainError) as caught:
        manager.credentials()
    ended = manager.why_ended(record)
    assert ended is not None
    assert ended.message == caught.value.message
    assert manager.why_ended(signed_in(0.0, refresh_token="refresh-9")) is None


def test_a_sign_in_has_ended_when_its_last_token_was_refused() -> None:
    """It may not have expired: a backend that does not take it is enough, where there is no other one."""
    record = signed_in(refresh_token=None)
    manager = manager_of(MemoryStore(record=record))
    assert manager.why_ended(record) is None

    with pytest.raises(SignInAgainError):
        manager.replace("access-1")
    assert "has ended" in str(manager.why_ended(record))


# --- tasks ---


async def test_tasks_share_a_refresh_but_not_its_end() -> None:
    """Tasks that want one at once share it; who comes after its end gets a new one when it is due."""
    now = [NOW]
    manager = manager_of(MemoryStore(record=signed_in(0.0)), now=lambda: now[0])

    found = await asyncio.gather(manager.credentials_async(), manager.credentials_async())
    assert [each.access_token for each in found] == ["access-2"] * 2
    now[0] += 3600.0
    assert (await manager.credentials_async()).access_token == "access-3"


async def test_a_failure_is_not_remembered() -> None:
    """The task after one whose refresh failed begins another."""
    manager = manager_of(MemoryStore(record=signed_in(0.0)), refused(429))

    with pytest.raises(RefreshError):
        await manager.credentials_async()
    assert (await manager.credentials_async()).access_token == "access-3"


async def test_a_task_replaces_a_refused_token() -> None:
    """A token that is refused for the first time is refreshed; one that is refused again is not."""
    manager = manager_of(MemoryStore(record=signed_in()))

    assert (await manager.replace_async("access-1")).access_token == "access-2"
    with pytest.raises(SignInAgainError, match="even after a refresh"):
        await manager.replace_async("access-2", again=True)
    assert (await manager.replace_async("access-2")).access_token == "access-3"


async def test_tasks_with_different_tokens_do_not_share() -> None:
    """Whose token was refused has it replaced, although others only want a fresh one."""
    manager = manager_of(MemoryStore(record=signed_in()))

    fresh, replaced = await asyncio.gather(manager.credentials_async(), manager.replace_async("access-1"))
    assert (fresh.access_token, replaced.access_token) == ("access-1", "access-2")


# --- what is put in its place ---


def test_a_stored_token_must_be_good() -> None:
    """Another program's token in place of the refused one is taken if it lasts, else refreshed."""
    manager = manager_of(MemoryStore(record=signed_in(0.0)))

    assert manager.replace("access-0").access_token == "access-2"


def _client(record: Record, client_id: str | None, account_id: str | None = None) -> Record:
    return msgspec.structs.replace(
        record,
        credentials=msgspec.structs.replace(
            record.credentials, client_id=client_id, account_id=account_id, access_token="theirs"
        ),
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "is_same"),
    [
        (("a", None), ("a", None), True),
        (("a", None), ("b", None), False),
        (("a", "acct-1"), ("b", "acct-1"), True),
        (("a", "acct-1"), ("a", "acct-2"), False),
        ((None, None), ("b", "acct-2"), True),
        (("a", "acct-1"), (None, None), False),
    ],
    ids=str,
)
def test_whose_token_it_is(mine: tuple[str, str], theirs: tuple[str, str], is_same: bool) -> None:
    """The account says whose; without one, the registered client; who names neither may be anybody."""
    record = signed_in()
    store = MemoryStore(record=_client(record, *mine))
    manager = manager_of(store)
    old = manager.credentials().access_token
    newer = _client(record, *theirs)
    assert newer.credentials
    newer = msgspec.structs.replace(
        newer, credentials=msgspec.structs.replace(newer.credentials, access_token="newer")
    )
    store.save(newer, "1")

    if is_same:
        assert manager.replace(old).access_token == "newer"
    else:
        with pytest.raises(SignInAgainError, match="Another account"):
            manager.replace(old)
        assert manager.credentials().access_token == "newer"


# --- tokens that could not be saved ---


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The system's clock, which stands still."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("again", ["credentials", "replace"])
def test_unsaved_tokens_are_saved_every_half_minute(seconds: list[float], again: str) -> None:
    """Requests use them, and one in 30 s tries to save them; it waits 5 s for the lock at most."""
    store = Store(signed_in(0.0))
    manager = manager_of(store)
    ask = manager.credentials if again == "credentials" else lambda: manager.replace("access-1")
    store.full = True
    manager.credentials()
    tried, store.patiences = store.saves, []

    tries = []
    for seconds[0] in (1000.0, 1029.5, 1030.0, 1059.5):
        assert ask().access_token == "access-2"
        tries.append(store.saves - tried)
    assert tries == [1, 1, 2, 2]
    assert store.patiences == [5.0, 5.0]
    store.full = False
    seconds[0] = 1060.0
    ask()
    assert store.access_token == "access-2"
    ask()
    assert store.saves == tried + 3


async def test_closing_saves_what_is_left() -> None:
    """A client that is closed saves its tokens, waiting 10 s for the lock; else there is nothing to do."""
    stores = Store(signed_in(0.0)), Store(signed_in(0.0))
    for store in stores:
        manager = manager_of(store)
        manager.drain()
        with pytest.raises(StopIteration):  # no thread
            manager.drain_async().send(None)
        store.full = True
        manager.credentials()
        store.full, store.patiences = False, []
        if store is stores[0]:
            manager.drain()
        else:
            await manager.drain_async()

        assert store.access_token == "access-2"
        assert store.patiences == [10.0]


async def test_closing_waits_for_a_refresh() -> None:
    """A refresh that has been sent when a client is closed is waited for, and its tokens are saved."""
    store = Store(signed_in(0.0))
    sent, answered = threading.Event(), threading.Event()

    def send(request: Request, **options: Any) -> Response:
        sent.set()
        assert answered.wait(60)
        return tokens(2)

    manager = TokenManager(store, CODEX, send, now=lambda: NOW)
    asking = asyncio.create_task(manager.credentials_async())
    assert await asyncio.to_thread(sent.wait, 60)
    closing = asyncio.create_task(manager.drain_async())
    await asyncio.sleep(0)
    assert not closing.done()
    answered.set()
    await closing

    assert store.access_token == "access-2"
    assert (await asking).access_token == "access-2"


# --- forks ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_inherits_no_lock() -> None:
    """Forked while a thread refreshes, a child can read the store and be closed."""
    manager = manager_of(MemoryStore(record=signed_in()))

    with manager._mutex, manager._refresher._busy:
        assert in_a_child(manager.credentials) == 0
        assert in_a_child(manager.drain) == 0
