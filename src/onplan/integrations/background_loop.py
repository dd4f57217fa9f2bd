"""An event loop on a thread of its own: coroutines answer the requests of synchronous libraries there."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Work: TypeAlias = Callable[[], Coroutine[Any, Any, object]]

_begun: set[asyncio.Future[object]] = set()  # a loop alone does not keep its tasks


def begin_on(loop: asyncio.AbstractEventLoop, work: Work) -> None:
    """Begin ``work`` on a loop from any thread, and do not wait for it; nothing happens on a closed one.

    Takes no lock, so that it may be called while objects are freed, by a thread that has any lock.
    """
    with suppress(RuntimeError):  # it is closed
        loop.call_soon_threadsafe(_begin, work)


def _begin(work: Work) -> None:
    task = asyncio.ensure_future(work())
    _begun.add(task)
    task.add_done_callback(_begun.discard)


class BackgroundLoop:
    """One loop for all synchronous clients of a process; a forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process: int | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``. It is cancelled when the caller is interrupted, by Ctrl-C for instance.

        Raises RuntimeError when the interpreter is ending and the loop has ended before it, and on the
        loop's own thread, which would wait for itself.
        """
        loop = self._running()
        if loop.is_closed():
            work.close()
            raise RuntimeError("the interpreter is ending")
        if self._is_here():
            work.close()
            raise RuntimeError("what runs on onplan's own thread must not wait for what is to run there")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def finish(self, work: Work) -> None:
        """Run ``work`` to its end, as ``run`` does; on the loop's own thread begin it.

        Garbage is collected on any thread, and what is freed there may close a stream of another one.
        """
        if self._is_here():
            self.begin(work)
        else:
            self.run(work())

    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def begin(self, work: Work) -> None:
        """Begin ``work`` there, and do not wait for it; nothing happens without a loop."""
        if self._loop is not None and self._process == os.getpid():
            begin_on(self._loop, work)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="onplan-requests", daemon=True
                )
                self._thread.start()
                atexit.register(self._stop, self._loop, self._thread, self._process)
            return self._loop

    @staticmethod
    def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, process: int) -> None:
        if process == os.getpid():
            with suppress(Exception):  # connections that are open are closed
                asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)
            if not loop.is_running():
                loop.close()

    def after_fork(self) -> None:
        """In a forked child the lock may be held by a thread that is not there."""
        self._lock = threading.Lock()


BACKGROUND = BackgroundLoop()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BACKGROUND.after_fork)
