"""Connects to a host: looks up its addresses and tries them in parallel (Happy Eyeballs, RFC 8305).

An address that does not answer costs no more than ``ATTEMPT_DELAY``: the next one is tried beside it.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from onplan.forking import wait_until_gone
from onplan.interruption import bell, stop_if_interrupted

ATTEMPT_DELAY = 0.25  # seconds until the next address is tried beside the one before (RFC 8305 §5)

# Ends of the sentence "ORIGIN could not be reached: …".
_NO_NAME, _NO_ADDRESS = "its name cannot be looked up", "its name has no address"

# Family, kind, protocol and address, as ``socket.getaddrinfo`` returns them.
_Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[str | int, ...]]
_SecondsLeft: TypeAlias = Callable[[], float | None]
"""Seconds until the deadline, None without one; raises TimeoutError when there are none."""


def interleave(addresses: Sequence[_Address]) -> list[_Address]:
    """The addresses in the resolver's order, alternating between IPv6 and IPv4 (RFC 8305 §4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address]


def connect(host: str, port: int, left: _SecondsLeft) -> socket.socket:
    """A connected, blocking socket. An interruption ends the wait for it.

    Raises OSError; TimeoutError (a kind of OSError) when ``left`` does.
    """
    opened: socket.socket | None = None
    try:
        with bell() as rung:
            opened = _connect(host, port, left, rung)
    except BaseException:  # an interruption may come just then
        if opened:
            opened.close()
        raise
    return opened


def _connect(host: str, port: int, left: _SecondsLeft, rung: socket.socket | None) -> socket.socket:
    addresses = deque(interleave(_look_up(host, port, left, rung)))
    race = _Race(rung)
    try:
        return race.run(addresses, left)
    finally:
        race.close()


def _look_up(host: str, port: int, left: _SecondsLeft, rung: socket.socket | None) -> list[_Address]:
    with suppress(socket.gaierror, UnicodeError):
        return _found(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    seconds = left()
    if seconds is None and rung is None:
        return _resolve(host, port)
    outcome: list[list[_Address] | OSError] = []
    finished, finishing = socket.socketpair()

    def look_up() -> None:
        with finishing:
            try:
                outcome.append(_resolve(host, port))
            except OSError as error:
                outcome.append(error)
            with suppress(OSError):  # when it is no longer waited for
                # Its end alone would not be seen while a forked process has a copy of it.
                finishing.send(b".")

    # The system's resolver takes no time limit, so it runs on a thread that can be left behind.
    thread = threading.Thread(target=look_up, daemon=True)
    with finished:
        try:
            thread.start()
        except BaseException:
            finishing.close()
            raise
        _wait_for_one((finished, rung), seconds)
    stop_if_interrupted()
    if outcome:
        wait_until_gone(thread)  # not only until the result is there: the program may fork right after
    else:
        raise TimeoutError("looking up its name took too long")
    if isinstance(outcome[0], OSError):
        raise outcome[0]
    return outcome[0]


def _wait_for_one(sockets: Iterable[socket.socket | None], seconds: float | None) -> None:
    """Wait until something can be read from one of these, but no longer than so many seconds."""
    with selectors.DefaultSelector() as selector:
        for each in filter(None, sockets):
            selector.register(each, selectors.EVENT_READ)
        selector.select(seconds)


def _resolve(host: str, port: int) -> list[_Address]:
    try:
        return _found(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise OSError(_NO_NAME) from None


def _found(rows: Iterable[tuple[Any, Any, int, str, Any]]) -> list[_Address]:
    found = [(family, kind, protocol, address) for family, kind, protocol, _, address in rows]
    if not found:
        raise OSError(_NO_ADDRESS)
    return found


class _Race:
    """Attempts to connect in parallel; the first that succeeds wins."""

    def __init__(self, rung: socket.socket | None) -> None:
        self._selector = selectors.DefaultSelector()
        self._pending: set[socket.socket] = set()
        self._failure: OSError = OSError(_NO_ADDRESS)
        if rung:
            self._selector.register(rung, selectors.EVENT_READ)

    def run(self, addresses: deque[_Address], left: _SecondsLeft) -> socket.socket:
        """The first socket that is connected. Raises the OSError of the last attempt if none is."""
        next_attempt = 0.0
        while addresses or self._pending:
            now = time.monotonic()
            if addresses and (now >= next_attempt or not self._pending):
                self._begin(addresses.popleft())
                next_attempt = now + ATTEMPT_DELAY
                continue
            limits = left(), next_attempt - now if addresses else None
            for key, _ in self._selector.select(
                min((each for each in limits if each is not None), default=None)
            ):
                stop_if_interrupted()
                opened: socket.socket = key.data
                self._selector.unregister(opened)
                self._pending.discard(opened)
                error = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not error:
                    opened.settimeout(None)
                    return opened
                opened.close()
                self._failure = _os_error(error)
                next_attempt = 0.0
        raise self._failure

    def _begin(self, address: _Address) -> None:
        family, kind, protocol, place = address
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError as error:
            self._failure = error
            return
        try:
            opened.settimeout(0)
            with suppress(BlockingIOError, InterruptedError):
                opened.connect(place)
            self._selector.register(opened, selectors.EVENT_WRITE, opened)
            self._pending.add(opened)
        except OSError as error:
            opened.close()
            self._failure = error
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        """Close the sockets of the attempts that have not ended."""
        self._selector.close()
        for opened in self._pending:
            opened.close()


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


# --- asynchronous -----------------------------------------------------------------------------------


async def connect_async(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket. Raises OSError. The caller limits the time."""
    loop = asyncio.get_running_loop()
    try:
        found = _found(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise OSError(_NO_NAME) from None
    addresses = deque(interleave(found))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failure = OSError(_NO_ADDRESS)
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(loop.create_task(_attempt(loop, addresses.popleft())))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=ATTEMPT_DELAY if addresses else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                cause = attempt.exception()
                if cause is None:
                    attempts |= done - {attempt}
                    return attempt.result()
                if not isinstance(cause, OSError):
                    raise cause
                failure = cause
    finally:
        await _abandon(attempts)
    raise failure


async def _attempt(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, kind, protocol, place = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.settimeout(0)
        await loop.sock_connect(opened, place)
    except BaseException:
        opened.close()
        raise
    return opened


async def _abandon(attempts: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel the attempts that are not needed any more, and close sockets that were just connected."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()
