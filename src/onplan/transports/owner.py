"""Whose are the connections: a client of a library's, the user's own or one of ours."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Client = TypeVar("_Client")


class Owner(Generic[_Client]):
    """The user's own client, or one of ours, made anew after a fork and in another event loop.

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
        self._made: tuple[object, _Client] | None = None
        self._making = threading.Lock()

    def get(self) -> _Client:
        """The client to use here and now."""
        if self._given is not None:
            return self._given
        home = self._home()
        with self._making:
            if self._made is None or self._made[0] != home:
                self._made = (home, self._make())
            return self._made[1]

    def take(self) -> _Client | None:
        """The client to close, if it is ours."""
        made, self._made = self._made, None
        return made[1] if made and made[0] == self._home() else None


def running_loop() -> object:
    """This process and the event loop that is running in it."""
    return os.getpid(), asyncio.get_running_loop()
