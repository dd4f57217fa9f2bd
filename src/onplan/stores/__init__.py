"""Where credentials are kept. A store is small, synchronous, and knows nothing of OAuth.

A *store spec* names one: ``scheme:location[?option=value]``. The schemes are a table of import strings, so
that only the store in use is loaded. Installed packages add their own by an entry point in the group
``onplan.stores``, and any object with the methods of ``CredentialStore`` will do: ``contract.py`` tests it.
What the stores of a scheme can be used for, each class says in ``capabilities``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeGuard, cast, runtime_checkable
from urllib.parse import parse_qsl

import msgspec

from onplan.backends import Backend, IssuerKind
from onplan.config.file_reading import as_utf8
from onplan.config.store_schemes import CAPABILITIES, Capabilities, scheme_of
from onplan.errors import ConfigurationError, StoreDamagedError, StoreError
from onplan.oauth.token_response import moment
from onplan.secret import SecretBytes
from onplan.types import OAuthCredentials, Registration

SCHEMA = 2
# Names of fields in schema 1, which had no ``issuer_kind``.
FORMER_NAMES: Mapping[str, str] = {"renewed_at": "obtained_at"}


class PendingRefresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh that has begun: which token is being spent, and since when.

    Attributes:
        fingerprint: SHA-256 of the refresh token, shortened; enough to recognise it, useless to anyone.
        started_at: Unix seconds.
    """

    fingerprint: str
    started_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored, with the number of its schema. Its printed form has no secret.

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


def signed_out(record: Record) -> Record:
    """What is kept of ``record`` after a sign-out: the registered client, for the next sign-in."""
    return Record(issuer_kind=record.issuer_kind, registration=record.registration)


class Stored(NamedTuple):
    """A stored record and its version, which ``CredentialStore.save`` must be given to replace the record.

    The version is the store's own: a number, or a digest of the content. It reveals no secret.
    """

    record: Record
    version: str


@runtime_checkable
class Lease(Protocol):
    """A lock that passes on by itself, because its holder may be a machine that never comes back."""

    def remaining(self) -> float:
        """Seconds for which certainly nobody else gets the lock; 0 or less if it may have passed on."""
        ...


@runtime_checkable
class CredentialStore(Protocol):
    """What a store must be able to do. Everything it raises is a ``StoreError``."""

    def load(self) -> Stored | None:
        """The record with its version, or None if nothing is stored.

        Raises StoreDamagedError for what is no record. A store that cannot be reached, or that refuses us,
        raises StoreError: that is not the same as being empty.
        """
        ...

    def save(self, record: Record, expected_version: str | None) -> str:
        """Write the record if the stored version is still the expected one (None: nothing is stored).

        All or nothing, and durable when it returns. Returns the new version. Raises StoreConflictError if
        another writer was faster. A record with a pending refresh also makes room for the next one.
        """
        ...

    def delete(self) -> None:
        """Remove the record; nothing happens if there is none."""
        ...

    def lock(self) -> AbstractContextManager[object]:
        """Keep every other process that uses this store from refreshing meanwhile; threads, too.

        Its holder may call the other methods. What ``with`` gives may be a ``Lease``; everything else counts
        as a lock that stays until it is released or its process ends.
        """
        ...

    def describe(self) -> str:
        """Where the record is, for people."""
        ...


@runtime_checkable
class ExplainsAbsence(Protocol):
    """A store of another program's, which may hold something else than the sign-in of a plan."""

    def why_empty(self) -> str | None:
        """What is there instead, as a sentence; None if nothing is known. Raises StoreError."""
        ...


def why_empty(store: CredentialStore) -> str | None:
    """Why there is no sign-in in ``store``, as a sentence, where the store can say so. Raises StoreError."""
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


def open_store(spec: str, backend: Backend | None = None) -> CredentialStore:
    """The store that ``spec`` names, for a credential of ``backend``. Nothing is read or written yet.

    Raises:
        ConfigurationError: there is no such scheme, the location is not one of its, or the backend's
            credentials may not be kept there.
        MissingExtraError: it needs a library that is not installed.
    """
    scheme, _, location = spec.partition(":")
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
    """Raise ConfigurationError if a credential of ``backend`` may not, or cannot, be kept in ``store``."""
    found = _declared(store)
    scheme = next((name for name, known in CAPABILITIES.items() if known is found), "this store")
    _require_local(found, backend, scheme)


def _declared(store: object) -> Capabilities:
    """What a store, or its class, says of itself; if nothing, as of an unknown one."""
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
    """A location and its options: ``a/b?x=1`` is ``a/b`` and what is ``known`` with ``x`` changed to ``1``.

    Raises:
        ConfigurationError: an option is not known.
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
    """The stored form: indented JSON."""
    return SecretBytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def decode_record(data: bytes, place: str) -> Record:
    """The record in ``data``, of any schema so far.

    Raises:
        StoreDamagedError: it is not a record of ours.
        StoreError: a newer onplan wrote it.
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
    """The fields as the current schema has them. In schema 1, a registered client told the issuer's kind."""
    if not _is_number(schema) or schema == SCHEMA:
        return fields
    kind = "siwc" if fields.get("registration") else "codex"
    return {"issuer_kind": kind, **with_current_names(fields), "schema": SCHEMA}


def with_current_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record, those of schema 1 under the names that they have now."""
    return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}


def _in_the_calendar(record: Record) -> Record:
    """``record`` with its times unknown that no calendar can show, such as another program's mistakes."""
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
    """A version for stores that have no numbers: the content's SHA-256."""
    return sha256(data).hexdigest()
