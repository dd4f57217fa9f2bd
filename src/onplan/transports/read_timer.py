"""Ends an answer on another thread: the reads of the user's own client cannot be given a deadline."""

from __future__ import annotations

import contextlib
import threading
from socket import SHUT_RDWR
from typing import Any


class ReadTimer:
    """Shuts a socket down after some seconds, unless it is ended before: it may then be in use again."""

    def __init__(self, socket: Any, seconds: float) -> None:
        self._socket, self._lock = socket, threading.Lock()
        self._timer = threading.Timer(seconds, self._bark)
        self._timer.daemon = True
        self._timer.start()

    def _bark(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(SHUT_RDWR)

    def end(self) -> None:
        """The socket is not to be touched from now on."""
        self._timer.cancel()
        with self._lock:
            self._socket = None
