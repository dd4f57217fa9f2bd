"""Credential stores: the stored record, the methods that every store has, and the table of their schemes.

A *store spec* names a store: ``scheme:location[?option=value]``. The table holds import strings, so that only
the store in use is loaded. Installed packages add schemes by entry points in the group ``onplan.stores``. Any
object with the methods of ``CredentialStore`` can be used as a store; ``contract.py`` tests it. The class
attribute ``capabilities`` declares what a store can be used for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from hashlib import sha256
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeGuard, cast, runtime_checkable
from urllib.parse import parse_qsl

import msgspec

from onplan.backends import Backend, IssuerKind
from onplan.config.file_reading import as_utf8
from onplan.config.store_schemes import CAPABILITIES, Capabilities, scheme_of
from onplan.config.store_spec import spec_of_file
from onplan.errors import ConfigurationError, StoreConflictError, StoreDamagedError, StoreError
from onplan.field_types import prepare
from onplan.oauth.token_response import moment
from onplan.secret import SecretBytes
from onplan.types import OAuthCredentials, Registration

SCHEMA = 2
# Names of fields in schema 1, which had no ``issuer_kind``.
FORMER_NAMES: Mapping[str, str] = {"renewed_at": "obtained_at"}


class PendingRefresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh in progress: which refresh token is being spent, and since when.

    Attributes:
        fingerprint: the first 16 digits of the refresh token's SHA-256: enough to recognise it, no secret.
        started_at: Unix seconds.
    """

    fingerprint: str
    started_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds, with the number of its schema. Its printed form has no secret.

    Attributes:
        issuer_kind: the kind of issuer that the credentials come from and the client is registered with; the
            key of ``oauth.issuer.ISSUERS``. Without either it means nothing.
        obtained_at: when the credentials came from the server, Unix seconds by this machine's clock.
        pending_refresh: a refresh that has begun and whose result is not stored yet.
        borrowed_from: the store spec of another program, the only one that refreshes what was copied from it.
        registration: the registered client that the credentials belong to; None with a public client. It is
            kept after a sign-out, for the next sign-in.
        unverified: whether the ID token came with a refresh and was not verified yet.
        api_key: a key, for backends without a sign-in.
        api_key_for: the base URL that the key was given for, the only one that it is sent to; None: any.
    """

    schema: int = SCHEMA
    issuer_kind: IssuerKind = "codex"
    credentials: OAuthCredentials | None = None
    obtained_at: float | None = None
    pending_refresh: PendingRefresh | None = None
    borrowed_from: str | None = None
    registration: Registration | None = None
    unverified: bool = False
    api_key: str | None = None
    api_key_for: str | None = None

    def __repr__(self) -> str:
        """Masked."""
        return (
            f"Record(issuer_kind={self.issuer_kind!r}, credentials={self.credentials!r}, "
            f"obtained_at={self.obtained_at!r}, "
            f"pending_refresh={self.pending_refresh!r}, borrowed_from={self.borrowed_from!r}, "
            f"registration={self.registration!r}, unverified={self.unverified!r}, "
            f"api_key={'…' if self.api_key else None})"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Masked for rich as well, which would not ask ``__repr__``."""
        return [("credentials", self.credentials), ("obtained_at", self.obtained_at)]


prepare(Record)


def signed_out(record: Record) -> Record:
    """What remains of ``record`` after a sign-out: the registered client, for the next sign-in."""
    return Record(issuer_kind=record.issuer_kind, registration=record.registration)


class Stored(NamedTuple):
    """A stored record and its version, which ``CredentialStore.save`` must be given to replace the record.

    The version is the store's own: a number, or a digest of the content. It reveals no secret.
    """

    record: Record
    version: str


@runtime_checkable
class Lease(Protocol):
    """A lock that expires by itself, in case the machine that holds it dies."""

    def remaining(self) -> float:
        """Seconds for which no other process can get the lock; 0 or less if one may have got it."""
        ...


@runtime_checkable
class CredentialStore(Protocol):
    """The methods of a store. Every exception that they raise is a ``StoreError``."""

    def load(self) -> Stored | None:
        """The record with its version, or None if nothing is stored.

        Raises StoreDamagedError for content that is not a record. A store that cannot be reached, or that
        denies access, raises StoreError: that is not the same as being empty.
        """
        ...

    def save(self, record: Record, expected_version: str | None) -> str:
        """Write the record if the stored version is the expected one (None: nothing is stored).

        The write is all or nothing, and durable when the method returns the new version. Raises
        StoreConflictError if another version is stored. A record with a pending refresh is written so that
        the next one, which may be longer, is certain to fit.
        """
        ...

    def delete(self) -> None:
        """Remove the record, if there is one."""
        ...

    def lock(self) -> AbstractContextManager[object]:
        """A context manager that excludes every other thread and process that uses this store.

        Its holder may call the other methods. ``with`` gives a ``Lease`` if the lock can expire; anything
        else stands for a lock that lasts until it is released or its process ends.
        """
        ...

    def describe(self) -> str:
        """Where the record is, for messages; without any secret."""
        ...


@runtime_checkable
class ExplainsAbsence(Protocol):
    """A store that another program writes, too, and that may hold something else than a plan's sign-in."""

    def why_empty(self) -> str | None:
        """A sentence about what it holds instead; None if nothing. Raises StoreError."""
        ...


def load_twice(
    load: Callable[[], Stored | None], lock: Callable[[], AbstractContextManager[object]]
) -> Stored | None:
    """Call ``load``; if it finds nothing, or damage, call it again under ``lock``, while there is no writer.

    For stores whose readers may see an empty or partial record while it is replaced.
    """
    with suppress(StoreDamagedError):
        found = load()
        if found:
            return found
    with lock():
        return load()


def conflict(place: str, attempts: int = 1) -> StoreConflictError:
    """The error for a record that another program changed after it was loaded, at each of ``attempts``."""
    if attempts == 1:
        return StoreConflictError(f"Another program has changed {place} meanwhile.")
    return StoreConflictError(
        f"Another program was faster at each of {attempts} attempts to change {place}.",
        hint="Nothing is lost. End the other programs that use this sign-in, then run the command again.",
    )


def why_empty(store: CredentialStore) -> str | None:
    """A sentence about why there is no sign-in in ``store``, if the store knows. Raises StoreError."""
    return store.why_empty() if isinstance(store, ExplainsAbsence) else None


STORES: Mapping[str, str] = {
    "file": "onplan.stores.file:FileStore",
    "keyring": "onplan.stores.keyring:KeyringStore",
    "vault": "onplan.stores.vault:VaultStore",
    "codex": "onplan.stores.codex:CodexStore",
    "command": "onplan.stores.command:CommandStore",
    "env": "onplan.stores.env:EnvironmentStore",
    "memory": "onplan.stores.memory:MemoryStore",
}
ENTRY_POINTS = "onplan.stores"


def open_store(spec: str | os.PathLike[str], backend: Backend | None = None) -> CredentialStore:
    """The store that ``spec`` names, for credentials of ``backend``. Nothing is read or written yet.

    Args:
        spec: a store spec, or the path of a file to keep them in.
        backend: whose they are.

    Raises:
        ConfigurationError: the scheme is unknown, the location cannot be used, or the backend's credentials
            may not be kept there.
        MissingExtraError: the store needs a library that is not installed.
    """
    if isinstance(spec, os.PathLike):
        spec = spec_of_file(spec)
    scheme, _, location = spec.partition(":")
    if "\0" in spec:
        raise ConfigurationError(f"The store spec {spec!r} has a NUL character.")
    factory = _factory(scheme)
    if backend:
        _require_local(_declared(factory), backend, scheme)
    return factory(location)


def capabilities_of(spec: str) -> Capabilities:
    """What the store that ``spec`` names can be used for, as its class declares it.

    Raises ConfigurationError if there is no such scheme.
    """
    scheme = scheme_of(spec)
    return CAPABILITIES.get(scheme) or _declared(_factory(scheme))


def require_permitted(store: CredentialStore, backend: Backend) -> None:
    """Raise ConfigurationError if credentials of ``backend`` may not, or cannot, be kept in ``store``."""
    found = _declared(store)
    scheme = next((name for name, known in CAPABILITIES.items() if known is found), "this store")
    _require_local(found, backend, scheme)


def _declared(store: object) -> Capabilities:
    """The capabilities that a store or its class declares, else those of an unknown store."""
    found = getattr(store, "capabilities", None)
    return found if isinstance(found, Capabilities) else Capabilities()


def _require_local(capabilities: Capabilities, backend: Backend, place: str) -> None:
    if backend.local_stores_only and capabilities.not_for_local_sign_ins:
        raise ConfigurationError(
            f"A {backend.name} sign-in is not kept in {place}: {capabilities.not_for_local_sign_ins}.",
            hint="Choose `--store file:PATH` or `--store keyring:`, or leave it out.",
        )


def _factory(scheme: str) -> Callable[[str], CredentialStore]:
    target = STORES.get(scheme)
    if target is not None:
        module, _, name = target.partition(":")
        return cast("Callable[[str], CredentialStore]", getattr(import_module(module), name))
    from importlib.metadata import entry_points

    theirs = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if scheme in theirs:
        return cast("Callable[[str], CredentialStore]", theirs[scheme].load())
    known = ", ".join(f"{name}:" for name in [*STORES, *sorted(theirs)])
    raise ConfigurationError(
        f"There is no credential store called {scheme!r}.",
        hint=f"Use one of: {known}.",
    )


def split_options(scheme: str, location: str, known: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Split a location and its options: ``a/b?x=1`` gives ``a/b``, and ``known`` with ``x`` set to ``1``.

    ``known`` has every option with its default. Raises ConfigurationError for an option that is not in it.
    """
    place, _, query = location.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name not in known:
            raise ConfigurationError(
                f"The {scheme}: store has no option called {name!r}.",
                hint=f"Its options are: {', '.join(known) or 'none'}.",
            )
    return place, {**known, **given}


def encode_record(record: Record) -> SecretBytes:
    """The record as indented JSON."""
    return SecretBytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def decode_record(data: bytes, place: str) -> Record:
    """The record in ``data``, of any schema so far.

    Raises:
        StoreDamagedError: it is not a record.
        StoreError: a newer version of onplan wrote it.
    """
    sealed = SecretBytes(data)
    del data
    return record_from(_decode(sealed), place, version_of(sealed))


def _decode(data: SecretBytes) -> Any:
    try:
        return msgspec.json.decode(as_utf8(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def record_from(fields: Any, place: str, version: str) -> Record:
    """The record in decoded JSON. Raises as ``decode_record``."""
    schema = fields.get("schema", 1) if isinstance(fields, dict) else None
    if _is_number(schema) and schema > SCHEMA:
        fields = None
        raise StoreError(
            f"The sign-in kept in {place} was written by a newer onplan.",
            hint="Run `pip install --upgrade onplan`.",
        )
    record, fields = _convert(_migrated(fields, schema)), None
    if record is None:
        raise StoreDamagedError(
            f"The sign-in kept in {place} cannot be read: it is damaged or not one of onplan's.",
            version=version,
            hint=(
                "If it is something else, name another store. To give it up, run `onplan logout --force`, "
                "then `onplan login`."
            ),
        )
    return _in_the_calendar(record)


def _is_number(schema: Any) -> TypeGuard[int]:
    return isinstance(schema, int) and not isinstance(schema, bool)


def _migrated(fields: Any, schema: Any) -> Any:
    """The fields in the current schema. In schema 1 a registered client implied the kind of issuer."""
    if not _is_number(schema) or schema == SCHEMA:
        return fields
    kind = "siwc" if fields.get("registration") else "codex"
    return {"issuer_kind": kind, **with_current_names(fields), "schema": SCHEMA}


def with_current_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record with the names of schema 1 replaced by the current ones."""
    return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}


def _in_the_calendar(record: Record) -> Record:
    """``record`` without times beyond the year 9999, which may be another program's mistakes."""
    changed = msgspec.structs.replace(record, obtained_at=moment(record.obtained_at))
    if record.credentials:
        expires_at = moment(record.credentials.expires_at)
        changed = msgspec.structs.replace(
            changed, credentials=msgspec.structs.replace(record.credentials, expires_at=expires_at)
        )
    return changed


def _convert(fields: Any) -> Record | None:
    try:
        return msgspec.convert(fields, Record)
    except (msgspec.ValidationError, RecursionError):
        return None


def version_of(data: bytes) -> str:
    """A version for stores that do not number theirs: the SHA-256 of the content."""
    return sha256(data).hexdigest()
