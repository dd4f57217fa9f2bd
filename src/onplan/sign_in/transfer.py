"""Moves a sign-in to another machine of the same person: from a store into a file, and from it into a store.

It is moved, not copied: two machines that refreshed with one refresh token would sign each other out. The
registered client stays behind as well, since it may serve several machines; each machine keeps its host id.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import msgspec

from onplan.config.hints import not_signed_in
from onplan.config.settings import Settings
from onplan.config.store_spec import credentials_folder
from onplan.errors import ConfigurationError, StoreError
from onplan.sign_in.exported_file import (
    claimed,
    claims_of,
    discard,
    exists_already,
    holds,
    moving_lock,
    no_file,
    part_of,
    publish,
    read,
    refuse_claimed,
    token_of,
    write_part,
)
from onplan.sign_in.saving import update
from onplan.stores import (
    CredentialStore,
    Record,
    capabilities_of,
    require_permitted,
    signed_out,
    why_empty,
)


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
    part = part_of(target)
    with store.lock(), moving_lock(target):
        loaded = store.load()
        if (loaded is None or loaded.record.credentials is None) and part.exists():
            moved = read(part)
            publish(part, target)
            return moved
        if os.path.lexists(target):
            raise exists_already(target)
        record = _movable(loaded and loaded.record, settings, store)
        moved = msgspec.structs.replace(record, pending_refresh=None)
        write_part(part, moved)
        try:
            _take_from(store, record)
        except StoreError:
            part.unlink(missing_ok=True)
            raise
        try:
            publish(part, target)
        except BaseException:
            if not holds(target, moved):  # Ctrl-C may come when it is there already
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


def _take_from(store: CredentialStore, record: Record) -> None:
    if record.registration:
        left = signed_out(record)
        update(store, lambda _: left)
    else:
        store.delete()


def backend_of(record: Record) -> str:
    """The name of the backend whose sign-in ``record`` is."""
    from onplan.backends import ROWS

    return next(row.name for row in ROWS if row.issuer == record.issuer_kind)


def peek(source: Path) -> Record:
    """The record in ``source``, or in the file that an interrupted import of it left. Raises as ``read``."""
    source = Path(os.path.realpath(source))
    left = [] if source.exists() else claims_of(source)
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
        if stored.credentials and token_of(stored) == token_of(record):
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
    with moving_lock(source):
        refuse_claimed(source, mine)
        if mine.exists() and source.exists():
            _settle_left(source, mine, store)
        try:
            if not mine.exists():
                source.rename(mine)
        except FileNotFoundError:
            raise no_file(source) from None
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
    return loaded is not None and loaded.record.credentials is not None and holds(file, loaded.record)
