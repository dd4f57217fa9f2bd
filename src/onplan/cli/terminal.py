"""Draws a spinner, a progress bar and a QR code, on a terminal only. Only this and markdown/ import rich."""

from __future__ import annotations

import io
import shutil
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

import click

from onplan.cli.talk import say
from onplan.config.environment import environment_variable

if TYPE_CHECKING:
    from rich.progress import Progress as _Bar
    from rich.status import Status


class Spinner:
    """Spins on stderr until ``stop``; does and imports nothing unless stdout and stderr are a terminal.

    Args:
        text: stands beside it.
        wanted: False where something else writes to stderr meanwhile, such as a log, which it would erase.
        alone: nothing is written to stdout meanwhile, so that need not be a terminal.
    """

    def __init__(self, text: str, *, wanted: bool = True, alone: bool = False) -> None:
        self._status: Status | None = None
        if wanted and (is_drawable(sys.stderr) if alone else is_watched()):
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


class Progress:
    """A progress bar on stderr; does and imports nothing unless that is a terminal.

    Args:
        total: how many steps there are.
        done: how many are done already.
        wanted: False where something else writes to stderr meanwhile, such as a log.
    """

    def __init__(self, total: int, done: int, *, wanted: bool = True) -> None:
        self._bar: _Bar | None = None
        if wanted and is_drawable(sys.stderr):
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=total, completed=done)

    def show(self, done: int) -> None:
        """So many steps are done now."""
        if self._bar:
            self._bar.update(self._task, completed=done)

    def say(self, text: str) -> None:
        """Print ``text`` on stderr, above the bar."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            say(text)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


def is_watched() -> bool:
    """Whether stdout and stderr are a terminal that can be drawn on."""
    return sys.stdout.isatty() and is_drawable(sys.stderr)


def is_drawable(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that can be drawn on."""
    return stream.isatty() and environment_variable("TERM") != "dumb"


_QUIET_ZONE = 2  # light modules around the code; two are enough for telephones


def qr_code(text: str) -> str | None:
    """``text`` as a QR code for stderr; None without a terminal, enough room, block characters or segno."""
    if not is_drawable(sys.stderr):
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
        # Light modules on a dark ground, whatever the terminal's own colours are.
        lines = [click.style(line, fg="bright_white", bg="black") for line in lines]
    return "\n".join(lines)


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stderr.encoding)
    except UnicodeEncodeError:
        return False
    return True
