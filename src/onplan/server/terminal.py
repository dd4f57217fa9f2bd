"""Tells the two meanings of SIGHUP apart: read the configuration again, and: the terminal is gone."""

from __future__ import annotations

import os
from contextlib import suppress


class Terminal:
    """The terminal that a process had when this was made, if it had one."""

    def __init__(self) -> None:
        self._was_there = _is_there()

    @property
    def is_gone(self) -> bool:
        """Whether it has been closed since."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False
