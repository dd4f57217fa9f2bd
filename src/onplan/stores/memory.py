"""``memory:``: a record that is gone when the process ends, for tests and programs with their own storage."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext

from onplan.config.store_schemes import CAPABILITIES
from onplan.errors import StoreError
from onplan.stores import Record, Stored, conflict


class MemoryStore:
    """One record in memory. Two stores share nothing."""

    capabilities = CAPABILITIES["memory"]

    def __init__(self, location: str = "", record: Record | None = None) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()
        self._record = record
        self._version = 1 if record else 0

    def load(self) -> Stored | None:
        """The record and its version, or None."""
        with self.lock():
            return Stored(self._record, str(self._version)) if self._record else None

    def save(self, record: Record, expected_version: str | None) -> str:
        """Replace the record if it is still the expected version.

        Raises StoreError in a forked child: parent and child would each spend the same refresh token.
        """
        if self._process != os.getpid():
            raise StoreError(
                "A sign-in kept in memory cannot be refreshed in a forked process.",
                hint="Keep it in a store that processes share, such as file:PATH.",
            )
        with self._lock:
            if expected_version != (str(self._version) if self._record else None):
                raise conflict("the sign-in in memory")
            self._record = record
            self._version += 1
            return str(self._version)

    def delete(self) -> None:
        """Forget the record."""
        with self._lock:
            self._record = None

    def lock(self) -> AbstractContextManager[object]:
        """Excludes the threads of this process; a forked child may have inherited a lock that stays held."""
        return self._lock if self._process == os.getpid() else nullcontext()

    def describe(self) -> str:
        """Where the record is, for people."""
        return "the memory of this process"
