"""Responses in a folder that several processes share."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from onplan.dialects.openai_responses.stored import Bounds
from onplan.service.response_folder import FolderStore


def name(letter: str) -> str:
    return letter * 64


def run(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    async def one_after_another() -> list[Any]:
        return [await step for step in steps]

    return asyncio.run(one_after_another())


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


class Clock:
    """Unix seconds, which a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


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


def test_a_process_finds_what_came_since_it_looked_last(tmp_path: Path) -> None:
    """Among what both have kept, also where it looked for something else before that was kept."""
    mine, theirs = FolderStore(tmp_path), FolderStore(tmp_path)
    letters = "abcdefghij"
    for number, letter in enumerate(letters):
        store, other = (mine, theirs) if number % 3 else (theirs, mine)
        data = b'"%d"' % number
        assert run(other.get(name(letter)), store.put(name(letter), [], data), other.get(name(letter))) == [
            None,
            None,
            data,
        ]
    assert run(*(mine.get(name(letter)) for letter in letters)) == [
        b'"%d"' % number for number in range(len(letters))
    ]


def test_files_are_private_and_few(tmp_path: Path) -> None:
    """Others on the machine cannot read them; a process that keeps many responses writes one file."""
    store = FolderStore(tmp_path)
    run(*(store.put(name(letter), [name("x")], b"{}") for letter in "abcdef"))
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_removed_is_overwritten(tmp_path: Path) -> None:
    """Of a response that its client deletes, no file holds anything any more; the one beside it stays."""
    store, secret = FolderStore(tmp_path), b"what was answered " * 100_000
    found = run(
        store.put(name("a"), [], b'"before"'),
        store.put(name("b"), [name("c")], secret[:2_000]),
        store.put(name("d"), [], b'"behind"'),
        store.put(name("e"), [], secret),
        store.remove(name("b")),
        store.remove(name("e")),
    )
    assert found[-2:] == [True, True]
    assert all(b"what was answered" not in path.read_bytes() for path in tmp_path.iterdir())
    assert run(store.get(name("a")), store.get(name("c")), store.get(name("d"))) == [
        b'"before"',
        None,
        b'"behind"',
    ]


def test_what_is_old_is_removed(tmp_path: Path) -> None:
    """An old response is not found although its file is there; the next sweep removes it with its file."""
    clock = Clock()
    clock.now -= 101
    store = FolderStore(tmp_path, Bounds(count=8, age=100), clock)
    run(store.put(name("a"), [name("b")], b"{}"))
    (file,) = tmp_path.iterdir()
    os.utime(file, (clock.now, clock.now))
    clock.now += 99
    assert run(store.get(name("a")), store.get(name("b"))) == [b"{}", b"{}"]
    clock.now += 2
    assert run(store.get(name("a")), store.get(name("b"))) == [None, None]
    assert file.exists()
    run(store.put(name("c"), [], b"{}"))
    assert not file.exists()
    assert run(store.get(name("c"))) == [b"{}"]


def test_a_file_that_is_long_in_use_is_ended(tmp_path: Path) -> None:
    """Else a response would stay as long as others come after it."""
    clock = Clock()
    store = FolderStore(tmp_path, Bounds(age=80), clock)
    for letter in "abcde":
        run(store.put(name(letter), [], b"{}"))
        clock.now += 6
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("bounds", [Bounds(count=40), Bounds(size=40 * 1_200)], ids=["count", "size"])
def test_the_oldest_of_what_is_too_much_is_removed(tmp_path: Path, bounds: Bounds) -> None:
    """The latest are kept, of all processes together; what is kept stays bounded."""
    stores = [FolderStore(tmp_path, bounds) for _ in range(2)]
    names = [f"{number:064}" for number in range(400)]
    for number, each in enumerate(names):
        run(stores[number % 2].put(each, [], b"%1000d" % number))
    kept = [found is not None for found in run(*(stores[0].get(each) for each in names))]
    assert all(kept[-34:])
    assert not any(kept[:-60])
    assert size_of(tmp_path) < 60 * 1_200


def test_what_is_too_much_is_removed_whoever_wrote_it(tmp_path: Path) -> None:
    """But not the file to which another process that lives appends: what it keeps next would be lost."""
    theirs, mine = FolderStore(tmp_path), FolderStore(tmp_path, Bounds(count=8))
    run(theirs.put(name("a"), [], b"{}"))
    (open_file,) = tmp_path.iterdir()
    os.utime(open_file, (time.time() - 60, time.time() - 60))
    run(*(mine.put(f"{number:064}", [], b"{}") for number in range(30)))
    assert open_file.exists()
    run(theirs.put(name("b"), [], b"{}"))
    assert run(mine.get(name("b"))) == [b"{}"]
    del theirs
    os.utime(open_file, (time.time() - 60, time.time() - 60))
    run(*(mine.put(f"{number:064}", [], b"{}") for number in range(30)))
    assert not open_file.exists()


def test_what_is_kept_again_is_the_newest(tmp_path: Path) -> None:
    """A response of the same id, or with an item of the same id, takes the other's place, in any process."""
    store, theirs = FolderStore(tmp_path), FolderStore(tmp_path)
    found = run(
        store.put(name("a"), [name("c")], b'"first"'),
        theirs.put(name("a"), [name("c")], b'"second"'),
        store.get(name("a")),
        store.put(name("b"), [name("c")], b'"third"'),
        theirs.get(name("c")),
        theirs.get(name("a")),
    )
    assert [data for data in found if data] == [b'"second"', b'"third"', b'"second"']


def test_an_item_is_no_response(tmp_path: Path) -> None:
    """To delete by the id of an item deletes nothing."""
    store = FolderStore(tmp_path)
    found = run(store.put(name("a"), [name("b")], b"{}"), store.remove(name("b")), store.get(name("a")))
    assert found == [None, False, b"{}"]


@pytest.mark.parametrize("missing", range(1, 240, 13))
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, missing: int) -> None:
    """A process that was killed in the middle of writing leaves nothing that is taken for a response."""
    store = FolderStore(tmp_path)
    run(store.put(name("a"), [name("b")], b'{"some": "json"}'))
    (path,) = tmp_path.iterdir()
    whole = path.stat().st_size
    run(store.put(name("c"), [name("d")], b'"%100d"' % 0))
    assert path.stat().st_size - missing > whole
    os.truncate(path, path.stat().st_size - missing)
    other = FolderStore(tmp_path)
    assert run(other.get(name("c")), other.get(name("d"))) == [None, None]
    assert run(other.get(name("a")), other.get(name("b"))) == [b'{"some": "json"}'] * 2


_KEEPS_AND_WAITS = """
import asyncio, sys
from pathlib import Path
from onplan.service.response_folder import FolderStore
asyncio.run(FolderStore(Path(sys.argv[1])).put("a" * 64, ["b" * 64], b"{}"))
print("kept", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_has_kept_stays(tmp_path: Path) -> None:
    """Others find it, until it is too old or too much."""
    command = [sys.executable, "-c", _KEEPS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    store = FolderStore(tmp_path, Bounds(count=8))
    assert run(store.get(name("a")), store.get(name("b"))) == [b"{}", b"{}"]
    (file,) = tmp_path.iterdir()
    os.utime(file, (time.time() - 60, time.time() - 60))
    run(*(store.put(f"{number:064}", [], b"{}") for number in range(9)))
    assert not file.exists()


@pytest.mark.parametrize("later", [5, 86_400])
def test_a_clock_that_is_set_back_loses_nothing(tmp_path: Path, later: float) -> None:
    """What is kept after that is found; what came before counts as kept at the next look, and goes first."""
    clock = Clock()
    store = FolderStore(tmp_path, Bounds(count=40, age=100), clock)
    run(*(store.put(f"{number:064}", [], b"{}") for number in range(40)))
    for file in tmp_path.iterdir():
        os.utime(file, (clock.now + later, clock.now + later))
    names = [f"{number:064}" for number in range(100, 180)]
    run(*(store.put(each, [], b"{}") for each in names))
    assert run(*(store.get(each) for each in names[-34:])) == [b"{}"] * 34
    assert len(list(tmp_path.iterdir())) <= 12
    clock.now += 101
    run(*(store.put(f"{number:064}", [], b"{}") for number in range(200, 206)))
    assert len(list(tmp_path.iterdir())) <= 2


def test_large_responses_are_kept(tmp_path: Path) -> None:
    """Those of more than a quarter of a megabyte are written by a thread, to files of their own."""
    store, data = FolderStore(tmp_path), b'"' + b"x" * 300_000 + b'"'
    assert run(store.put(name("a"), [name("b")], data), store.get(name("a")), store.get(name("b"))) == [
        None,
        data,
        data,
    ]


def test_a_folder_that_is_gone_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    """So is a full disk: what a client asked for is answered all the same."""
    store = FolderStore(tmp_path / "gone")
    assert run(store.put(name("a"), [], b"{}"), store.get(name("a")), store.remove(name("a"))) == [
        None,
        None,
        False,
    ]


_FILLS_UP = """
import asyncio, resource, signal, sys
from pathlib import Path
from onplan.service.response_folder import FolderStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = FolderStore(Path(sys.argv[1]))
async def use():
    await store.put("a" * 64, [], b"1" * 1_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500, resource.RLIM_INFINITY))
    await store.put("b" * 64, [], b"2" * 1_000)
    await store.put("c" * 64, [], b"3" * 1_000)
    for letter in "abc":
        print((await store.get(letter * 64) or b"-")[:1].decode(), end="")
asyncio.run(use())
"""


def test_a_disk_that_fills_up_loses_only_what_does_not_fit(tmp_path: Path) -> None:
    """Of a response for which there is no room nothing stays; later ones go to another file."""
    command = [sys.executable, "-c", _FILLS_UP, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "1-3"
    assert all(b"2222" not in path.read_bytes() for path in tmp_path.iterdir())


_FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from onplan.dialects.openai_responses.stored import Bounds
from onplan.service.response_folder import FolderStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = FolderStore(Path(sys.argv[1]), Bounds(count=16))
async def use():
    await store.put("a" * 64, [], b"1" * 1_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
    for number in range(100):
        await store.put(f"{number:064}", [], b"2" * int(sys.argv[2]))
    print((await store.get("a" * 64) or b"-")[:1].decode(), end="")
asyncio.run(use())
"""


@pytest.mark.parametrize("size", [1_000, 300_000])
def test_while_a_disk_is_full_no_files_gather(tmp_path: Path, size: int) -> None:
    """Empty ones would take the places of what was kept before."""
    command = [sys.executable, "-c", _FULL, str(tmp_path), str(size)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "1"
    assert len(list(tmp_path.iterdir())) == 1
