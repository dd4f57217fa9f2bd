"""Fork safety: delays a fork of this process until the child inherits no lock that stays locked.

A forked child has a copy of its parent's memory, but only the thread that forked. A lock that another thread
held at that moment can never be released in the child. It may be a lock of a library: Python holds one for
each module that is being imported; OpenSSL takes a global one while a TLS context is made, and when a thread
ends that has used it (observed with OpenSSL 3.0: about 2 in 100 children forked right after a refresh hung
for ever).

So work that must not be interrupted by a fork runs within ``no_fork()``, and work that needs a thread of its
own runs in a ``BackgroundCall``, whose thread has ended for the operating system when the result is returned.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio

_Result = TypeVar("_Result")

# Seconds: neither a fork nor a thread is delayed for longer.
_LONGEST_WAIT = 5.0
# From Python 3.13 on, ``join`` waits for the operating system's thread as well.
_JOIN_WAITS_FOR_THE_SYSTEM = sys.version_info >= (3, 13)
_FIRST_POLL, _LONGEST_POLL = 0.00002, 0.001


class _State:
    """The threads that a fork has to wait for, and the number of forks that are waiting."""

    def __init__(self) -> None:
        # Taken itself, and not by way of the condition, whose methods Ctrl-C may end between two lines.
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.holders: dict[int, int] = {}  # by thread: how often it has entered ``no_fork()``
        self.ending: set[_Thread] = set()
        self.forks = 0


@contextmanager
def no_fork() -> Iterator[None]:
    """Within the ``with`` block, other threads do not fork this process; several threads may be within.

    It is for work of milliseconds, such as an import or making a TLS context, and re-entrant. The work must
    not wait for another thread.
    """
    thread = threading.get_ident()
    with _state.lock:
        if thread not in _state.holders:
            _state.changed.wait_for(lambda: not _state.forks, _LONGEST_WAIT)
        _state.holders[thread] = _state.holders.get(thread, 0) + 1
    try:
        yield
    finally:
        with _state.lock:
            left = _state.holders.get(thread, 0) - 1
            if left > 0:
                _state.holders[thread] = left
            else:
                _state.holders.pop(thread, None)
                _state.changed.notify_all()


class _HasLocks(Protocol):
    """An object with locks that must be replaced in a forked process."""

    def reset_in_child(self) -> object: ...


def reset_in_child(owner: _HasLocks) -> None:
    """Have ``owner.reset_in_child()`` called in each forked child, before other code runs there.

    It is for locks that are held for long, and for everything else that belongs to the parent.
    """
    _reset_in_child.add(owner)


_reset_in_child: WeakSet[_HasLocks] = WeakSet()


class BackgroundCall(Generic[_Result]):
    """Calls ``work`` on a new thread. The thread is no daemon: the program does not end before it.

    Attributes:
        outcome: the result, or the exception.
    """

    def __init__(self, work: Callable[[], _Result], name: str) -> None:
        self.outcome: Future[_Result] = Future()
        self._work = work
        self._thread = _Thread(target=self._run, name=name, daemon=False)
        self._thread.start()

    def result(self) -> _Result:
        """Return or raise the outcome of ``work``, when its thread has ended."""
        try:
            return self.outcome.result()
        finally:
            if self.outcome.done():  # not after Ctrl-C, which ends only the waiting
                self._wait_for_thread()

    def future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[_Result]:
        """As ``result``, for the tasks of ``loop``, which runs on this thread."""
        future: asyncio.Future[_Result] = loop.create_future()

        def hand_over() -> None:
            try:
                result = self.result()
            except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        def land(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(hand_over)

        self.outcome.add_done_callback(land)
        return future

    def _wait_for_thread(self) -> None:
        """Wait until the thread has ended; once there is an outcome, that takes microseconds."""
        self._thread.wait_until_gone(_LONGEST_WAIT)

    def _run(self) -> None:
        result: _Result
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
            self._thread.begin_to_end()
            self.outcome.set_exception(error)
        else:
            self._thread.begin_to_end()
            self.outcome.set_result(result)


class _Thread(threading.Thread):
    """A thread whose end a fork waits for."""

    def begin_to_end(self) -> None:
        """Have forks wait for this thread, after those that are already waiting."""
        with _state.lock:
            _state.changed.wait_for(lambda: not _state.forks, _LONGEST_WAIT)
            _state.ending.add(self)

    def wait_until_gone(self, seconds: float) -> None:
        """Wait until it has ended, for Python and for the system, but no longer than ``seconds``."""
        if self is threading.current_thread():
            return
        wait_until_gone(self, seconds)
        with _state.lock:
            _state.ending.discard(self)


def wait_until_gone(thread: threading.Thread, seconds: float = _LONGEST_WAIT) -> None:
    """Wait until ``thread`` has ended, for Python and for the system, but no longer than ``seconds``.

    Before Python 3.13 ``join()`` alone returns while the system's thread is still ending. Then only Linux
    says when it is gone (the folder /proc/self/task, proc(5)).
    """
    give_up, poll = time.monotonic() + seconds, _FIRST_POLL
    thread.join(max(0.0, seconds))
    if thread.is_alive() or _JOIN_WAITS_FOR_THE_SYSTEM:
        return
    entry = Path(f"/proc/self/task/{thread.native_id}")
    while entry.exists() and time.monotonic() < give_up:
        time.sleep(poll)
        poll = min(2 * poll, _LONGEST_POLL)


def _before_fork() -> None:
    thread, give_up = threading.get_ident(), time.monotonic() + _LONGEST_WAIT
    with _state.lock:
        _state.forks += 1
        _state.changed.wait_for(lambda: not _state.holders.keys() - {thread}, _LONGEST_WAIT)
        ending = list(_state.ending)
    for other in ending:
        other.wait_until_gone(give_up - time.monotonic())


def _after_fork_in_parent() -> None:
    with _state.lock:
        _state.forks -= 1
        _state.changed.notify_all()


def _after_fork_in_child() -> None:
    global _state  # noqa: PLW0603 - its lock may be one of those that stay locked
    thread, inherited = threading.get_ident(), _state
    _state = _State()
    if thread in inherited.holders:
        _state.holders[thread] = inherited.holders[thread]
    for owner in list(_reset_in_child):
        owner.reset_in_child()


_state = _State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
