"""What ends an exchange on another thread: a socket that is shut down, for want of a limit in the library."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Self

from onplan.errors import IdleTimeoutError, TransportError
from onplan.wire import Request


class Deadline:
    """Ends an exchange that takes too long as a whole; the library knows limits for its steps only."""

    def __init__(self, request: Request, before_sending: Callable[[], object] | None) -> None:
        self._request, self._before_sending = request, before_sending
        self._stream: Any = None
        self._passed = False
        self._timer = threading.Timer(request.timeout, self._pass)
        self._timer.daemon = True

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The library's report of its steps."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info.get("return_value")
        elif event.endswith("send_request_headers.started") and self._before_sending:
            self._before_sending()

    def _pass(self) -> None:
        self._passed = True
        stream = self._stream
        with contextlib.suppress(OSError, AttributeError):
            stream.get_extra_info("socket").shutdown(SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._passed and isinstance(error, TransportError):
            raise IdleTimeoutError(f"{self._request.origin} took too long to answer.") from None


class Watch:
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
