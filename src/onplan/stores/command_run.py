"""Runs the helper program of a ``command:`` store, with a deadline, and safely if this process is killed.

On POSIX systems a helper is started only when its whole input is in a pipe, so it never stores half of it.
And it holds a lock until it ends, so that the next process waits for what it is still storing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import PIPE

from onplan.config.file_errors import explained
from onplan.config.private_files import make_private_folder
from onplan.errors import StoreError
from onplan.secret import SecretBytes
from onplan.stores.lock import patience

# Seconds for one run of a helper, which may have to ask for a passphrase.
DEADLINE = 60.0
_GRACE = 2.0  # between being asked to end and being ended
_POLL = 0.02
_POSIX = sys.platform != "win32"


class Helper:
    """A program with its first arguments.

    Args:
        writing: the file that a run keeps locked while it changes what is stored.
    """

    def __init__(self, arguments: Sequence[str], writing: Path) -> None:
        self._arguments, self._writing = list(arguments), writing
        self._name = f"The helper program {arguments[0]}"

    def read(self, verb: str) -> SecretBytes:
        """What it prints. Raises StoreError if it cannot be started, fails, or takes too long."""
        status, output = self._run(verb, None, ())
        self._check(status, verb)
        return output

    def write(self, verb: str, data: SecretBytes | None = None) -> None:
        """Have it change what is stored. For the holder of the store's lock. Raises as ``read``."""
        with self._writing_locked() as descriptors:
            status, _ = self._run(verb, data, descriptors)
        self._check(status, verb)

    def await_survivor(self) -> None:
        """Wait for a helper whose caller was killed, as long as a run may take. Raises StoreError."""
        seconds = patience(DEADLINE)
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self._writing_locked():
                    return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
            time.sleep(_POLL)
        if seconds < DEADLINE:
            raise StoreError(
                f"{self._name} was started by a program that was killed, and still runs.",
                hint="Wait for it or end it, then run the command again.",
            )
        with suppress(OSError):  # held by a background process that the helper started
            self._writing.unlink()

    @contextmanager
    def _writing_locked(self) -> Iterator[tuple[int, ...]]:
        """Gives the descriptors to pass on. Raises BlockingIOError if a survivor has it."""
        if sys.platform == "win32":
            yield ()
            return
        import fcntl

        with explained(str(self._writing), "locked"):
            make_private_folder(self._writing.parent)
            descriptor = os.open(self._writing, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield (descriptor,)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also in what the helper has started
        finally:
            os.close(descriptor)

    def _run(
        self, verb: str, data: SecretBytes | None, descriptors: tuple[int, ...]
    ) -> tuple[int, SecretBytes]:
        """Its exit code, negative for a signal, and what it prints."""
        seconds, group = patience(DEADLINE), _POSIX and not _on_terminal()
        with ExitStack() as stack:
            given = _filled_pipe(data, stack) if data else subprocess.DEVNULL
            process = stack.enter_context(self._start(verb, given, descriptors, group=group))
            try:
                output, _ = process.communicate(data if given == PIPE else None, seconds)
                return process.returncode, SecretBytes(output)
            except subprocess.TimeoutExpired:
                _end(process, group=group)
                raise StoreError(
                    f"{self._name} did not end within {seconds:.0f} seconds ({verb}).",
                    hint="Find out what it waits for: run it yourself, with `get` as its last argument.",
                ) from None
            except BaseException:
                _end(process, group=group)
                raise

    def _start(
        self, verb: str, given: int, descriptors: tuple[int, ...], *, group: bool
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - the person's own program
                [*self._arguments, verb],
                stdin=given,
                stdout=PIPE,
                pass_fds=descriptors,
                start_new_session=group,
            )
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                f"{self._name} was not found.", hint="Install it, or name it by its full path."
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self._name} could not be started: {(error.strerror or str(error)).lower()}.",
                hint="Make it executable; a script begins with a line such as `#!/bin/sh`.",
            ) from None

    def _check(self, status: int, verb: str) -> None:
        if status:
            how = f"failed with exit code {status}" if status > 0 else f"was ended by signal {-status}"
            raise StoreError(
                f"{self._name} {how} ({verb}).",
                hint="Find out why: run it yourself, with `get` as its last argument.",
            )


def _filled_pipe(data: SecretBytes, stack: ExitStack) -> int:
    """A pipe that already holds all of ``data``; or PIPE if no pipe takes so much at once."""
    if not _POSIX:
        return PIPE
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    os.set_blocking(writing, False)
    try:
        return reading if os.write(writing, data) == len(data) else PIPE
    finally:
        os.close(writing)


def _on_terminal() -> bool:
    """Whether a person may be asked: only who shares our session can ask through the terminal."""
    with suppress(OSError):
        return os.isatty(2)
    return False


def _end(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """End it and, if it leads a process group, all that it has started."""
    for number in ("SIGTERM", "SIGKILL"):
        with suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(process.pid, getattr(signal, number))
            elif number == "SIGTERM":
                process.terminate()
            else:
                process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
