"""Forked processes, which end whatever they inherited."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def in_a_child(work: Callable[[], object]) -> int:
    """The exit code of a forked process that does ``work``; negative if it hung."""
    child = os.fork()
    if child == 0:
        signal.alarm(100)  # it has hung, and is not merely slow on a busy machine
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child ends here
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
