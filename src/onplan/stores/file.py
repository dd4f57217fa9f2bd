"""``file:PATH``: a record in a file that only its owner can read, replaced atomically and locked."""

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
from onplan.errors import ConfigurationError, StoreDamagedError, StoreError
from onplan.secret import SecretBytes
from onplan.stores import Record, Stored, conflict, decode_record, encode_record, version_of
from onplan.stores.lock import ProcessLock, user_lock, waiting_at_most

# Bytes by which refreshed tokens may be longer than those that they replace.
_ROOM = 4096
_SECOND_READ = 5.0  # seconds to wait for another process that may be writing


class FileStore:
    """A record in the file ``location``; through a symbolic link, in the file that it points to."""

    capabilities = CAPABILITIES["file"]

    def __init__(self, location: str) -> None:
        if not location:
            raise ConfigurationError("The file store needs a path.", hint="Write `file:PATH`.")
        # Resolved once, so that programs with and without the link use the same file and lock.
        self._path = Path(os.path.realpath(expanded(location)))
        self._file = PrivateFile(self._path, unreadable=True)
        self._lock = ProcessLock(Path(f"{self._path}.lock"), str(self._path))
        self._shared: dict[str, ProcessLock] = {}  # for programs that use another hard link

    def load(self) -> Stored | None:
        """The record and its version. Raises StoreError for a file that other users can read."""
        try:
            return self._decoded()
        except StoreDamagedError:
            # Another process may be overwriting it, which is how a file that is a mount point is written.
            with suppress(StoreError), waiting_at_most(_SECOND_READ), self.lock():
                return self._decoded()
            raise

    def _decoded(self) -> Stored | None:
        data = self._read()
        return None if data is None else Stored(decode_record(data, self.describe()), version_of(data))

    def save(self, record: Record, expected_version: str | None) -> str:
        """Replace the file atomically, if its content is still the expected one.

        Raises StoreError, before anything is written, where the file system keeps no modes.
        """
        data = encode_record(record)
        with self.lock(), explained(str(self._path), "written"):
            current = self._read()
            if expected_version != (None if current is None else version_of(current)):
                raise conflict(str(self._path))
            self._file.write(data, room=len(data) + _ROOM if record.pending_refresh else 0)
        return version_of(data)

    def delete(self) -> None:
        """Remove the file, and what a killed writer left beside it."""
        if not self._path.parent.is_dir():
            return
        with self.lock(), explained(str(self._path), "removed"):
            self._file.remove(instead=encode_record(Record()))

    def lock(self) -> AbstractContextManager[object]:
        """Excludes threads and processes, by the lock file ``PATH.lock``."""
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
