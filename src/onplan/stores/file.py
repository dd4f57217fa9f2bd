"""One file per credential: 0600 from its creation, replaced in one step, locked across processes."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from onplan.errors import ConfigurationError, StoreConflictError, StoreError
from onplan.files import (
    PERMISSIONS,
    explained,
    remove_leftovers,
    reserve_private_file,
    sync_folder,
    write_private_file,
)
from onplan.secret import SecretBytes
from onplan.stores import Record, decode_record, encode_record, version_of
from onplan.stores.lock import ProcessLock

# A rotated set may be somewhat longer than the one before.
_ROOM = 4096


class FileStore:
    """A record in the file ``location``. A symbolic link is written through, not replaced."""

    def __init__(self, location: str) -> None:
        if not location:
            raise ConfigurationError("The file store needs a path.", hint="Write `file:PATH`.")
        try:
            # Resolved once: whoever comes through a link locks, reads and removes the same file.
            self._path = Path(os.path.realpath(Path(location).expanduser()))
        except RuntimeError:
            raise ConfigurationError(f"The store file:{location} names the home of nobody.") from None
        self._lock = ProcessLock(Path(f"{self._path}.lock"), str(self._path))
        self._reserved: Path | None = None  # room for the rotated set, while a refresh is pending

    def load(self) -> tuple[Record, str] | None:
        """The record and its version. Refuses a file that other users of the machine can read."""
        data = self._read()
        return None if data is None else (decode_record(data, self.describe()), version_of(data))

    def save(self, record: Record, expected_version: str | None) -> str:
        """Replace the file in one step, if its content is still the expected one."""
        data = encode_record(record)
        with self.lock(), explained(str(self._path), "written"):
            current = self._read()
            if expected_version != (None if current is None else version_of(current)):
                raise StoreConflictError(f"{self._path} was changed by another program meanwhile.")
            prepared = self._take_reserved()
            remove_leftovers(self._path, keep=prepared)
            if record.pending_refresh:
                self._reserved = reserve_private_file(self._path, len(data) + _ROOM)
            write_private_file(self._path, data, prepared)
        return version_of(data)

    def _take_reserved(self) -> Path | None:
        reserved, self._reserved = self._reserved, None
        return reserved if reserved and reserved.exists() else None

    def delete(self) -> None:
        """Remove the file, and whatever a killed writer left beside it."""
        if not self._path.parent.is_dir():
            return
        with self.lock(), explained(str(self._path), "removed"):
            remove_leftovers(self._path)
            self._path.unlink(missing_ok=True)
            sync_folder(self._path.parent)

    def lock(self) -> AbstractContextManager[object]:
        """Among threads and processes, on the file beside it named ``….lock``."""
        return self._lock.held()

    def describe(self) -> str:
        """Where the record is, for people."""
        return str(self._path)

    def _read(self) -> SecretBytes | None:
        with explained(str(self._path), "read"):
            try:
                descriptor = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            with os.fdopen(descriptor, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if PERMISSIONS and mode & 0o077:
                    raise StoreError(
                        f"{self._path} can be read by other users of this machine (mode {mode & 0o777:o}).",
                        hint=f"Run `chmod 600 {self._path}`, and sign in anew if somebody may have read it.",
                    )
                return SecretBytes(file.read())
