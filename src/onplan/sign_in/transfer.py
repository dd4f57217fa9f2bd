"""Moves a sign-in to another machine of the same person: from a store into a file, and from it into a store.

It is moved, not copied: two machines that refreshed with one refresh token would sign each other out. The
registered client stays behind as well, since it may serve several machines; each machine keeps its host id.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from shlex import quote

import msgspec

from onplan.config.hints import not_signed_in
from onplan.config.private_files import sync_folder
from onplan.config.settings import Settings
from onplan.config.store_spec import credentials_folder
from onplan.errors import ConfigurationError, NotSignedInError, StoreDamagedError, StoreError
from onplan.secret import SecretBytes
from onplan.sign_in.saving import update
from onplan.stores import (
    CredentialStore,
    Record,
    capabilities_of,
    encode_record,
    require_permitted,
    signed_out,
    why_empty,
)
from onplan.stores.lock import user_lock


def export_credential(settings: Settings, store: CredentialStore, target: Path) -> Record:
    """Move the sign-in in ``store`` into the new file ``target``, which only its owner can read.

    Nothing is revoked. If the file cannot be written, nothing has changed. The file appears once the store is
    empty; the same command finishes an export that was interrupted.

    Raises:
        ConfigurationError: other machines can use the store already, ``target`` exists, or the store holds an
            API key or a borrowed token.
        NotSignedInError: there is no sign-in.
        StoreError: the store or the file could not be read or written.
    """
    if not capabilities_of(settings.store).exclusive:
        raise ConfigurationError(
            f"The sign-in in {store.describe()} is not moved: other machines can use that store directly.",
            hint=f"Use the same store there: `onplan status --store {settings.store}`.",
        )
    part = _part_of(target)
    with store.lock(), _moving(target):
        loaded = store.load()
        if (loaded is None or loaded.record.credentials is None) and part.exists():
            moved = read(part)
            _publish(part, target)
            return moved
        if os.path.lexists(target):
            raise _exists(target)
        record = _movable(loaded and loaded.record, settings, store)
        moved = msgspec.structs.replace(record, pending_refresh=None)
        _write_part(part, moved)
        try:
            _take_from(store, record)
        except StoreError:
            part.unlink(missing_ok=True)
            raise
        try:
            _publish(part, target)
        except BaseException:
            if not _holds(target, moved):  # Ctrl-C may come when it is there already
                update(store, lambda _: record)
            part.unlink(missing_ok=True)
            raise
    return moved


def _movable(record: Record | None, settings: Settings, store: CredentialStore) -> Record:
    """``record``, if it is a sign-in that may be moved. Raises as ``export_credential``."""
    if record and record.api_key:
        raise ConfigurationError(
            f"The profile {settings.profile} keeps an API key, which is not moved.",
            hint=f"Keep it there as well: `onplan login --backend {settings.backend.name} --api-key`.",
        )
    if record is None or record.credentials is None:
        raise not_signed_in(settings.profile, settings.backend.name, why_empty(store))
    if record.borrowed_from:
        raise ConfigurationError(
            f"This sign-in is borrowed from {record.borrowed_from}, which alone refreshes it.",
            hint="Sign in on the other machine: `onplan login --paste`.",
        )
    return record


def _holds(path: Path, record: Record) -> bool:
    """Whether the sign-in in ``record`` is in ``path``."""
    try:
        return _token_of(read(path)) == _token_of(record)
    except (NotSignedInError, StoreError):
        return False


def _take_from(store: CredentialStore, record: Record) -> None:
    if record.registration:
        left = signed_out(record)
        update(store, lambda _: left)
    else:
        store.delete()


def _part_of(target: Path) -> Path:
    """The file of an export until the store is empty. No import takes it: it could be a second copy."""
    return target.with_name(f".{target.name}.exporting")


def _write_part(part: Path, moved: Record) -> None:
    """Write it, also over the rest of an interrupted export of the same sign-in."""
    try:
        left = read(part) if part.exists() else None
    except (NotSignedInError, StoreError):  # cut off while it was written: the store still has all of it
        left = moved
    if left and _token_of(left) != _token_of(moved):
        raise ConfigurationError(
            f"{part} holds another sign-in: its export was interrupted, or is still running.",
            hint="Choose another file. Or finish that export: the same command with its `--profile`.",
        )
    part.unlink(missing_ok=True)
    _write_new(part, encode_record(moved))


def _publish(part: Path, target: Path) -> None:
    """Rename ``part`` to ``target``, which must not exist. Raises ConfigurationError, StoreError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # no hard links on this file system
        _write_new(target, SecretBytes())
        try:
            part.replace(target)
        except BaseException as error:
            if part.exists():
                target.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _unwritable(target, error) from None
            raise
    part.unlink(missing_ok=True)
    sync_folder(target.parent)


def _token_of(record: Record | None) -> str | None:
    """The token that identifies a sign-in: the refresh token, or the access token if there is none."""
    if record is None or record.credentials is None:
        return None
    return record.credentials.refresh_token or record.credentials.access_token


def _exists(target: Path) -> ConfigurationError:
    return ConfigurationError(f"{target} exists already.", hint="Choose a new file.")


def _write_new(target: Path, data: SecretBytes) -> None:
    """Write a new file, or nothing: half a file could hold a second copy of the token."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _exists(target) from None
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
        hint="Choose a new file in a folder that exists and that you can write to.",
    )


def backend_of(record: Record) -> str:
    """The name of the backend whose sign-in ``record`` is."""
    from onplan.backends import ROWS

    return next(row.name for row in ROWS if row.issuer == record.issuer_kind)


def read(source: Path) -> Record:
    """The record in the exported file ``source``.

    Raises:
        NotSignedInError: there is no sign-in in it.
        StoreError: it cannot be read, others can read it, or onplan did not write it.
    """
    from onplan.stores.file import FileStore

    try:
        loaded = FileStore(str(source)).load()
    except StoreDamagedError as error:
        error.hint = _EXPORT
        raise
    if loaded is None:
        raise _no_file(source)
    if loaded.record.credentials is None:
        raise NotSignedInError(f"There is no sign-in in {source}.", hint=_EXPORT)
    return loaded.record


_EXPORT = "On the machine that is signed in, run `onplan credentials export PATH`."


def _no_file(source: Path) -> NotSignedInError:
    return NotSignedInError(f"There is no file {source}.", hint=_EXPORT)


def peek(source: Path) -> Record:
    """The record in ``source``, or in the file that an interrupted import of it left. Raises as ``read``."""
    source = Path(os.path.realpath(source))
    left = [] if source.exists() else _claims(source)
    return read(left[0] if left else source)


def require_moved_out(source: Path, settings: Settings, store: CredentialStore) -> None:
    """Raise ConfigurationError if ``source`` is a profile's own store, and not an exported file."""
    found = Path(os.path.realpath(source))
    if (
        found.parent == Path(os.path.realpath(credentials_folder(settings.home)))
        or str(found) == store.describe()
    ):
        raise ConfigurationError(
            f"{source} is the store of a profile, not an exported file.",
            hint="Export it first: `onplan credentials export PATH --profile NAME`.",
        )


def import_credential(
    settings: Settings, store: CredentialStore, record: Record, *, force: bool = False
) -> None:
    """Store the exported ``record``. ``force``: also over another sign-in, which is not revoked.

    Nothing happens if it is stored already, by an import that was interrupted.

    Raises:
        ConfigurationError: the profile has another sign-in, or the backend does not permit this store.
        StoreError: it could not be written.
    """
    require_permitted(store, settings.backend)

    def replace(stored: Record) -> Record:
        if stored.credentials and _token_of(stored) == _token_of(record):
            return stored
        other = stored.registration not in (None, record.registration)
        if (stored.credentials or stored.api_key or other) and not force:
            what = "is signed in" if stored.credentials or stored.api_key else "belongs to another client"
            raise ConfigurationError(
                f"The profile {settings.profile} {what} already.",
                hint="Give this one a profile of its own: `--profile NAME`. Or replace it: `--force`.",
            )
        return record

    update(store, replace)


def claimed(source: Path, profile: str) -> Path:
    """The name of ``source`` while it is imported into ``profile``."""
    return source.with_name(f".{source.name}.importing.{profile}")


@contextmanager
def claim(source: Path, profile: str, store: CredentialStore) -> Iterator[Path]:
    """Reserve the exported file ``source`` for this import into ``store``; gives the file to read.

    ``source`` is renamed, in one step, so that no other import on this machine takes it. After an error it
    gets its name back, unless its sign-in is in ``store`` by then. An interrupted import into the same
    profile is continued. In a folder where files cannot be renamed, the file is ``source`` itself.

    Raises:
        NotSignedInError: there is no such file.
        ConfigurationError: another import of it was interrupted.
        StoreError: the lock was not released in time.
    """
    source = Path(os.path.realpath(source))  # rename the file itself, not a link to it
    mine = claimed(source, profile)
    with _moving(source):
        _refuse_claimed(source, mine)
        if mine.exists() and source.exists():
            _settle_left(source, mine, store)
        try:
            if not mine.exists():
                source.rename(mine)
        except FileNotFoundError:
            raise _no_file(source) from None
        except OSError:
            mine = source
        try:
            yield mine
        except BaseException:
            if _has_arrived(mine, store):
                discard(mine)
            elif mine.exists() and not source.exists():
                mine.rename(source)
            raise


def _settle_left(source: Path, mine: Path, store: CredentialStore) -> None:
    """Remove the file of an interrupted import, if its sign-in is in ``store``; else ConfigurationError.

    If it is not there, that file may be the only copy, and ``source`` holds another sign-in by now.
    """
    if not _has_arrived(mine, store):
        raise ConfigurationError(
            f"An earlier import of a file {source} was interrupted; its sign-in is in {mine}.",
            hint=f"If you have imported that sign-in since, run `rm {quote(str(mine))}`. Otherwise rename "
            f"{source}, run this command again, then import the renamed file.",
        )
    discard(mine)


def _has_arrived(file: Path, store: CredentialStore) -> bool:
    """Whether the sign-in in ``file`` is in ``store``, so that the file is a second copy."""
    try:
        loaded = store.load()
    except StoreError:
        return False
    return loaded is not None and loaded.record.credentials is not None and _holds(file, loaded.record)


def _moving(path: Path) -> AbstractContextManager[object]:
    """A lock: one export to ``path``, or import of it, at a time on this machine."""
    name = sha256(os.path.realpath(path).encode()).hexdigest()[:16]
    return user_lock(f"move-{name}", str(path)).held()


def _claims(source: Path) -> list[Path]:
    """The files of imports of ``source`` that were interrupted, or are running."""
    start = claimed(source, "").name
    try:
        return [entry for entry in source.parent.iterdir() if entry.name.startswith(start)]
    except OSError:
        return []


def _refuse_claimed(source: Path, mine: Path) -> None:
    """Raise ConfigurationError if an import of ``source`` into another profile was interrupted."""
    for entry in _claims(source):
        if entry != mine:
            profile = entry.name.removeprefix(claimed(source, "").name)
            again = f"onplan credentials import {quote(str(source))} --profile {quote(profile)}"
            raise ConfigurationError(
                f"An import of {source} into the profile {profile} was interrupted.",
                hint=f"Finish it: `{again}`.",
            )


def discard(source: Path) -> bool:
    """Remove an imported file, so that it is not imported twice. Returns whether it is gone."""
    try:
        source.unlink(missing_ok=True)
        sync_folder(source.parent)
    except OSError:
        return False
    return True
