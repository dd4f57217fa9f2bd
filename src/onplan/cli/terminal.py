"""The only module that draws: a spinner, a QR code; on a terminal and nowhere else."""

from __future__ import annotations

import io
import shutil
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from onplan.config.environment import environment_variable

if TYPE_CHECKING:
    from rich.status import Status


class Spinner:
    """Turns on stderr until ``stop``. Does nothing, and loads nothing, unless a person is watching."""

    def __init__(self, text: str) -> None:
        self._status: Status | None = None
        if is_watched():
            from rich.console import Console

            self._status = Console(stderr=True).status(text)

    def stop(self) -> None:
        """Remove it. May be called again."""
        if self._status:
            self._status.stop()
            self._status = None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def is_watched() -> bool:
    """Whether a person sees stdout and stderr on a terminal that can be drawn on."""
    return sys.stdout.isatty() and _can_draw()


def _can_draw() -> bool:
    return sys.stderr.isatty() and environment_variable("TERM") != "dumb"


_QUIET_ZONE = 2  # light modules around it; telephones need no more


def qr_code(text: str) -> str | None:
    """``text`` as a QR code for stderr, or None: no terminal, no room, no such characters, no segno."""
    if not _can_draw():
        return None
    try:
        import segno
    except ImportError:
        return None
    code = segno.make_qr(text, error="l")
    blocks = io.StringIO()
    code.terminal(blocks, compact=True, border=_QUIET_ZONE)
    lines = blocks.getvalue().splitlines()
    terminal = shutil.get_terminal_size()
    if len(lines[0]) > terminal.columns or len(lines) > terminal.lines or not _can_write(lines[0]):
        return None
    if environment_variable("NO_COLOR") is None:
        # Light on dark whatever the terminal's own colours are.
        lines = [click.style(line, fg="bright_white", bg="black") for line in lines]
    return "\n".join(lines)


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stderr.encoding)
    except UnicodeEncodeError:
        return False
    return True
