"""What a new sign-in may replace, and what is written when other programs write to the same store."""

from __future__ import annotations

import pytest

from onplan.errors import SignInError, StoreConflictError
from onplan.sign_in.saving import save_sign_in, update
from onplan.stores import Record, Stored
from onplan.stores.contract import FIRST, SECOND
from onplan.stores.memory import MemoryStore
from onplan.types import OAuthCredentials, Registration


class Overtaken(MemoryStore):
    """A store that another program changes right after each of ``times`` readings."""

    def __init__(self, times: int) -> None:
        super().__init__(record=FIRST)
        self.times = times

    def load(self) -> Stored | None:
        found = super().load()
        if self.times and found:
            self.times -= 1
            self.save(SECOND, found.version)
        return found


def emptied(record: Record) -> Record:
    return Record(issuer_kind=record.issuer_kind)


def test_a_writer_that_is_overtaken_tries_again() -> None:
    """What another program wrote is read again, and changed."""
    store, seen = Overtaken(3), list[Record]()

    def change(record: Record) -> Record:
        seen.append(record)
        return emptied(record)

    update(store, change)

    assert store.load() == Stored(emptied(SECOND), "5")
    assert seen == [FIRST, SECOND, SECOND, SECOND]


def test_a_writer_that_is_always_overtaken_says_what_to_do() -> None:
    """After ten attempts nothing is written, and the error names the store and the next step."""
    store = Overtaken(100)

    with pytest.raises(StoreConflictError) as caught:
        update(store, emptied)

    assert str(caught.value) == (
        "Another program was faster at each of 10 attempts to change the memory of this process."
    )
    assert "run the command again" in caught.value.hint


def registered(client: str, subject: str | None = "person-1") -> Record:
    """A sign-in of a registered client."""
    return Record(
        issuer_kind="siwc",
        credentials=OAuthCredentials(access_token=f"access-{client}"),
        registration=Registration(client_id=client, issuer="https://issuer.example", subject=subject),
    )


NEW = Record(credentials=OAuthCredentials(access_token="new"))
KEY = Record(api_key="key", api_key_for="https://a.example")


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (None, NEW),
        (Record(), NEW),
        (FIRST, NEW),
        (None, registered("oaiapp_1")),
        (registered("oaiapp_1"), registered("oaiapp_1")),
        (registered("oaiapp_1", None), registered("oaiapp_1")),
    ],
    ids=[
        "no record",
        "an empty one",
        "an earlier sign-in",
        "none of a client",
        "the same",
        "a first sign-in",
    ],
)
def test_what_a_new_sign_in_replaces(stored: Record | None, new: Record) -> None:
    """An earlier sign-in of the same kind, client and person."""
    store = MemoryStore(record=stored)
    save_sign_in(store, new)

    loaded = store.load()
    assert loaded
    assert loaded.record == new


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (KEY, NEW),
        (registered("oaiapp_1"), NEW),
        (FIRST, registered("oaiapp_1")),
        (registered("oaiapp_1"), registered("oaiapp_2")),
        (registered("oaiapp_1"), registered("oaiapp_1", "person-2")),
    ],
    ids=["a key", "another kind", "the public client's", "another client", "another person"],
)
def test_what_was_finished_meanwhile_is_kept(stored: Record, new: Record) -> None:
    """A sign-in takes minutes; what another program put there in that time is not overwritten."""
    store = MemoryStore(record=stored)
    with pytest.raises(SignInError) as caught:
        save_sign_in(store, new)

    assert "kept" in str(caught.value)
    assert "--profile NAME" in caught.value.hint
    loaded = store.load()
    assert loaded
    assert loaded.record == stored
