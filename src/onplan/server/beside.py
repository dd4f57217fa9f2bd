"""Runs work in a process beside this one, for as long as this process lasts, whatever program it becomes.

The process is no child of this one, has no terminal, and keeps none of its files open: a program that this
process becomes by exec(2) sees neither a child that it did not start nor a signal less than without it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from onplan.errors import ConfigurationError, OnplanError

# Seconds between two looks whether a process is still there, where the system does not say when it ends.
_POLL = 0.2
_READY = b"ready"
_LAST_STANDARD = 2  # stderr


class ThisProcess:
    """This process, whose end a fork of it can wait for, whatever program it becomes until then."""

    def __init__(self) -> None:
        self._id = os.getpid()
        self.descriptors: tuple[int, ...] = ()
        if sys.platform == "linux":
            with suppress(OSError):  # before Linux 5.3, and in sandboxes that do not know the call
                self.descriptors = (os.pidfd_open(self._id),)

    def lives(self) -> int:
        """A descriptor that can be read once the process has ended; to be called in a fork of it."""
        if self.descriptors:
            return self.descriptors[0]
        reading, writing = os.pipe()
        threading.Thread(target=self._watch, args=(writing,), name="onplan waits", daemon=True).start()
        return reading

    def _watch(self, writing: int) -> None:
        while self._is_alive():
            time.sleep(_POLL)
        os.close(writing)

    def _is_alive(self) -> bool:
        try:
            os.kill(self._id, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it has become a program of another user
            return True
        return True


class Starting:
    """Work that is being started beside this process."""

    def __init__(self, reading: int) -> None:
        self._reading = reading

    def wait(self) -> None:
        """Wait until it is ready. Raises ConfigurationError if it failed before."""
        with open(self._reading, "rb") as said:  # noqa: PTH123 - a descriptor
            answer = said.read()
        if answer != _READY:
            raise ConfigurationError(
                f"The server could not be started: {answer.decode(errors='replace') or 'it ended at once.'}",
                hint="Run the command again with `onplan -v …` and report what it prints.",
            )


def fill_standard_files() -> None:
    """Open what is closed of stdin, stdout and stderr, so that nothing else gets their descriptors.

    A program that this process becomes finds them closed, as this one did.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        pass
    os.close(opened)


def start_beside(
    work: Callable[[Callable[[], object]], object], keep: Iterable[int], *, keep_stderr: bool = False
) -> Starting:
    """Start ``work`` in a process beside this one.

    Args:
        work: called there with a function that it calls when it is ready; the process ends with it.
        keep: descriptors that it needs. All others are closed there.
        keep_stderr: whether it may write to this process's stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # what is still to be written would be written twice
    reading, writing = os.pipe()
    between = os.fork()
    if not between:
        _in_between(work, {*keep, writing}, writing, keep_stderr=keep_stderr)
    os.close(writing)
    os.waitpid(between, 0)
    return Starting(reading)


def _in_between(
    work: Callable[[Callable[[], object]], object], keep: set[int], writing: int, *, keep_stderr: bool
) -> NoReturn:
    """Be the child that starts the process and ends, so that the process is no child of the first one."""
    code = 1
    try:
        os.setsid()  # no signal of the terminal reaches it, Ctrl-C and Ctrl-Z among them
        if not os.fork():
            _close_files(keep, keep_stderr=keep_stderr)
            code = _work(work, writing)
        else:
            code = 0
    finally:
        os._exit(code)  # neither buffers nor exit handlers of the first process are this one's business


def _work(work: Callable[[Callable[[], object]], object], writing: int) -> int:
    told = open(writing, "wb", buffering=0)  # noqa: SIM115 - a descriptor, closed when it is ready

    def ready() -> None:
        told.write(_READY)
        told.close()

    try:
        work(ready)
    except BaseException as error:  # noqa: BLE001 - the first process reports it, if it is still waiting
        reason = f"an unexpected {type(error).__name__}."
        if isinstance(error, OnplanError):
            reason = f"{error.message} {error.hint}"
        if not told.closed:
            with suppress(OSError):
                told.write(reason.encode())
        return 1
    return 0


def _close_files(keep: set[int], *, keep_stderr: bool) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1) if keep_stderr else (0, 1, 2):
        os.dup2(nothing, number)
    for number in [int(file.name) for file in Path("/dev/fd").iterdir()]:
        if number > _LAST_STANDARD and number not in keep:
            with suppress(OSError):  # that of the listing itself is closed already
                os.close(number)
