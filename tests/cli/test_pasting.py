"""Pasting while the program is in the background, where the terminal's input belongs to another program."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from onplan.cli import pasting

from ..conftest import eventually

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="groups of processes")


class Foreground:
    """Which group of processes has the terminal, as the system tells."""

    def __init__(self) -> None:
        self.ours, self.asked = False, 0

    def group(self, descriptor: int) -> int:
        self.asked += 1
        return os.getpgrp() if self.ours else os.getpgrp() + 1


@pytest.fixture
def foreground(monkeypatch: pytest.MonkeyPatch) -> Foreground:
    """This program is in the background until ``ours`` is set; it looks again at once."""
    told = Foreground()
    monkeypatch.setattr(os, "tcgetpgrp", told.group)
    monkeypatch.setattr(pasting, "_BACKGROUND_WAIT", 0.001)
    return told


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    """What is typed, and what wakes the reader: each where it is read and where it is written."""
    typed, woken = os.pipe(), os.pipe()
    yield (*typed, *woken)
    for descriptor in (*typed, *woken):
        os.close(descriptor)


def test_input_waits_until_the_program_is_in_the_foreground(
    foreground: Foreground, pipes: tuple[int, int, int, int]
) -> None:
    """To read before that would stop it (SIGTTIN)."""
    typed, typing, woken, _ = pipes
    os.write(typing, b"pasted\n")
    ready: list[bool] = []
    thread = threading.Thread(target=lambda: ready.append(pasting._is_ready(typed, woken)))
    thread.start()
    eventually(lambda: foreground.asked > 3)
    assert ready == []
    foreground.ours = True
    thread.join(20)

    assert ready == [True]


def test_a_program_in_the_background_that_goes_on_leaves_the_input(
    foreground: Foreground, pipes: tuple[int, int, int, int]
) -> None:
    """What was typed is still there for whom it is for."""
    typed, typing, woken, waking = pipes
    os.write(typing, b"for the shell\n")
    ready: list[bool] = []
    thread = threading.Thread(target=lambda: ready.append(pasting._is_ready(typed, woken)))
    thread.start()
    eventually(lambda: foreground.asked > 3)
    os.write(waking, b".")
    thread.join(20)

    assert ready == [False]
    assert os.read(typed, 100) == b"for the shell\n"
