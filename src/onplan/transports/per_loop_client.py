"""Holds the HTTP client in use: the user's own, or ours, made anew after a fork and for each event loop."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from onplan.forking import no_fork

_Client = TypeVar("_Client")


class PerLoopClient(Generic[_Client]):
    """The user's own client, or one of ours for each process and event loop that uses it.

    There is no lock that a fork could leave locked: of two threads that are equally fast, one throws away a
    client that has no connection yet. Under event loops there is no such race.

    Args:
        make: makes one of ours.
        given: the user's own; it is never closed here.
        home: what the sockets of ours belong to: the process, or the process and its event loop.
    """

    def __init__(
        self, make: Callable[[], _Client], given: _Client | None, home: Callable[[], object]
    ) -> None:
        self._make: Callable[[], _Client] = make
        self._given: _Client | None = given
        self._home = home
        self._made: dict[object, _Client] = {}

    def get(self) -> _Client:
        """The client to use here and now."""
        if self._given is not None:
            return self._given
        home = self._home()
        found = self._made.get(home)
        if found is None:
            self._forget_the_dead()
            with no_fork():  # a TLS context is made, and what is needed is imported
                codecs.lookup("idna")  # which the first call of socket.getaddrinfo imports
                found = self._made.setdefault(home, self._make())
        return found

    def _forget_the_dead(self) -> None:
        """Drop the clients of closed event loops, and of the process that this one was forked from."""
        for home in tuple(self._made):
            if not _is_alive(home):
                self._made.pop(home, None)

    def take(self) -> _Client | None:
        """The client to close, if it is ours and of this process and event loop."""
        return self._made.pop(self._home(), None)


def _is_alive(home: object) -> bool:
    process, loop = home if isinstance(home, tuple) else (home, None)
    if process != os.getpid():
        return False
    return not (isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed())


def running_loop() -> object:
    """This process and the event loop that is running in it."""
    return os.getpid(), asyncio.get_running_loop()
