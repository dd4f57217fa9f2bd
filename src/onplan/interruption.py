"""Ends what other threads are waiting for: a pause, or a read or write of a socket.

Nothing else ends a thread that waits for an answer. Within ``Interruption.applies()`` a thread's sockets are
known, and another thread can shut them down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


class Interrupted(BaseException):
    """Raised in a thread whose work is no longer wanted; like KeyboardInterrupt it passes all handlers."""


class Interruption:
    """Ends the work of some threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have the threads raise ``Interrupted``, now where they wait for a socket or in a pause."""
        import socket

        with self._lock:
            self._stopped.set()
            for waited_for in self._sockets:
                with suppress(OSError):
                    # Not the method of an SSLSocket, which would take away what the thread is using.
                    socket.socket.shutdown(waited_for, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise ``Interrupted`` if the work is to stop."""
        if self._stopped.is_set():
            raise Interrupted

    @contextmanager
    def applies(self) -> Iterator[None]:
        """Within it, what this thread does ends with ``stop``."""
        _here.interruption = self
        try:
            yield
        finally:
            _here.interruption = None

    @contextmanager
    def watching(self, opened: socket.socket) -> Iterator[None]:
        """Within it, ``stop`` shuts the socket down."""
        with self._lock:
            self.check()
            self._sockets.add(opened)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(opened)
            self.check()  # rather than the error of a socket that was shut down

    def wait(self, seconds: float) -> None:
        """Do nothing for so long. Raises Interrupted."""
        self._stopped.wait(seconds)
        self.check()


class _Here(threading.local):
    interruption: Interruption | None = None


_here = _Here()


@contextmanager
def interruptible(opened: socket.socket) -> Iterator[None]:
    """While this thread reads or writes ``opened``: an interruption that applies to it ends that."""
    interruption = _here.interruption
    if interruption is None:
        yield
        return
    with interruption.watching(opened):
        yield


@contextmanager
def bell() -> Iterator[socket.socket | None]:
    """A socket to wait for beside others: it can be read when an interruption of this thread comes.

    For waits that do not end when their socket is shut down, as for a connection. None if none applies here.
    """
    interruption = _here.interruption
    if interruption is None:
        yield None
        return
    import socket

    rung, ringing = socket.socketpair()
    with rung, ringing, interruption.watching(ringing):
        yield rung


def stop_if_interrupted() -> None:
    """Raise Interrupted if an interruption that applies to this thread has come."""
    if _here.interruption:
        _here.interruption.check()


def pause(seconds: float) -> None:
    """``time.sleep`` that an interruption ends, by raising Interrupted."""
    interruption = _here.interruption
    if interruption is None:
        time.sleep(seconds)
    else:
        interruption.wait(seconds)
