"""Several processes on one socket: starts workers, replaces those that die, and hands on signals.

The first process only waits for signals. It has no threads and no event loop, so it can fork at any time. The
workers share the listening sockets and the files of the server; each has its own connections.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from onplan.errors import OnplanError
from onplan.server.sharing import Share, Shares
from onplan.server.terminal import Terminal

logger = logging.getLogger("onplan.server")

# Signals of which the first process waits.
_AWAITED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A worker that ends sooner than this (seconds) has failed; after so many in a row, the server ends. While
# another one works it goes on, and tries again after this time: a configuration that is broken now must not
# end what began with a good one.
_SHORT, _FAILURES = 2.0, 5
# Seconds that workers get to end beyond the time for draining.
_GRACE = 10.0


def receive_signals() -> None:
    """For a worker that has handlers for them: those that came before are received now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)


class Workers:
    """The workers.

    Args:
        count: how many.
        work: what a worker does; given a descriptor that can be read once the first process is gone, and its
            share of the connections. Signals are blocked until it calls ``receive_signals``.
        drain_seconds: how long workers may take to end.
        on_death: told of the process id of a worker that has ended.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, Share], object],
        drain_seconds: float,
        on_death: Callable[[int], object],
    ) -> None:
        self._count, self._work, self._on_death = count, work, on_death
        self._patience = drain_seconds + _GRACE
        self._begun: dict[int, tuple[float, Share]] = {}
        self._shares = Shares(count)
        self._failures = self._missing = 0
        self._terminal = Terminal()
        self._lives, self._life = os.pipe()  # the writing end is open for as long as this process lives

    def run(self, on_ready: Callable[[], object]) -> int:
        """Run until SIGTERM or SIGINT has come and all workers have ended; the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        for _ in range(self._count):
            self._start()
        try:
            on_ready()
        except BaseException:
            self._stop()
            raise
        while True:
            number = self._next_signal()
            if number in (None, signal.SIGCHLD):
                self._replace(try_again=number is None)
                if self._missing and not self._any_works():
                    logger.error("workers end as soon as they begin, so the server ends")
                    self._stop()
                    return 1
            elif number == signal.SIGHUP and not self._terminal.is_gone:
                self._tell(signal.SIGHUP)
            else:
                return self._stop()

    def _next_signal(self) -> int | None:
        """The signal that comes next; None when it is time to try again to start workers that are missing."""
        if not self._missing:
            return signal.sigwait(_AWAITED)
        came = signal.sigtimedwait(_AWAITED, _SHORT)
        return None if came is None else came.si_signo

    def _any_works(self) -> bool:
        """Whether a worker has lived long enough."""
        return any(time.monotonic() - begun >= _SHORT for begun, _ in self._begun.values())

    def _start(self) -> None:
        share = self._shares.begin()
        process = os.fork()
        if process == 0:
            self._become_worker(share)
        self._begun[process] = time.monotonic(), share

    def _become_worker(self, share: Share) -> NoReturn:
        code = 1
        try:
            os.close(self._life)
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # Ctrl-C reaches all processes; the first one hands it on
            self._work(self._lives, share)
            code = 0
        except OnplanError as error:
            logger.error("a worker cannot begin: %s", error)  # noqa: TRY400 - the sentence says it all
        except BaseException:
            logger.exception("a worker failed")
        finally:
            os._exit(code)  # nothing of the first process may be cleaned up twice

    def _ended(self) -> list[int]:
        """The workers that have ended."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while (process := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                if process in self._begun:
                    ended.append(process)
        return ended

    def _replace(self, *, try_again: bool) -> None:
        """Start others for the workers that have ended; those that end at once, only to try again."""
        for process in self._ended():
            begun, share = self._begun.pop(process)
            share.end()
            lived = time.monotonic() - begun
            self._on_death(process)
            self._failures = self._failures + 1 if lived < _SHORT else 0
            self._missing += 1
        if self._failures < _FAILURES or try_again:
            for _ in range(self._missing):
                logger.warning("a worker has ended, and another one takes its place")
                self._start()
            self._missing = 0

    def _tell(self, number: signal.Signals) -> None:
        for process in self._begun:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _stop(self) -> int:
        """End the workers: when they have drained; at a second signal at once; in the end by force."""
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        while self._begun:
            came = signal.sigtimedwait(_AWAITED, max(deadline - time.monotonic(), 0.0))
            if came is None:
                self._tell(signal.SIGKILL)
                deadline = time.monotonic() + _GRACE
            elif came.si_signo in (signal.SIGTERM, signal.SIGINT):
                self._tell(signal.SIGTERM)
            for process in self._ended():
                del self._begun[process]
        return 0
