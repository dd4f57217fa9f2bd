"""Holds the HTTP client in use: the user's own, or onplan's, made anew after a fork and per event loop.

When an event loop ends, its client is closed: no other loop could do it, and Python warns of connections
whose loop was closed beneath them. A loop says nothing when it ends, but ``asyncio.run`` and its like end all
of its asynchronous generators before they close it. So one of them waits for that.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from onplan.forking import no_fork

_Client = TypeVar("_Client")


class PerLoopClient(Generic[_Client]):
    """The user's own client, or one that is made for each process and event loop that uses it.

    It has no lock, which a fork could leave locked. If two threads make a client at the same time, one of the
    two is thrown away before it has a connection. Under event loops there is no such race.

    Args:
        make: makes a client.
        given: the user's own client; it is used everywhere, and never closed here.
        home: what the sockets of a client belong to: the process, or the process and its event loop.
        close: closes a client when its event loop ends; None for clients that belong to no loop.
    """

    def __init__(
        self,
        make: Callable[[], _Client],
        given: _Client | None,
        home: Callable[[], object],
        close: Callable[[_Client], Awaitable[object]] | None = None,
    ) -> None:
        self._make: Callable[[], _Client] = make
        self._given: _Client | None = given
        self._home, self._close = home, close
        self._made: dict[object, _Client] = {}
        self._watches: dict[object, AsyncGenerator[None, None]] = {}  # by event loop

    def get(self) -> _Client:
        """The client for this process and event loop."""
        if self._given is not None:
            return self._given
        home = self._home()
        found = self._made.get(home)
        if found is None:
            self._forget_the_dead()
            with no_fork():  # OpenSSL and the import system hold locks meanwhile
                codecs.lookup("idna")  # else the first call of socket.getaddrinfo would import it
                found = self._made.setdefault(home, self._make())
            if self._close is not None:
                self._watches[home] = watch = self._watch(weakref.ref(self), home, found, self._close)
                _step(watch.__anext__())
        return found

    @staticmethod
    async def _watch(
        owner: weakref.ref[PerLoopClient[_Client]],
        home: object,
        client: _Client,
        close: Callable[[_Client], Awaitable[object]],
    ) -> AsyncGenerator[None, None]:
        """Close ``client`` when its event loop ends, or when its owner was dropped, unless it was taken."""
        try:
            yield
        finally:
            there = owner()
            if there is None or there._made.get(home) is client:
                if there is not None:
                    del there._made[home], there._watches[home]
                await close(client)

    def _forget_the_dead(self) -> None:
        """Drop the clients of closed event loops, and of the process that this one was forked from."""
        for home in tuple(self._made):
            if not _is_alive(home):
                self._pop(home)

    def take(self) -> _Client | None:
        """Remove and return the client of this process and event loop, to be closed; None without one."""
        return self._pop(self._home())

    def _pop(self, home: object) -> _Client | None:
        client, watch = self._made.pop(home, None), self._watches.pop(home, None)
        if watch is not None:
            _step(watch.aclose())
        return client


def _step(work: Any) -> None:
    """Run ``work``, which waits for nothing, to its end, without its event loop."""
    with suppress(StopIteration):
        work.send(None)


def _is_alive(home: object) -> bool:
    process, loop = home if isinstance(home, tuple) else (home, None)
    if process != os.getpid():
        return False
    return not (isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed())


def running_loop() -> object:
    """This process and the event loop that is running in it."""
    return os.getpid(), asyncio.get_running_loop()
