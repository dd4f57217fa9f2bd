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
_TOGETHER = 0.1  # seconds between lines of one paste, at most
_PIECE = 4096
_LARGEST = 64 * 1024


def can_paste() -> bool:
    """Whether stdin is a terminal, with a person at it."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def pasted_lines(take: Callable[[str], object]) -> Iterator[None]:
    """Within, hand the lines that come from the terminal to ``take``, on a thread of its own.

    Those that come together are handed over together.
    """
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


def read_pasted() -> str:
    """What comes next from stdin: a line, with those that come along; an empty string at the end."""
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
    """Not through ``sys.stdin``, whose lock a thread that is left behind would hold for ever."""
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
    """Whether more comes at once: what was pasted in several lines belongs together."""
    return bool(select.select([descriptor], [], [], _TOGETHER)[0])


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
