"""Many processes and tasks refresh at once with one single-use refresh token: one request is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator

from .conftest import EXTERNAL

PROCESSES, TASKS = 16, 8
ROUNDS = {"file": 50, "plan": 10, "codex": 4, "vault": 4, "external": 3}
SCHEMES = ["external"] if EXTERNAL else ["file", "plan", "codex", "vault"]


@pytest.fixture
def racers(sign_in: Callable[..., Any]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that stand at the start."""
    sign_in()
    processes = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "racer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        assert [line(process) for process in processes] == ["ready\n"] * PROCESSES
        yield processes
    finally:
        for process in processes:
            process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * PROCESSES


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def race(processes: list[subprocess.Popen[str]], kind: str) -> list[str]:
    for process in processes:
        assert process.stdin
        process.stdin.write(f"{kind}\n")
        process.stdin.flush()
    return [outcome for process in processes for outcome in json.loads(line(process))]


@pytest.mark.parametrize("spec", SCHEMES, indirect=True)
def test_one_refresh_however_many_want_it(
    request: pytest.FixtureRequest,
    spec: str,
    emulator: Emulator,
    racers: list[subprocess.Popen[str]],
    expire: Callable[[], None],
    refreshes: Callable[[], list[int]],
) -> None:
    """16 processes with 8 tasks each find the token expired, or refused: one refresh, nobody is signed out.

    The emulator signs the whole family out if a spent refresh token comes again.
    """
    scheme = request.node.callspec.params["spec"]
    for number in range(ROUNDS[scheme]):
        kind = ("clock", "refused")[number % 2]
        if kind == "clock":
            expire()
        else:
            emulator.expire_access_tokens()
        emulator.clear_journal()

        outcomes = race(racers, kind)

        assert len(outcomes) == PROCESSES * TASKS
        assert len(set(outcomes)) == 1, (number, set(outcomes))
        assert refreshes() == [200], (number, kind)
