"""One file per credential: 0600 from its creation, replaced in one step, locked across processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from onplan.config.file_errors import explained
from onplan.config.file_reading import open_file, read_open_file
from onplan.config.private_files import PERMISSIONS, PrivateFile, has_other_names, keeps_modes
from onplan.config.store_schemes import CAPABILITIES
from onplan.config.store_spec import expanded
from onplan.errors import ConfigurationError, StoreConflictError, StoreDamagedError, StoreError
from onplan.secret import SecretBytes
from onplan.stores import Record, Stored, decode_record, encode_record, version_of
from onplan.stores.lock import ProcessLock, user_lock, waiting_at_most

# A rotated set may be somewhat longer than the one before.
_ROOM = 4096
_SECOND_LOOK = 5.0  # seconds to wait for another process that may be writing


class FileStore:
    """A record in the file ``location``. A symbolic link is written through, not replaced."""

    capabilities = CAPABILITIES["file"]

    def __init__(self, location: str) -> None:
        if not location:
            raise ConfigurationError("The file store needs a path.", hint="Write `file:PATH`.")
        # Resolved once, so that a program that comes through a link locks, reads and removes the same file.
        self._path = Path(os.path.realpath(expanded(location)))
        self._file = PrivateFile(self._path, unreadable=True)
        self._lock = ProcessLock(Path(f"{self._path}.lock"), str(self._path))
        self._shared: dict[str, ProcessLock] = {}  # with those who use another name of the file

    def load(self) -> Stored | None:
        """The record and its version. Refuses a file that other users of the machine can read."""
        try:
            return self._decoded()
        except StoreDamagedError:
            # Another process may just be overwriting it, as is done where it is mounted by itself.
            with suppress(StoreError), waiting_at_most(_SECOND_LOOK), self.lock():
                return self._decoded()
            raise

    def _decoded(self) -> Stored | None:
        data = self._read()
        return None if data is None else Stored(decode_record(data, self.describe()), version_of(data))

    def save(self, record: Record, expected_version: str | None) -> str:
        """Replace the file in one step, if its content is still the expected one.

        Raises StoreError, before anything is written, where the file system keeps no modes.
        """
        data = encode_record(record)
        with self.lock(), explained(str(self._path), "written"):
            current = self._read()
            if expected_version != (None if current is None else version_of(current)):
                raise StoreConflictError(f"{self._path} was changed by another program meanwhile.")
            self._file.write(data, room=len(data) + _ROOM if record.pending_refresh else 0)
        return version_of(data)

    def delete(self) -> None:
        """Remove the file, and whatever a killed writer left beside it."""
        if not self._path.parent.is_dir():
            return
        with self.lock(), explained(str(self._path), "removed"):
            self._file.remove(instead=encode_record(Record()))

    def lock(self) -> AbstractContextManager[object]:
        """Among threads and processes, on the file beside it named ``….lock``."""
        return self._locked()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.held():
            if not has_other_names(self._path):
                yield
                return
            found = self._path.stat()  # and not one of its names
            name = f"file-{found.st_dev:x}-{found.st_ino:x}"
            lock = self._shared.setdefault(name, user_lock(name, str(self._path)))
            with lock.held():
                yield

    def describe(self) -> str:
        """Where the record is, for people."""
        return str(self._path)

    def _read(self) -> SecretBytes | None:
        with explained(str(self._path), "read"):
            try:
                file = open_file(self._path)
            except FileNotFoundError:
                return None
            with file:
                mode = os.fstat(file.fileno()).st_mode
                if PERMISSIONS and mode & 0o077:
                    raise self._open_to_others(mode & 0o777)
                return SecretBytes(read_open_file(file))

    def _open_to_others(self, mode: int) -> StoreError:
        if keeps_modes(self._path.parent):
            hint = f"Run `chmod 600 {self._path}`, and sign in anew if another user may have read it."
        else:
            hint = (
                "Its file system keeps no modes, so `chmod` changes nothing. Move the file to another one "
                "and name it, `--store file:PATH`; or remove it, `onplan logout --force`, and sign in anew."
            )
        return StoreError(
            f"{self._path} can be read by other users of this machine (mode {mode:o}).", hint=hint
        )
