"""``keyring:NAME``: a record in the operating system's keyring, through the ``keyring`` library.

If the keyring limits the size of an entry, the record is divided into parts, and there are two places for
them. A writer fills the place that is not in use, the parts first and a header last; then it empties the
other. So a writer that is killed leaves the old record or the new one complete.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Annotated, Protocol

import msgspec

from onplan.config.store_schemes import CAPABILITIES
from onplan.errors import StoreDamagedError
from onplan.field_types import prepare
from onplan.secret import SecretBytes, SecretText
from onplan.stores import Record, Stored, conflict, decode_record, load_twice, split_options, version_of
from onplan.stores.keyring.backend import Keyring
from onplan.stores.lock import user_lock

_SERVICE = "onplan"


class KeyringStore:
    """A record under the name ``location``, or ``onplan``."""

    capabilities = CAPABILITIES["keyring"]

    def __init__(self, location: str) -> None:
        self._name = split_options("keyring", location, {})[0] or "onplan"
        self._keyring = Keyring(self._name)
        self._lock = user_lock(f"keyring-{version_of(self._name.encode())[:16]}", self.describe())

    def load(self) -> Stored | None:
        """The record and its version.

        During a write a reader may see neither record, or parts of both, so such a result is read again under
        the lock.
        """
        return load_twice(self._load, self.lock)

    def save(self, record: Record, expected_version: str | None) -> str:
        """Write the record, if what is stored is still the expected one."""
        text = SecretText(json.dumps(msgspec.to_builtins(record), separators=(",", ":")))  # ASCII
        with self.lock():
            layout = self._layout()
            if expected_version != layout.version():
                raise conflict(self.describe())
            layout.write(text)
        return _version_of(text)

    def delete(self) -> None:
        """Remove the record, and what a killed writer left."""
        with self.lock():
            self._layout().remove()

    def lock(self) -> AbstractContextManager[object]:
        """Excludes threads and processes of this user on this machine."""
        return self._lock.held()

    def describe(self) -> str:
        """Where the record is, for people."""
        return f"the system's keyring, entry {self._name}"

    def _load(self) -> Stored | None:
        text = self._layout().read()
        if text is None:
            return None
        return Stored(decode_record(SecretBytes(text.encode()), self.describe()), _version_of(text))

    def _layout(self) -> _Layout:
        limit = self._keyring.limit()
        return _Whole(self._keyring) if limit is None else _Parts(self._keyring, self._name, limit)


class _Layout(Protocol):
    def version(self) -> str | None:
        """The version of what is stored, damaged or not; None if nothing is."""
        ...

    def read(self) -> SecretText | None:
        """The stored text, or None. Raises StoreDamagedError if parts are missing."""
        ...

    def write(self, text: SecretText) -> None:
        """Replace the stored text."""
        ...

    def remove(self) -> None:
        """Remove the stored text."""
        ...


class _Whole:
    """One entry, which the keyring replaces atomically."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def version(self) -> str | None:
        text = self.read()
        return None if text is None else _version_of(text)

    def read(self) -> SecretText | None:
        return self._keyring.get(_SERVICE)

    def write(self, text: SecretText) -> None:
        self._keyring.set(_SERVICE, text)

    def remove(self) -> None:
        self._keyring.remove(_SERVICE)


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """Completes a place: the number of its parts, and the SHA-256 of their text."""

    generation: int = 0
    parts: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    sha256: str


prepare(_Header)


class _Parts:
    """Parts and a header in one of two places, ``a`` and ``b``; the newer generation counts."""

    def __init__(self, keyring: Keyring, name: str, limit: int) -> None:
        self._keyring, self._prefix, self._limit = keyring, f"{_SERVICE}/{name}", limit

    def version(self) -> str | None:
        found = self._newest()
        return found[1].sha256 if found else None

    def read(self) -> SecretText | None:
        found = self._newest()
        if found is None:
            return None
        place, header = found
        entries = [self._keyring.get(self._part(place, number)) for number in range(header.parts)]
        text = SecretText("".join(filter(None, entries)))
        if _version_of(text) != header.sha256:
            raise StoreDamagedError(
                "The sign-in kept in the system's keyring is incomplete.",
                version=header.sha256,
                hint="Run `onplan login`.",
            )
        return text

    def write(self, text: SecretText) -> None:
        found = self._newest()
        old, generation = (found[0], found[1].generation) if found else ("b", 0)
        new = "a" if old == "b" else "b"
        self._empty(new)
        parts = range(0, len(text), self._limit)
        for number, start in enumerate(parts):
            part = SecretText(text[start : start + self._limit])
            self._keyring.set(self._part(new, number), part)
        header = _Header(generation=generation + 1, parts=len(parts), sha256=_version_of(text))
        self._keyring.set(self._header(new), SecretText(msgspec.json.encode(header).decode()))
        self._empty(old)

    def remove(self) -> None:
        found = self._newest()
        for place in ("b", "a") if found and found[0] == "a" else ("a", "b"):
            self._empty(place)

    def _newest(self) -> tuple[str, _Header] | None:
        found = [(place, self._keyring.get(self._header(place))) for place in "ab"]
        headers = [(place, _header(text)) for place, text in found if text is not None]
        return max(headers, key=lambda entry: entry[1].generation, default=None)

    def _empty(self, place: str) -> None:
        """Remove the header, then the parts from the last to the first, so that a killed run can go on."""
        text = self._keyring.get(self._header(place))
        number = 0 if text is None else _header(text).parts
        self._keyring.remove(self._header(place))
        while self._keyring.get(self._part(place, number)) is not None:
            number += 1
        while number:
            number -= 1
            self._keyring.remove(self._part(place, number))

    def _header(self, place: str) -> str:
        return f"{self._prefix}/{place}"

    def _part(self, place: str, number: int) -> str:
        return f"{self._prefix}/{place}{number}"


def _header(text: SecretText) -> _Header:
    """The header in an entry; a damaged one counts as that of missing parts."""
    try:
        return msgspec.json.decode(text.encode(), type=_Header)
    except msgspec.MsgspecError:
        return _Header(sha256=_version_of(text))


def _version_of(text: SecretText) -> str:
    return version_of(SecretBytes(text.encode()))
