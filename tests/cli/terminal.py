"""A terminal with a program at it, and the browser of the person who sits there."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ONPLAN = [sys.executable, "-m", "onplan"]
# Makes its stdin the terminal of its session, so that Ctrl-C there reaches whom it starts.
SIT_DOWN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A program at a terminal of its own. Its stdout is kept apart; the rest is on the screen."""

    def __init__(self, *command: str, **environment: str) -> None:
        import pty

        self._ours, self._theirs = pty.openpty()
        self.screen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIT_DOWN, *command],
            stdin=self._theirs,
            stdout=subprocess.PIPE,
            stderr=self._theirs,
            start_new_session=True,
            text=True,
            env={**os.environ, "TERM": "xterm", **environment},
        )

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, text: str) -> None:
        """Read the screen until ``text`` is on it."""
        deadline = time.monotonic() + 60
        while text not in self.screen:
            ready, _, _ = select.select([self._ours], [], [], 0.1)
            if ready:
                self.screen += os.read(self._ours, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
                continue
            assert self.process.poll() is None, self.screen
            assert time.monotonic() < deadline, self.screen

    def address(self) -> str:
        """The address to open."""
        self.read_until("(Ctrl-C gives up)" if "--paste" not in self.process.args else "Paste")  # type: ignore[operator]
        return next(line.strip() for line in self.screen.splitlines() if line.strip().startswith("http"))

    def end(self) -> tuple[int, str]:
        """Wait until it ends: its exit code, and what it wrote to stdout. The rest is on the screen."""
        reader = threading.Thread(target=self._drain, daemon=True)
        reader.start()
        try:
            out, _ = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It has not ended. On the screen: {self.screen!r}") from None
        os.close(self._theirs)
        reader.join(60)
        os.close(self._ours)
        return self.process.returncode, out

    def _drain(self) -> None:
        with suppress(OSError):  # nobody has the other end any more
            while data := os.read(self._ours, 65536):
                self.screen += data.decode("utf-8", "replace").replace("\r\n", "\n")


@contextmanager
def terminal(*command: str, **environment: str) -> Iterator[Terminal]:
    sitting = Terminal(*command, **environment)
    try:
        yield sitting
    finally:
        if sitting.process.poll() is None:
            sitting.process.kill()
            sitting.process.wait()


def screen_of(*arguments: str, columns: int = 100, typed: str = "", **environment: str) -> tuple[int, str]:
    """The exit code of onplan at a terminal of its own, and all that is on the screen in the end.

    ``typed`` is typed at once.
    """
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.write(ours, typed.encode())
    process = subprocess.Popen(
        [*ONPLAN, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    screen = b""
    with suppress(OSError):  # nobody has the other end any more
        while data := os.read(ours, 65536):
            screen += data
    os.close(ours)
    return process.wait(60), screen.decode("utf-8", "replace").replace("\r\n", "\n")


def follow(url: str) -> None:
    """Be the browser on this machine."""
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20).close()
