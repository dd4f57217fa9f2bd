"""Forks beside threads: no lock reaches a child locked, and no thread outlives its result."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onplan.forking import BackgroundCall, no_fork, wait_until_gone

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
TASKS = Path("/proc/self/task")

# Each program forks once and ends with the child's exit code.
_BEGIN = """
import os, signal, threading, warnings
from onplan.forking import BackgroundCall, no_fork, reset_in_child
warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads are what is tried here
"""
_FORK = """
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if check() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

_LOCK_HELD_BY_ANOTHER_THREAD = """
lock, inside, about_to_fork = threading.Lock(), threading.Event(), threading.Event()
os.register_at_fork(before=about_to_fork.set)  # runs before those that were registered earlier
def hold():
    with no_fork(), lock:
        inside.set()
        about_to_fork.wait()
threading.Thread(target=hold).start()
inside.wait()
def check():
    return lock.acquire(blocking=False)
"""

_HELD_BY_THE_FORKING_THREAD = """
gate = no_fork()
gate.__enter__()
def check():
    gate.__exit__(None, None, None)
    with no_fork():
        return True
"""

_ENTERED_TWICE = """
lock, inside, about_to_fork = threading.Lock(), threading.Event(), threading.Event()
os.register_at_fork(before=about_to_fork.set)
def hold():
    with no_fork(), lock:
        inside.set()
        about_to_fork.wait()
        with no_fork():  # while a fork waits for the outer one
            pass
threading.Thread(target=hold).start()
inside.wait()
def check():
    return lock.acquire(blocking=False)
"""

_OUTCOME_THERE_AND_THREAD_STILL_ENDING = """
lock, ending, about_to_fork = threading.Lock(), threading.Event(), threading.Event()
os.register_at_fork(before=about_to_fork.set)
def end(_):
    with lock:  # as OpenSSL does for each thread that ends
        ending.set()
        about_to_fork.wait()
begin = threading.Event()
call = BackgroundCall(begin.wait, "work")
call.outcome.add_done_callback(end)
begin.set()
ending.wait()
def check():
    return lock.acquire(blocking=False)
"""

_OWNER_WITH_A_LOCK = """
class Owner:
    def __init__(self):
        self.reset_in_child()
        reset_in_child(self)
    def reset_in_child(self):
        self.lock = threading.Lock()
owner = Owner()
held, leave = threading.Event(), threading.Event()
def hold():
    with owner.lock:
        held.set()
        leave.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
def check():
    return owner.lock.acquire(blocking=False)
"""

_CHILD_WORKS_IN_THREADS_AGAIN = """
BackgroundCall(lambda: 1, "work").result()
def check():
    return BackgroundCall(lambda: 2, "work").result() == 2
"""


@needs_fork
@pytest.mark.parametrize(
    "program",
    [
        _LOCK_HELD_BY_ANOTHER_THREAD,
        _HELD_BY_THE_FORKING_THREAD,
        _ENTERED_TWICE,
        _OUTCOME_THERE_AND_THREAD_STILL_ENDING,
        _OWNER_WITH_A_LOCK,
        _CHILD_WORKS_IN_THREADS_AGAIN,
    ],
)
def test_no_lock_reaches_a_child_locked(program: str) -> None:
    """A fork waits for what is done within ``no_fork()`` and for threads that are ending."""
    result = subprocess.run(
        [sys.executable, "-c", _BEGIN + program + _FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stderr


def test_threads_may_be_within_at_once() -> None:
    """``no_fork`` keeps forks out, and not other threads."""
    both_inside = threading.Barrier(2, timeout=20)

    def enter() -> None:
        with no_fork():
            both_inside.wait()

    with ThreadPoolExecutor(2) as pool:
        for outcome in [pool.submit(enter) for _ in range(2)]:
            outcome.result()


def test_a_result_comes_when_the_thread_has_ended() -> None:
    """After ``result()`` the thread is gone, whatever it still had to do after its work."""
    steps: list[str] = []
    begin = threading.Event()
    call = BackgroundCall(begin.wait, "work")
    call.outcome.add_done_callback(lambda _: steps.append("last"))
    begin.set()

    assert call.result() is True
    assert steps == ["last"]
    assert "work" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(not TASKS.exists(), reason="this system does not list a process's threads")
def test_the_system_has_no_thread_left_either() -> None:
    """``result()`` and ``wait_until_gone()`` return when the system has ended the thread as well."""
    ids = set()
    for _ in range(200):
        ids.add(BackgroundCall(threading.get_native_id, "work").result())
        thread = threading.Thread(target=lambda: None)
        thread.start()
        wait_until_gone(thread)
        ids.add(thread.native_id)

        assert not ids & {int(entry.name) for entry in TASKS.iterdir()}


def test_what_the_work_raises_is_raised() -> None:
    """``result()`` raises what the work raised, also what is no Exception."""

    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        BackgroundCall(fail, "work").result()


async def test_tasks_wait_without_stopping_the_loop() -> None:
    """``future()`` gives results and errors to tasks, and a task that is cancelled leaves the work alone."""
    loop = asyncio.get_running_loop()
    begin = threading.Event()
    waiting = BackgroundCall(lambda: begin.wait() and 5, "work").future(loop)
    failing = BackgroundCall(lambda: 1 // 0, "work").future(loop)
    with pytest.raises(ZeroDivisionError):
        await failing
    given_up = BackgroundCall(begin.wait, "work").future(loop)
    given_up.cancel()
    begin.set()

    assert await waiting == 5
    assert given_up.cancelled()
