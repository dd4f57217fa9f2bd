"""Holds the HTTP client in use: the user's own, or onplan's, made anew after a fork and per event loop."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import Callable
from typing import Generic, TypeVar

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
    """

    def __init__(
        self, make: Callable[[], _Client], given: _Client | None, home: Callable[[], object]
    ) -> None:
        self._make: Callable[[], _Client] = make
        self._given: _Client | None = given
        self._home = home
        self._made: dict[object, _Client] = {}

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
        return found

    def _forget_the_dead(self) -> None:
        """Drop the clients of closed event loops, and of the process that this one was forked from."""
        for home in tuple(self._made):
            if not _is_alive(home):
                self._made.pop(home, None)

    def take(self) -> _Client | None:
        """Remove and return the client of this process and event loop, to be closed; None without one."""
        return self._made.pop(self._home(), None)


def _is_alive(home: object) -> bool:
    process, loop = home if isinstance(home, tuple) else (home, None)
    if process != os.getpid():
        return False
    return not (isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed())


def running_loop() -> object:
    """This process and the event loop that is running in it."""
    return os.getpid(), asyncio.get_running_loop()
