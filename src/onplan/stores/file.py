"""One file per credential: 0600 from its creation, replaced in one step, locked across processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from onplan.errors import ConfigurationError, StoreConflictError, StoreError
from onplan.files import PERMISSIONS, make_private_folder, write_private_file
from onplan.stores import Record, decode_record, encode_record

# Longer than a refresh may take, with its timeout and retries.
LOCK_TIMEOUT = 90.0


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
        # Thread-local, so that threads exclude each other as processes do; re-entrant within one.
        self._filelock = FileLock(f"{self._path}.lock", timeout=LOCK_TIMEOUT, mode=0o600, thread_local=True)

    def load(self) -> tuple[Record, str] | None:
        """The record and its version. Refuses a file that other users of the machine can read."""
        data = self._read()
        return None if data is None else (decode_record(data, self.describe()), _version(data))

    def save(self, record: Record, expected_version: str | None) -> str:
        """Replace the file in one step, if its content is still the expected one."""
        data = encode_record(record)
        with self.lock(), self._explained("written"):
            current = self._read()
            if expected_version != (None if current is None else _version(current)):
                raise StoreConflictError(f"{self._path} was changed by another program meanwhile.")
            write_private_file(self._path, data)
        return _version(data)

    def delete(self) -> None:
        """Remove the file."""
        if not self._path.parent.is_dir():
            return
        with self.lock(), self._explained("removed"):
            self._path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._explained("locked"):
            make_private_folder(self._path.parent)
            try:
                self._filelock.acquire()
            except Timeout:
                raise StoreError(
                    f"{self._path} has been locked by another program for {LOCK_TIMEOUT:.0f} seconds.",
                    hint="End the other program if it hangs, then run the command again.",
                ) from None
        try:
            yield
        finally:
            self._filelock.release()

    def lock(self) -> AbstractContextManager[object]:
        """Among threads and processes, on the file beside it named ``….lock``."""
        return self._locked()

    def describe(self) -> str:
        """Where the record is, for people."""
        return str(self._path)

    def _read(self) -> bytes | None:
        with self._explained("read"):
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
                return file.read()

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = _REASONS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
            raise StoreError(
                f"{self._path} cannot be {done}: {reason}. What was stored before is unchanged.",
                hint="Make room or make it writable, then run the command again.",
            ) from None


_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file system does not allow it to grow",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
}


def _version(data: bytes) -> str:
    return sha256(data).hexdigest()
