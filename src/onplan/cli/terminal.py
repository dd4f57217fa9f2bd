"""The only module that draws: a spinner while the model thinks, on a terminal and nowhere else."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

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
    dumb = os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and sys.stderr.isatty() and not dumb
