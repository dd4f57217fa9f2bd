"""Cuts a connection after some time, for reads of the user's own client, which know no deadline."""

from __future__ import annotations

import contextlib
import threading
from socket import SHUT_RDWR
from typing import Any


class ReadTimer:
    """Shuts ``socket`` down after ``seconds``, which ends a read that waits for it on another thread."""

    def __init__(self, socket: Any, seconds: float) -> None:
        self._socket, self._lock = socket, threading.Lock()
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True
        self._timer.start()

    def _shut_down(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(SHUT_RDWR)

    def cancel(self) -> None:
        """Leave the socket alone from now on: it may be in use for another request."""
        self._timer.cancel()
        with self._lock:
            self._socket = None
