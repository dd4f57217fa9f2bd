"""Locks of objects that outlive a fork or an event loop: a new one in a forked process, one for each loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from onplan.forking import reset_in_child

if TYPE_CHECKING:
    import asyncio


class Lock:
    """A lock among the threads of a process, to be used by ``with``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """In a forked process: it may be held by a thread that is not here."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *details: object) -> None:
        self._lock.release()


class AsyncLock:
    """A lock among the tasks of an event loop, to be used by ``async with``. Each loop has its own."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def __aenter__(self) -> None:
        import asyncio

        await self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()).acquire()

    async def __aexit__(self, *details: object) -> None:
        import asyncio

        self._locks[asyncio.get_running_loop()].release()
