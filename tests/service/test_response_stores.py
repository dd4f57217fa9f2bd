"""Responses in a folder that several processes share."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from onplan.dialects.openai_responses.stored import Bounds
from onplan.service.response_stores import FolderStore


def name(letter: str) -> str:
    return letter * 64


def run(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    async def one_after_another() -> list[Any]:
        return [await step for step in steps]

    return asyncio.run(one_after_another())


def test_another_process_finds_what_one_has_kept(tmp_path: Path) -> None:
    """By the names of the response and of its items; what one removes is gone for all."""
    mine, theirs = FolderStore(tmp_path), FolderStore(tmp_path)
    found = run(
        mine.put(name("a"), [name("b")], b'{"some": "json"}'),
        theirs.get(name("a")),
        theirs.get(name("b")),
        theirs.remove(name("a")),
        mine.remove(name("a")),
        mine.get(name("b")),
        mine.get(name("c")),
    )
    assert found == [None, b'{"some": "json"}', b'{"some": "json"}', True, False, None, None]


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    """Others on the machine cannot read them; nothing else is left beside them."""
    run(FolderStore(tmp_path).put(name("a"), [name("b")], b"{}"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [name("a"), f"{name('b')}.item"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_what_is_old_or_too_much_is_removed(tmp_path: Path) -> None:
    """An old response is not found although its file is there; the next sweep removes it, and the oldest."""
    store = FolderStore(tmp_path, Bounds(count=7, age=100))
    run(store.put(name("a"), [name("b")], b"{}"))
    long_ago = time.time() - 101
    os.utime(tmp_path / name("a"), (long_ago, long_ago))
    assert run(store.get(name("a")), store.get(name("b"))) == [None, None]
    for number in range(20):
        run(store.put(name("cdefghijklmnopqrstuv"[number]), [], b"{}"))
        os.utime(
            tmp_path / name("cdefghijklmnopqrstuv"[number]), (number + long_ago + 50, number + long_ago + 50)
        )
    left = {path.name[0] for path in tmp_path.iterdir()}
    assert "a" not in left
    assert "v" in left
    assert "b" not in left
    assert len(left) <= 7 + 4


def test_what_is_kept_again_is_the_newest(tmp_path: Path) -> None:
    """A response of the same id, or with an item of the same id, takes the other's place."""
    store = FolderStore(tmp_path)
    found = run(
        store.put(name("a"), [name("c")], b'"first"'),
        store.put(name("a"), [name("c")], b'"second"'),
        store.get(name("a")),
        store.put(name("b"), [name("c")], b'"third"'),
        store.get(name("c")),
        store.get(name("a")),
    )
    assert [data for data in found if data] == [b'"second"', b'"third"', b'"second"']


def test_an_item_is_no_response(tmp_path: Path) -> None:
    """To delete by the id of an item deletes nothing."""
    store = FolderStore(tmp_path)
    found = run(store.put(name("a"), [name("b")], b"{}"), store.remove(name("b")), store.get(name("a")))
    assert found == [None, False, b"{}"]


def test_a_file_that_is_not_whole_is_none(tmp_path: Path) -> None:
    """A process that was killed in the middle of writing leaves nothing that is taken for a response."""
    store = FolderStore(tmp_path)
    run(store.put(name("a"), [name("b")], b'{"some": "json"}'))
    os.truncate(tmp_path / name("a"), 5)
    assert run(store.get(name("a")), store.get(name("b"))) == [None, None]


def test_large_responses_are_kept(tmp_path: Path) -> None:
    """Those of more than a quarter of a megabyte are written by a thread."""
    store, data = FolderStore(tmp_path), b'"' + b"x" * 300_000 + b'"'
    assert run(store.put(name("a"), [], data), store.get(name("a"))) == [None, data]


def test_a_folder_that_is_gone_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    """So is a full disk: what a client asked for is answered all the same."""
    store = FolderStore(tmp_path / "gone")
    assert run(store.put(name("a"), [], b"{}"), store.get(name("a")), store.remove(name("a"))) == [
        None,
        None,
        False,
    ]
