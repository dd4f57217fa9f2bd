"""Reads lines that a person pastes into the terminal while the program waits for something else as well.

The terminal is read only when it has input, and only as long as needed: what is typed afterwards belongs to
the shell, and the program does not wait for a line when it ends.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onplan.secret import SecretText

_BACKGROUND_WAIT = 1.0  # seconds until we check again whether we are in the foreground
_LEAVE_SECONDS = 2.0
_TOGETHER = 0.1  # seconds between lines of one paste, at most
_PIECE = 4096
_LARGEST = 64 * 1024


def can_paste() -> bool:
    """Whether stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def pasted_lines(take: Callable[[str], object]) -> Iterator[None]:
    """Within ``with``, pass lines from the terminal to ``take``, on a thread of its own.

    Lines that arrive together are passed together.
    """
    descriptor = sys.stdin.fileno()
    if sys.platform == "win32":  # Windows cannot wait for a console and a pipe at once
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


def read_pasted() -> str:
    """The next line of stdin, with lines that arrive together with it; an empty string at the end."""
    if sys.stdin is None:
        return ""
    if sys.platform == "win32":
        return sys.stdin.readline()
    descriptor, data = sys.stdin.fileno(), b""
    while read := os.read(descriptor, _PIECE):
        data += read
        if data.endswith(b"\n") and not _has_more(descriptor):
            break
    return SecretText(data.decode("utf-8", "replace"))


def _read(descriptor: int, take: Callable[[str], object], wait: Callable[[], bool]) -> None:
    """Read the descriptor, not ``sys.stdin``: an abandoned thread would hold that one's lock for ever."""
    data = b""
    while wait():
        try:
            read = os.read(descriptor, _PIECE)
        except OSError:  # the terminal is gone
            return
        if not read:
            if data:
                take(SecretText(data.decode("utf-8", "replace")))
            return
        data += read
        if len(data) < _LARGEST and sys.platform != "win32" and _has_more(descriptor):
            continue
        lines, end, data = data.rpartition(b"\n")
        if end:
            take(SecretText(lines.decode("utf-8", "replace")))


def _has_more(descriptor: int) -> bool:
    """Whether more arrives at once: lines of one paste belong together."""
    return bool(select.select([descriptor], [], [], _TOGETHER)[0])


def _is_ready(descriptor: int, woken: int) -> bool:
    """Wait until there is something to read; False when the caller has left the ``with`` block."""
    while True:
        ready, _, _ = select.select([descriptor, woken], [], [])
        if woken in ready:
            return False
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            return True
        # In the background, input belongs to another program, and reading would stop this process (SIGTTIN).
        if select.select([woken], [], [], _BACKGROUND_WAIT)[0]:
            return False
