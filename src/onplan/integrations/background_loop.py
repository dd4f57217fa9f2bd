"""An event loop on a thread of its own: coroutines answer the requests of synchronous libraries there."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias, TypeVar

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


class _Running(NamedTuple):
    """A loop that runs: in this process, on this thread."""

    process: int
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread


class BackgroundLoop:
    """One loop for all synchronous clients of a process; a forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: _Running | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``. It is cancelled when the caller is interrupted, by Ctrl-C for instance.

        Raises RuntimeError when the interpreter is ending and the loop has ended before it, and on the
        loop's own thread, which would wait for itself.
        """
        running = self._existing() or self._make()
        if running.loop.is_closed():
            work.close()
            raise RuntimeError("the interpreter is ending")
        if threading.current_thread() is running.thread:
            work.close()
            raise RuntimeError("what runs on onplan's own thread must not wait for what is to run there")
        future = asyncio.run_coroutine_threadsafe(work, running.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def finish(self, work: Work) -> None:
        """Run ``work`` to its end, as ``run`` does; nothing happens without a loop.

        On the loop's own thread it is only begun: garbage is collected on any thread, and what is freed there
        may close a client of another one.
        """
        running = self._existing()
        if running is not None and threading.current_thread() is running.thread:
            begin_on(running.loop, work)
        elif running is not None:
            self.run(work())

    def begin(self, work: Work) -> None:
        """Begin ``work`` there, and do not wait for it; nothing happens without a loop. Takes no lock."""
        if running := self._existing():
            begin_on(running.loop, work)

    def _existing(self) -> _Running | None:
        """The loop of this process, if it has one. Takes no lock: what is freed asks, too."""
        latest = self._latest
        return latest if latest is not None and latest.process == os.getpid() else None

    def _make(self) -> _Running:
        with self._lock:
            running = self._existing()
            if running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="onplan-requests", daemon=True)
                thread.start()
                running = self._latest = _Running(os.getpid(), loop, thread)
                atexit.register(self._stop, running)
            return running

    @staticmethod
    def _stop(running: _Running) -> None:
        process, loop, thread = running
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
