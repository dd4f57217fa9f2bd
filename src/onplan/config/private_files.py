"""Writes files that only their owner may read, so that a crash leaves the old or the new content."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from onplan.config.file_errors import MOUNT_HINT, UnusableFileError
from onplan.config.file_reading import read_file, require_regular
from onplan.errors import ConfigurationError

_LOCK_SECONDS = 10.0
PERMISSIONS = sys.platform != "win32"  # on Windows the folder's access list protects, not the file's mode


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` and the folders above it that are missing, each with mode 0700."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def locked_for_change(path: Path, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of ``path``, a file in a private folder that every command changes in an instant.

    Raises ConfigurationError if another program holds it for ``seconds``, OSError if there can be no lock.
    """
    from filelock import FileLock, Timeout

    make_private_folder(path.parent)
    lock = FileLock(f"{path}.lock", timeout=seconds, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigurationError(
            f"{path} has been locked by another program for {seconds:.0f} seconds.",
            hint="Wait until that program has ended, then run the command again.",
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_private_file(
    path: Path, data: bytes, prepared: Path | None = None, *, unreadable: bool = False
) -> None:
    """Replace the content of ``path``: write a file beside it (0600 from the start), sync it, and rename it.

    A symbolic link is followed. A file that is mounted by itself, as into a container, cannot be replaced and
    is overwritten; so is a file with several hard links. A device, FIFO or socket is refused.

    Args:
        path: the file.
        data: its new content.
        prepared: a file of ``reserve_private_file`` to write into.
        unreadable: refuse a file system that cannot keep the file from other users.

    Raises:
        OSError: it was not written; what was there before is unchanged.
    """
    target = Path(os.path.realpath(path))
    _require_replaceable(target)
    make_private_folder(target.parent)
    temporary = prepared or _make_temporary(target)
    try:
        with temporary.open("r+b") as file:
            if unreadable:
                _require_unreadable(os.fstat(file.fileno()).st_mode)
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        if has_other_names(target):
            _overwrite(target, data)
            temporary.unlink()
        else:
            _replace(temporary, target, data)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(target.parent)


def _replace(temporary: Path, target: Path, data: bytes) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _overwrite(target, data)
        temporary.unlink()


def has_other_names(target: Path) -> bool:
    """Whether it has several hard links. They must keep naming one file, so it cannot be replaced."""
    with contextlib.suppress(OSError):
        found = target.stat()
        return stat.S_ISREG(found.st_mode) and found.st_nlink > 1
    return False


def _require_replaceable(target: Path) -> None:
    """Raise UnusableFileError for a device, FIFO or socket, which other programs use.

    Root could otherwise replace even ``/dev/null``.
    """
    with contextlib.suppress(FileNotFoundError):
        require_regular(target.stat(), or_null=False)


def _overwrite(target: Path, data: bytes) -> None:
    """Write ``data`` into the file itself, so that a reader or a kill sees the old or the new content.

    The file is first made large enough, with line ends, which mean nothing in JSON and text.
    """
    descriptor = os.open(target, os.O_RDWR)
    try:
        found = os.fstat(descriptor)
        if found.st_nlink == 0:  # deleted on the host, so no other program would see what is written here
            reason = "it is mounted by itself, and was replaced where it is mounted from"
            raise UnusableFileError(errno.ESTALE, reason, MOUNT_HINT)
        before = found.st_size
        try:
            os.lseek(descriptor, 0, os.SEEK_END)
            _write_all(descriptor, b"\n" * (len(data) - before))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        os.lseek(descriptor, 0, os.SEEK_SET)
        _write_all(descriptor, data + b"\n" * (before - len(data)))
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _require_unreadable(mode: int) -> None:
    if PERMISSIONS and mode & 0o077:
        raise UnusableFileError(
            errno.EPERM,
            f"its file system keeps no modes (every file there has mode {mode & 0o777:o}), so other users of "
            "this machine could read it",
            "Keep it on another file system, `--store file:PATH`, or in the keyring: `--store keyring:`.",
        )


def keeps_modes(folder: Path) -> bool:
    """Whether a file in ``folder`` can be made unreadable to other users; True if that cannot be tried."""
    with contextlib.suppress(OSError):
        temporary = _make_temporary(folder / "modes")
        try:
            return not temporary.stat().st_mode & 0o077
        finally:
            temporary.unlink()
    return True


def reserve_private_file(path: Path, size: int) -> Path:
    """Make a file beside ``path`` that takes up ``size`` bytes. Raises OSError if there is no room."""
    temporary = _make_temporary(Path(os.path.realpath(path)))
    try:
        with temporary.open("r+b") as file:
            file.write(bytes(size))  # not posix_fallocate, which not every system has
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


class PrivateFile:
    """A private file, for the program that holds its lock.

    Args:
        path: of the file, or of a symbolic link to it, which may change.
        unreadable: as for ``write_private_file``.
    """

    def __init__(self, path: Path, *, unreadable: bool = False) -> None:
        self.path = path
        self._unreadable = unreadable
        self._reserved: Path | None = None

    def target(self) -> Path:
        """The path of the file, with symbolic links resolved."""
        return Path(os.path.realpath(self.path))

    def read(self) -> bytes | None:
        """The content, or None if there is no file. Raises OSError."""
        try:
            return read_file(self.path)
        except FileNotFoundError:
            return None

    def write(self, data: bytes, room: int = 0) -> None:
        """Replace the content. ``room``: bytes to reserve for the next write, in case the disk fills up.

        Raises OSError; no temporary file is left behind then.
        """
        reserved, self._reserved = self._reserved, None
        prepared = reserved if reserved and reserved.exists() else None
        remove_leftovers(self.path, keep=prepared)
        if room:
            self._reserved = reserve_private_file(self.path, room)
        try:
            write_private_file(self.path, data, prepared, unreadable=self._unreadable)
        except BaseException:
            if self._reserved:
                with contextlib.suppress(OSError):
                    self._reserved.unlink()
            self._reserved = None
            raise

    def remove(self, instead: bytes) -> None:
        """Remove the file, and temporary files of writers that were killed. Raises OSError.

        ``instead`` is written into a file that is mounted by itself, which cannot be removed, and into one
        with several hard links.
        """
        self._reserved = None
        target = self.target()
        _require_replaceable(target)
        remove_leftovers(target)
        if has_other_names(target):
            _overwrite(target, instead)
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            _overwrite(target, instead)
        sync_folder(target.parent)


def _make_temporary(target: Path) -> Path:
    import tempfile  # loads all compressors

    descriptor, name = tempfile.mkstemp(prefix=_prefix(target), dir=target.parent)  # 0600, O_EXCL
    os.close(descriptor)
    return Path(name)


def _prefix(target: Path) -> str:
    return f".{target.name}.~"


def remove_leftovers(path: Path, keep: Path | None = None) -> None:
    """Remove temporary files that killed writers left beside ``path``. The caller holds its lock."""
    with contextlib.suppress(OSError):
        for entry in leftovers(path):
            if entry != keep:
                entry.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """The temporary files beside ``path``, of writers that were killed or are at work. Raises OSError."""
    target = Path(os.path.realpath(path))
    return [entry for entry in target.parent.iterdir() if entry.name.startswith(_prefix(target))]


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal survive a power failure, where the system can.

    The rename has been done by then, so it is no error if the folder cannot be opened or synced.
    """
    if PERMISSIONS:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
