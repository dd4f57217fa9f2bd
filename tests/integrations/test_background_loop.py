"""The event loop on which requests of synchronous libraries are answered."""

from __future__ import annotations

import threading

import pytest

from onplan.integrations.background_loop import BackgroundLoop

from ..conftest import PATIENCE


def test_what_is_freed_on_its_own_thread_is_not_waited_for() -> None:
    """Garbage of another thread may be collected there, and be a stream that is to be closed."""
    loop, is_closed = BackgroundLoop(), threading.Event()

    async def close() -> None:
        is_closed.set()

    async def collect() -> None:
        loop.finish(close)

    threading.Thread(target=lambda: loop.run(collect()), daemon=True).start()
    assert is_closed.wait(PATIENCE)


def test_nothing_is_closed_without_a_loop() -> None:
    """Where nothing was asked there is nothing to close, and no thread is begun for it."""
    loop, before = BackgroundLoop(), set(threading.enumerate())

    async def close() -> None:
        raise AssertionError

    loop.finish(close)
    loop.begin(close)
    assert set(threading.enumerate()) <= before


def test_its_own_thread_cannot_wait_for_itself() -> None:
    """A library that is asked there, by a hook for instance, fails at once instead of never."""
    loop, seen = BackgroundLoop(), threading.Event()

    async def answer() -> None:
        pass

    async def hook() -> None:
        with pytest.raises(RuntimeError, match="must not wait"):
            loop.run(answer())
        seen.set()

    threading.Thread(target=lambda: loop.run(hook()), daemon=True).start()
    assert seen.wait(PATIENCE)
