"""An exported sign-in as a file: written in one step, renamed while it is imported, then removed."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from shlex import quote

from onplan.config.private_files import sync_folder
from onplan.errors import ConfigurationError, NotSignedInError, StoreDamagedError, StoreError
from onplan.secret import SecretBytes
from onplan.stores import Record, encode_record
from onplan.stores.lock import user_lock


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
        raise no_file(source)
    if loaded.record.credentials is None:
        raise NotSignedInError(f"There is no sign-in in {source}.", hint=_EXPORT)
    return loaded.record


_EXPORT = "On the machine that is signed in, run `onplan credentials export PATH`."


def no_file(source: Path) -> NotSignedInError:
    """The error for an exported file that does not exist."""
    return NotSignedInError(f"There is no file {source}.", hint=_EXPORT)


def part_of(target: Path) -> Path:
    """The file of an export until the store is empty. No import takes it: it could be a second copy."""
    return target.with_name(f".{target.name}.exporting")


def write_part(part: Path, moved: Record) -> None:
    """Write it, also over the rest of an interrupted export of the same sign-in."""
    try:
        left = read(part) if part.exists() else None
    except (NotSignedInError, StoreError):  # cut off while it was written: the store still has all of it
        left = moved
    if left and token_of(left) != token_of(moved):
        raise ConfigurationError(
            f"{part} holds another sign-in: its export was interrupted, or is still running.",
            hint="Choose another file. Or finish that export: the same command with its `--profile`.",
        )
    part.unlink(missing_ok=True)
    _write_new(part, encode_record(moved))


def publish(part: Path, target: Path) -> None:
    """Rename ``part`` to ``target``, which must not exist. Raises ConfigurationError, StoreError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise exists_already(target) from None
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


def token_of(record: Record | None) -> str | None:
    """The token that identifies a sign-in: the refresh token, or the access token if there is none."""
    if record is None or record.credentials is None:
        return None
    return record.credentials.refresh_token or record.credentials.access_token


def exists_already(target: Path) -> ConfigurationError:
    """The error for an export into a file that exists."""
    return ConfigurationError(f"{target} exists already.", hint="Choose a new file.")


def _write_new(target: Path, data: SecretBytes) -> None:
    """Write a new file, or nothing: half a file could hold a second copy of the token."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise exists_already(target) from None
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


def holds(path: Path, record: Record) -> bool:
    """Whether the sign-in in ``record`` is in ``path``."""
    try:
        return token_of(read(path)) == token_of(record)
    except (NotSignedInError, StoreError):
        return False


def claimed(source: Path, profile: str) -> Path:
    """The name of ``source`` while it is imported into ``profile``."""
    return source.with_name(f".{source.name}.importing.{profile}")


def moving_lock(path: Path) -> AbstractContextManager[object]:
    """A lock: one export to ``path``, or import of it, at a time on this machine."""
    name = sha256(os.path.realpath(path).encode()).hexdigest()[:16]
    return user_lock(f"move-{name}", str(path)).held()


def claims_of(source: Path) -> list[Path]:
    """The files of imports of ``source`` that were interrupted, or are running."""
    start = claimed(source, "").name
    try:
        return [entry for entry in source.parent.iterdir() if entry.name.startswith(start)]
    except OSError:
        return []


def refuse_claimed(source: Path, mine: Path) -> None:
    """Raise ConfigurationError if an import of ``source`` into another profile was interrupted."""
    for entry in claims_of(source):
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
