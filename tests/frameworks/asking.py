"""What the tests of adapters ask of the emulator and of this process."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator

forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")


def in_a_fork(ask: Callable[[], str]) -> str:
    """What ``ask`` gives in a process that is forked from this one."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put(ask()))
    child.start()
    answer = str(queue.get(timeout=60))
    child.join(60)
    return answer


def beside_a_fork(ask: Callable[[str], str], emulator: Emulator) -> None:
    """Ask here, then in a fork and here at the same time, with a token that has expired meanwhile.

    ``ask`` gives the answer to a question, by an object that both processes have. Each of them must get its
    own answers, and the token must be refreshed once.
    """
    questions = {"parent": [f"parent {number}" for number in range(5)], "child": ["child 1", "child 2"]}
    expected = {name: [f"You said: {each}" for each in asked] for name, asked in questions.items()}
    assert ask("before") == "You said: before"
    emulator.expire_access_tokens()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put([ask(each) for each in questions["child"]]))
    child.start()
    assert [ask(each) for each in questions["parent"]] == expected["parent"]
    assert queue.get(timeout=60) == expected["child"]
    child.join(60)
    assert child.exitcode == 0
    assert refreshes(emulator) == 1


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for an answer that have come."""
    return [row for row in emulator.journal() if row["path"].endswith("/responses")]


def turns(emulator: Emulator) -> list[dict[str, Any]]:
    """Their bodies."""
    return [row["body"] for row in asked(emulator) if row["body"]]


def refreshes(emulator: Emulator) -> int:
    """How often a token was refreshed."""
    return len([row for row in emulator.journal() if row["path"] == "/oauth/token"])


def open_files() -> int:
    """How many files and sockets this process has open, after what was dropped is gone."""
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))
