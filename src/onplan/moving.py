"""Moving a sign-in to another machine of the same person: out of a store into a file, and into a store there.

It is moved, not copied: two machines that renewed with one refresh token would sign each other out. A
program's registration stays behind as well, for it may serve several machines; the host id is each machine's
own.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from onplan.attempt import update
from onplan.errors import ConfigurationError, NotSignedInError, StoreDamagedError, StoreError
from onplan.files import sync_folder
from onplan.oauth.issuer import ISSUERS
from onplan.secret import SecretBytes
from onplan.settings import Settings, credentials_folder, not_signed_in
from onplan.stores import CredentialStore, Record, encode_record, require_permitted, why_empty

# What keeps a sign-in for one machine alone; the others are shared as they are.
MOVABLE = ("file", "keyring", "command", "memory")


def take_out(settings: Settings, store: CredentialStore, target: Path) -> Record:
    """Move what ``store`` keeps into the new file ``target``, readable by its owner alone.

    Nothing is revoked. If the file cannot be written, nothing has changed.

    Raises:
        ConfigurationError: the store is one that is shared as it is, or ``target`` exists.
        NotSignedInError: nobody is signed in.
        CredentialError: the sign-in is borrowed, and not ours to move.
        StoreError: the store or the file could not be read or written.
    """
    scheme = settings.store.partition(":")[0]
    if scheme not in MOVABLE:
        raise ConfigurationError(
            f"What is kept in {store.describe()} is not moved: other machines or programs use it as it is.",
            hint=f"Use the same store there: `onplan status --store {settings.store}`.",
        )
    with store.lock():
        loaded = store.load()
        if loaded and loaded[0].api_key:
            raise ConfigurationError(
                f"The profile {settings.profile} keeps an API key, which is not moved.",
                hint=f"Keep it there as well: `onplan login --backend {settings.backend.name} --api-key`.",
            )
        if loaded is None or loaded[0].credentials is None:
            raise not_signed_in(settings.profile, settings.backend.name, why_empty(store))
        record = loaded[0]
        if record.borrowed_from:
            raise ConfigurationError(
                f"This sign-in is borrowed from {record.borrowed_from}, which alone renews it.",
                hint="Sign in on the other machine: `onplan login --paste`.",
            )
        moved = msgspec.structs.replace(record, pending_refresh=None)
        _write_new(target, encode_record(moved))
        try:
            if record.registration:
                left = Record(registration=record.registration)
                update(store, lambda _: left)
            else:
                store.delete()
        except StoreError:
            target.unlink(missing_ok=True)
            raise
    return moved


def _write_new(target: Path, data: SecretBytes) -> None:
    """All or nothing: what was written in part would be a second copy of the only token."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{target} exists already.", hint="Name a new file.") from None
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(target.parent)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from None
        raise


def _unwritable(target: Path, error: OSError) -> StoreError:
    reason = (error.strerror or type(error).__name__).lower()
    return StoreError(
        f"{target} cannot be written: {reason}. Nothing was moved.",
        hint="Name a new file in a folder that exists and is yours.",
    )


def backend_of(record: Record) -> str:
    """The name of the backend that a sign-in is for."""
    from onplan.backends import ROWS

    registers = record.registration is not None
    return next(row.name for row in ROWS if ISSUERS[row.issuer].registers is registers)


def read(source: Path) -> Record:
    """What was moved into ``source``.

    Raises:
        NotSignedInError: there is no sign-in in it.
        StoreError: it cannot be read, others can read it, or it is nothing of onplan's.
    """
    from onplan.stores.file import FileStore

    export = "Move one into a file where somebody is signed in: `onplan credentials export PATH`."
    try:
        loaded = FileStore(str(source)).load()
    except StoreDamagedError as error:
        error.hint = export
        raise
    if loaded is None:
        raise NotSignedInError(f"There is no file {source}.", hint=export)
    if loaded[0].credentials is None:
        raise NotSignedInError(f"There is no sign-in in {source}.", hint=export)
    return loaded[0]


def require_moved_out(source: Path, settings: Settings, store: CredentialStore) -> None:
    """Raise ConfigurationError if ``source`` is where a profile keeps its sign-in, and not a file to move."""
    found = source.resolve()
    if found.parent == credentials_folder(settings.home).resolve() or str(found) == store.describe():
        raise ConfigurationError(
            f"{source} is where a profile keeps its sign-in.",
            hint="Move it out first: `onplan credentials export PATH --profile NAME`.",
        )


def put_in(settings: Settings, store: CredentialStore, record: Record, *, force: bool = False) -> None:
    """Keep what was moved here. ``force``: also over another sign-in, which is forgotten and not revoked.

    Raises:
        ConfigurationError: somebody is signed in there, or it may not be kept there.
        StoreError: it could not be kept.
    """
    require_permitted(store, settings.backend)

    def replace(stored: Record) -> Record:
        other = stored.registration not in (None, record.registration)
        if (stored.credentials or stored.api_key or other) and not force:
            what = "is signed in" if stored.credentials or stored.api_key else "belongs to another client"
            raise ConfigurationError(
                f"The profile {settings.profile} {what} already.",
                hint="Give this one a profile of its own: `--profile NAME`. Or replace it: `--force`.",
            )
        return record

    update(store, replace)


def discard(source: Path) -> bool:
    """Remove the file that was moved in: a second import of it would be a copy. Whether it is gone."""
    source = source.resolve()  # a link to it is not what holds the sign-in
    try:
        source.unlink(missing_ok=True)
        sync_folder(source.parent)
    except OSError:
        return False
    return True
