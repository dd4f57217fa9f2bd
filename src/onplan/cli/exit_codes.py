"""The exit codes of the command line that are not an error's own.

Each error class has its own in ``errors.py``; ``onplan doctor`` exits with that of the first problem. Wrong
arguments end in click's 2. README has the whole table.
"""

from __future__ import annotations

from onplan.cli import INTERRUPTED
from onplan.errors import INTERNAL

__all__ = ["INPUT_OUTPUT", "INTERNAL", "INTERRUPTED"]

INPUT_OUTPUT = 74  # EX_IOERR of sysexits.h
