"""The end of what is on a terminal: lines that may still change, below lines that never do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

_NO_WRAP, _WRAP = (
    "\x1b[?7l",
    "\x1b[?7h",
)  # DECAWM: a line takes one row, whatever the terminal thinks its width is

# Terminals that break lines anew when they become narrower. The others, such as xterm and screen, cut them
# off. Known from their documentation in November 2026.
_REFLOWING = ("VTE_VERSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "WT_SESSION", "TMUX", "TERM_PROGRAM")


class Region:
    """Lines at the end of the screen that are drawn anew when they change; one at a time may be in use.

    Args:
        stream: a terminal that knows the usual control sequences (ECMA-48).
        environment: of the process, which names the terminal.
    """

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._reflows = any(name in environment for name in _REFLOWING)
        self._drawn: list[str] = []
        self._columns = 0

    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal now; 80 and 24 if it does not say."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return 80, 24
        return columns or 80, rows or 24

    def draw(self, finished: str, lines: Sequence[str]) -> None:
        """Print ``finished``, complete lines that stay, and below them ``lines`` in place of those before.

        What of ``lines`` the screen has no rows for is left out at the top, until it is finished.
        """
        columns, rows = self.size()
        shown = list(lines[-max(rows - 1, 1) :])
        same = 0 if finished or columns != self._columns else _common(self._drawn, shown)
        if not finished and same == len(shown) == len(self._drawn):
            return
        out = self._back_to(same, columns)
        if finished:
            out += finished
        if shown:
            out += _NO_WRAP + "\n".join(shown[same:]) + _WRAP
        self._drawn, self._columns = shown, columns
        self._stream.write(out)
        self._stream.flush()

    def _back_to(self, line: int, columns: int) -> str:
        """Moves the cursor to the beginning of a line that was drawn, and erases what follows."""
        if not self._drawn:
            return ""
        if line == len(self._drawn):
            return "\n"
        up = sum(self._rows(drawn, columns) for drawn in self._drawn[line:]) - 1
        return (f"\x1b[{up}A" if up else "") + "\r\x1b[J"

    def _rows(self, drawn: str, columns: int) -> int:
        if columns >= self._columns or not self._reflows:
            return 1
        return max(1, -(-cell_len(Text.from_ansi(drawn).plain) // columns))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
