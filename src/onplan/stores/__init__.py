"""Where credentials are kept. A store is small, synchronous, and knows nothing of OAuth.

A *store spec* names one: ``scheme:location``. The schemes are a table of import strings, so that only the
store in use is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import msgspec

from onplan.errors import ConfigurationError, StoreError
from onplan.types import OAuthCredentials

SCHEMA = 1


class PendingRefresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh that has begun: which token is being spent, and since when.

    Attributes:
        fingerprint: SHA-256 of the refresh token, shortened; enough to recognise it, useless to anyone.
        started_at: Unix seconds.
    """

    fingerprint: str
    started_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored, with the number of its schema. Its printed form has no secret.

    Attributes:
        renewed_at: when the credentials came from the server, Unix seconds by this machine's clock.
    """

    schema: int = SCHEMA
    credentials: OAuthCredentials | None = None
    renewed_at: float | None = None
    pending_refresh: PendingRefresh | None = None


@runtime_checkable
class CredentialStore(Protocol):
    """What a store must be able to do. Everything it raises is a ``StoreError``."""

    def load(self) -> tuple[Record, str] | None:
        """The record and its version, or None if there is none."""
        ...

    def save(self, record: Record, expected_version: str | None) -> str:
        """Write the record if the stored version is still the expected one (None: nothing stored yet).

        Returns the new version. Raises StoreConflictError if another writer was faster.
        """
        ...

    def delete(self) -> None:
        """Remove the record; nothing happens if there is none."""
        ...

    def lock(self) -> AbstractContextManager[object]:
        """Keep every other process that uses this store from refreshing meanwhile."""
        ...

    def describe(self) -> str:
        """Where the record is, for people."""
        ...


STORES: Mapping[str, str] = {
    "file": "onplan.stores.file:FileStore",
    "memory": "onplan.stores.memory:MemoryStore",
}


def open_store(spec: str) -> CredentialStore:
    """The store that ``spec`` names. Nothing is read or written yet.

    Raises:
        ConfigurationError: there is no such scheme.
    """
    scheme, _, location = spec.partition(":")
    target = STORES.get(scheme)
    if target is None:
        known = ", ".join(f"{name}:" for name in STORES)
        raise ConfigurationError(
            f"There is no credential store called {scheme!r}.",
            hint=f"Use one of: {known}.",
        )
    module, _, name = target.partition(":")
    return cast("CredentialStore", getattr(import_module(module), name)(location))


def encode_record(record: Record) -> bytes:
    """The stored form: indented JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode_record(data: bytes, place: str) -> Record:
    """The record in ``data``.

    Raises:
        StoreError: it is not a record of ours, or one that a newer onplan wrote.
    """
    try:
        record = msgspec.json.decode(data, type=Record)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise StoreError(
            f"The sign-in kept in {place} cannot be read: it is damaged or not one of onplan's.",
            hint="Move it away and run `onplan login`.",
        ) from None
    if record.schema > SCHEMA:
        raise StoreError(
            f"The sign-in kept in {place} was written by a newer onplan.",
            hint="Run `pip install --upgrade onplan`.",
        )
    return record
