"""Fork safety: a fork of this process waits until the child would inherit no lock that stays locked.

A child has a copy of its parent's memory, and of its threads only the one that forked. A lock that another
thread held at that moment can never be released in the child. It need not be a lock of this program: Python
holds one for every module that is being imported; OpenSSL takes a global one while a TLS context is made, and
when a thread ends that has used it (seen with OpenSSL 3.0: of children forked right after a refresh, some two
in a hundred hung for ever).

So what must not be copied half-done is done within ``no_fork()``, and work that needs a thread of its own
goes through ``BackgroundCall``, whose thread has ended for the system as well when its result is handed out.
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

# A fork is not held up for longer, nor a thread for the sake of a fork: nothing hangs here.
_LONGEST_WAIT = 5.0
# From 3.13 on, joining a Python thread waits for the system's thread as well.
_JOIN_WAITS_FOR_THE_SYSTEM = sys.version_info >= (3, 13)
_FIRST_POLL, _LONGEST_POLL = 0.00002, 0.001


class _State:
    """Which threads a fork has to wait for, and how many forks are about to happen."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.holders: dict[int, int] = {}  # by thread: how often it has entered ``no_fork()``
        self.ending: set[_Thread] = set()
        self.forks = 0


@contextmanager
def no_fork() -> Iterator[None]:
    """Within, this process is not forked by other threads; several threads may be within at once.

    For what takes milliseconds, such as an import or the making of a TLS context. It may be entered again by
    the same thread. Nothing within may wait for another thread.
    """
    thread = threading.get_ident()
    with _state.changed:
        if thread not in _state.holders:
            _state.changed.wait_for(lambda: not _state.forks, _LONGEST_WAIT)
        _state.holders[thread] = _state.holders.get(thread, 0) + 1
    try:
        yield
    finally:
        with _state.changed:
            left = _state.holders.get(thread, 0) - 1
            if left > 0:
                _state.holders[thread] = left
            else:
                _state.holders.pop(thread, None)
                _state.changed.notify_all()


class _HasLocks(Protocol):
    """What must begin anew in a forked process."""

    def reset_in_child(self) -> object: ...


def reset_in_child(owner: _HasLocks) -> None:
    """Have ``owner.reset_in_child()`` called in every child, before anything else runs there.

    For locks that are held for long, and for whatever else is the parent's.
    """
    _reset_in_child.add(owner)


_reset_in_child: WeakSet[_HasLocks] = WeakSet()


class BackgroundCall(Generic[_Result]):
    """``work``, called on a thread of its own that is no daemon: the program does not end before it.

    Attributes:
        outcome: its result, or what it raised.
    """

    def __init__(self, work: Callable[[], _Result], name: str) -> None:
        self.outcome: Future[_Result] = Future()
        self._work = work
        self._thread = _Thread(target=self._run, name=name, daemon=False)
        self._thread.start()

    def result(self) -> _Result:
        """What ``work`` gave or raised, when its thread has ended."""
        try:
            return self.outcome.result()
        finally:
            if self.outcome.done():  # and not Ctrl-C, which ends the waiting alone
                self._wait_for_thread()

    def future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[_Result]:
        """The same for the tasks of ``loop``, which must be running on this thread."""
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
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(hand_over)

        self.outcome.add_done_callback(land)
        return future

    def _wait_for_thread(self) -> None:
        """Wait until the thread has ended: microseconds, once there is an outcome."""
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
    """A thread that a fork waits for while it is ending."""

    def begin_to_end(self) -> None:
        """From now on a fork waits for it; not before the forks that are about to happen."""
        with _state.changed:
            _state.changed.wait_for(lambda: not _state.forks, _LONGEST_WAIT)
            _state.ending.add(self)

    def wait_until_gone(self, seconds: float) -> None:
        """Wait until it has ended, for Python and for the system, but no longer than ``seconds``."""
        if self is threading.current_thread():
            return
        wait_until_gone(self, seconds)
        with _state.changed:
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
    with _state.changed:
        _state.forks += 1
        _state.changed.wait_for(lambda: not _state.holders.keys() - {thread}, _LONGEST_WAIT)
        ending = list(_state.ending)
    for other in ending:
        other.wait_until_gone(give_up - time.monotonic())


def _after_fork_in_parent() -> None:
    with _state.changed:
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
