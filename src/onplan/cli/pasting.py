"""Lines that a person pastes while something else is awaited.

The terminal is read only when it has something, and no longer than wanted: what is typed afterwards is for
the shell, and a program that ends does not wait for a line.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onplan.secret import SecretText

_NOT_OURS = 1.0  # seconds until we look again whether the terminal is ours
_LEAVE_SECONDS = 2.0


def can_paste() -> bool:
    """Whether stdin is a terminal, with a person at it."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def pasted_lines(take: Callable[[str], object]) -> Iterator[None]:
    """Within, hand every line that comes from the terminal to ``take``, on a thread of its own."""
    descriptor = sys.stdin.fileno()
    if sys.platform == "win32":  # there one cannot wait for a console and for something else
        threading.Thread(target=_read, args=(descriptor, take, lambda: True), daemon=True).start()
        yield
        return
    woken, wake = os.pipe()
    thread = threading.Thread(
        target=_read, args=(descriptor, take, lambda: _is_ready(descriptor, woken)), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        os.close(wake)  # which makes the other end readable
        thread.join(_LEAVE_SECONDS)
        if not thread.is_alive():
            os.close(woken)


def _read(descriptor: int, take: Callable[[str], object], wait: Callable[[], bool]) -> None:
    """Not through ``sys.stdin``, whose lock a thread that is left behind would hold for ever."""
    data = b""
    while wait():
        try:
            read = os.read(descriptor, 4096)
        except OSError:  # the terminal is gone
            return
        if not read:
            return
        *lines, data = (data + read).split(b"\n")
        for line in lines:
            take(SecretText(line.decode("utf-8", "replace")))


def _is_ready(descriptor: int, woken: int) -> bool:
    """Wait until there is something to read. False if it is no longer wanted."""
    while True:
        ready, _, _ = select.select([descriptor, woken], [], [])
        if woken in ready:
            return False
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            return True
        # In the background: what is typed is not for us, and reading would stop this process.
        if select.select([woken], [], [], _NOT_OURS)[0]:
            return False
