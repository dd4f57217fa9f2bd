"""A terminal with a screen that can be looked at, and a program at it."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pyte

from .terminal import ONPLAN, SIT_DOWN

CTRL_C, CTRL_D = "\x03", "\x04"


_FAINT, _BLINK, _COLOURS = 2, 5, (38, 48)


class _Screen(pyte.HistoryScreen):
    """Shows faint text as blinking: pyte does not know it, and nothing of ours blinks."""

    def select_graphic_rendition(self, *attributes: int, **options: object) -> None:
        shown, at = list(attributes), 0
        while at < len(shown):
            if shown[at] in _COLOURS:  # of a palette (38;5;NUMBER), or mixed (38;2;RED;GREEN;BLUE)
                at += 3 if shown[at + 1 : at + 2] == [5] else 5
                continue
            if shown[at] == _FAINT:
                shown[at] = _BLINK
            elif shown[at] == 22:
                shown[at : at + 1] = [22, 25]
                at += 1
            at += 1
        super().select_graphic_rendition(*shown, **options)


class ScreenTerminal:
    """A program at a terminal whose screen is that of a VT220, with what scrolled off it."""

    def __init__(self, *command: str, columns: int = 80, lines: int = 30, **environment: str) -> None:
        import pty

        self._ours, theirs = pty.openpty()
        self._screen = _Screen(columns, lines, history=100_000)
        self._screen.write_process_input = self.type  # replies, such as where the cursor is
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        self._set_size(columns, lines)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIT_DOWN, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        os.close(theirs)

    def _set_size(self, columns: int, lines: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self._set_size(columns, lines)
        self._screen.resize(lines, columns)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    @property
    def shown(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def scrolled(self) -> str:
        """What scrolled off the screen, and what is on it."""
        width = self._screen.columns
        above = ["".join(line[at].data for at in range(width)).rstrip() for line in self._screen.history.top]
        return "\n".join([*above, self.shown])

    @property
    def cells(self) -> list[list[pyte.screens.Char]]:
        """Every character with its style, line by line, also of what scrolled off; ``blink`` is faint."""
        lines = [*self._screen.history.top, *(self._screen.buffer[at] for at in range(self._screen.lines))]
        return [[line[at] for at in range(self._screen.columns)] for line in lines]

    def styles(self, text: str) -> set[str]:
        """What the first place where ``text`` is on the screen looks like: colours, ``bold`` and others."""
        for number, line in enumerate(self._screen.display):
            if (column := line.find(text)) >= 0:
                cell = self._screen.buffer[number][column]
                flags = ("bold", "italics", "underscore", "reverse")
                return {cell.fg, *(name for name in flags if getattr(cell, name))} - {"default"}
        raise AssertionError(f"{text!r} is not on the screen:\n{self.shown}")

    def until(self, wanted: str | Callable[[str], bool]) -> str:
        """Wait until the screen shows ``wanted``; what it shows then."""
        fits = wanted if callable(wanted) else lambda shown: wanted in shown
        deadline = time.monotonic() + 60
        while not fits(self.shown):
            assert self._read(), f"it has ended with {self.process.wait(60)}:\n{self.shown}"
            assert time.monotonic() < deadline, self.shown
        return self.shown

    def interrupt(self) -> None:
        """Press Ctrl-C, and again where it came while the question was being drawn, as a person does."""
        while self.process.poll() is None:
            self.type("\x03")
            again = time.monotonic() + 5
            while self.process.poll() is None and time.monotonic() < again:
                self._read()

    def end(self) -> int:
        """Wait until the program ends; its exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(60)

    def _read(self) -> bool:
        """Read what there is, for a moment. False when the program has left the terminal."""
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        data = b""
        with suppress(OSError):  # nobody has the other end any more
            data = os.read(self._ours, 65536)
        self.written += data
        self._stream.feed(data)
        return bool(data)


@contextmanager
def at_screen(*arguments: str, **options: object) -> Iterator[ScreenTerminal]:
    """``onplan`` at a terminal; ``options`` are those of ``ScreenTerminal``."""
    terminal = ScreenTerminal(*ONPLAN, *arguments, **options)  # type: ignore[arg-type]
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()
