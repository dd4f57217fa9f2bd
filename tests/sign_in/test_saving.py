"""What is written when other programs write to the same store."""

from __future__ import annotations

import pytest

from onplan.errors import StoreConflictError
from onplan.sign_in.saving import update
from onplan.stores import Record, Stored
from onplan.stores.contract import FIRST, SECOND
from onplan.stores.memory import MemoryStore


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
