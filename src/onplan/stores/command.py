"""``command:HELPER ARGUMENTS…``: a program of yours stores the sign-in, as git's credential helpers do.

It is run without a shell, with one more argument:

- ``get``: print the record, or nothing if nothing is kept.
- ``store``: read the record, one line of JSON, from standard input, and keep it.
- ``erase``: forget it, if there is one.

Exit code 0 is success. What it writes to stderr reaches the person, whom it may ask for a passphrase.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec

from onplan.config.store_schemes import CAPABILITIES
from onplan.config.store_spec import command_words
from onplan.errors import StoreDamagedError
from onplan.secret import SecretBytes
from onplan.stores import Record, Stored, conflict, decode_record, encode_record, load_twice, version_of
from onplan.stores.command_run import Helper
from onplan.stores.lock import user_lock, user_lock_path


class CommandStore:
    """A record that the program ``location`` keeps."""

    capabilities = CAPABILITIES["command"]

    def __init__(self, location: str) -> None:
        arguments = command_words(location)
        self._location = location
        name = f"command-{version_of(json.dumps(arguments).encode())[:16]}"
        self._lock = user_lock(name, self.describe())
        self._helper = Helper(arguments, user_lock_path(f"{name}-writing"))

    def load(self) -> Stored | None:
        """The record and its version.

        A helper that overwrites a file shows an empty or partial one for a moment, so such a result is read
        again under the lock.
        """
        return load_twice(self._load, self.lock)

    def save(self, record: Record, expected_version: str | None) -> str:
        """Have the record stored, if what is stored is still the expected one."""
        line = SecretBytes(msgspec.json.encode(record) + b"\n")
        with self.lock():
            if expected_version != self._version():
                raise conflict(f"the sign-in in {self.describe()}")
            self._helper.write("store", line)
        return _version_of(record)

    def delete(self) -> None:
        """Have the record erased."""
        with self.lock():
            self._helper.write("erase")

    def lock(self) -> AbstractContextManager[object]:
        """Excludes threads and processes of this machine, and helpers that outlived their caller."""
        return self._locked()

    def describe(self) -> str:
        """Where the record is, for people."""
        return f"the helper program `{self._location}`"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.held():
            self._helper.await_survivor()
            yield

    def _load(self) -> Stored | None:
        data = SecretBytes(self._helper.read("get").strip())
        if not data:
            return None
        record = decode_record(data, self.describe())
        return Stored(record, _version_of(record))

    def _version(self) -> str | None:
        try:
            loaded = self._load()
        except StoreDamagedError as damaged:
            return damaged.version
        return loaded.version if loaded else None


def _version_of(record: Record) -> str:
    """A version that does not depend on how the helper formats the JSON."""
    return version_of(encode_record(record))
