"""A lock among machines: a second secret, whose versions the Vault server deletes after some time.

The process that writes the next version by check-and-set has the lock until the server deletes that version,
by the server's clock, or until the process deletes it. The content names the holder, for messages only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from onplan.errors import StoreConflictError, StoreError
from onplan.forking import reset_in_child
from onplan.stores.lock import patience
from onplan.stores.vault.secret import Fields, Secret, Version

logger = logging.getLogger("onplan.vault")

# Seconds to wait for the lock beyond the time that one holder has it at most.
PATIENCE = 30.0
_FIRST_POLL, _LONGEST_POLL = 0.02, 0.5
_SLICE = 0.5  # seconds between checks whether the program is ending, while a thread waits for another


class VaultLease:
    """Holds the lock for ``lifetime`` seconds from ``begun``, when it was asked for."""

    def __init__(self, lifetime: float, begun: tuple[float, ...]) -> None:
        self.lifetime, self._begun = lifetime, begun

    def remaining(self) -> float:
        """Seconds for which no other process can get the lock; 0 or less if one may have got it."""
        elapsed = max(now - then for now, then in zip(clocks(), self._begun, strict=True))
        return self.lifetime - elapsed


class _Turn(NamedTuple):
    """The version that this process has written, and its lease."""

    number: int
    lease: VaultLease


def clocks() -> tuple[float, ...]:
    """All clocks: some stop while the machine is suspended, another can be set by hand."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    asleep_too = () if boot is None else (time.clock_gettime(boot),)
    return time.monotonic(), time.time(), *asleep_too


class VaultLock:
    """The lock that ``secret`` stands for, re-entrant within a thread; threads exclude each other.

    Args:
        seconds: how long a holder has it at most.
    """

    def __init__(self, secret: Secret, seconds: int) -> None:
        self._secret, self._seconds = secret, seconds
        self.reset_in_child()
        reset_in_child(self)

    def reset_in_child(self) -> None:
        """Begin with a free lock in a forked process: an inherited one is the parent's."""
        self._mutex = threading.RLock()
        self._depth, self._turn = 0, _Turn(0, VaultLease(0.0, clocks()))

    @contextmanager
    def held(self) -> Iterator[VaultLease]:
        """Hold it. Raises StoreError if it cannot be had."""
        process, mutex = os.getpid(), self._mutex
        give_up = time.monotonic() + patience(self._seconds + PATIENCE)
        while not mutex.acquire(timeout=_SLICE):
            if _leaving() or time.monotonic() > give_up:
                raise self._taken(_myself())
        try:
            if self._depth == 0:
                self._turn = self._acquire()
            self._depth += 1
            try:
                yield self._turn.lease
            finally:
                if process == os.getpid():
                    self._depth -= 1
                    if self._depth == 0:
                        self._release(self._turn.number)
        finally:
            mutex.release()

    def _acquire(self) -> _Turn:
        begun, poll = time.monotonic(), _FIRST_POLL
        while True:
            newest = self._secret.read()
            if newest is None or newest.fields is None:
                with contextlib.suppress(StoreConflictError):
                    return self._take(newest)
            else:
                longest = max(self._seconds, newest.lifetime or 0.0)
                if _leaving() or time.monotonic() > begun + patience(longest + PATIENCE):
                    raise self._taken(newest.fields)
            time.sleep(poll * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            poll = min(poll * 1.5, _LONGEST_POLL)

    def _take(self, before: Version | None) -> _Turn:
        """Write the next version. Raises StoreConflictError if another process was faster."""
        if before is None:
            self._secret.expire_after(self._seconds)
        turn, expires = self._write(before.number if before else 0)
        if abs(turn.lease.lifetime - self._seconds) < 1:
            return turn
        try:  # another machine or an administrator has configured another lifetime
            self._secret.expire_after(self._seconds)
            turn, expires = self._write(turn.number)
        except StoreConflictError:
            raise
        except StoreError:
            if not expires:
                self._release(turn.number)
                raise
        if not expires:
            self._release(turn.number)
            raise StoreError(f"{self._secret.path} in Vault does not expire, so it cannot be used as a lock.")
        return turn

    def _write(self, after: int) -> tuple[_Turn, bool]:
        """The turn, and whether its version expires."""
        begun = clocks()
        written = self._secret.write(Fields(_myself(), owner=secrets.token_hex(16)), after)
        lifetime = written.lifetime
        return _Turn(written.number, VaultLease(lifetime or 0.0, begun)), lifetime is not None

    def _release(self, number: int) -> None:
        """Delete our own version, not the next holder's."""
        try:
            self._secret.delete([number])
        except StoreError as error:
            logger.warning("The lock could not be released; it expires by itself. %s", error)

    def _taken(self, holder: Mapping[str, Any]) -> StoreError:
        return StoreError(
            f"The lock {self._secret.path} in Vault is held by process {holder.get('pid')} on "
            f"{holder.get('host')} and is not released. Nothing is lost.",
            hint=f"End that process if it hangs; then run `bao kv delete {self._secret.path}`.",
        )


def _myself() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _leaving() -> bool:
    """Whether the program is ending: nothing has begun yet that is worth waiting for."""
    return not threading.main_thread().is_alive()
