"""Files that only their owner may read, replaced in one step. Knows nothing of what is in them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from onplan.errors import StoreError

PERMISSIONS = sys.platform != "win32"  # there the folder's access list protects instead of file modes


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` and the folders above it that are missing, each for its owner alone."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private_file(path: Path, data: bytes, prepared: Path | None = None) -> None:
    """Write ``data`` beside ``path`` (0600 from the start), make it durable, and rename it over ``path``.

    A symbolic link is written through. ``prepared`` is a file of ``reserve_private_file`` to write into.
    Raises OSError; what was there before is then unchanged.
    """
    target = Path(os.path.realpath(path))
    make_private_folder(target.parent)
    temporary = prepared or _make_temporary(target)
    try:
        with temporary.open("r+b") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(target.parent)


def reserve_private_file(path: Path, size: int) -> Path:
    """Make a file beside ``path`` that takes up ``size`` bytes. Raises OSError if there is no room."""
    temporary = _make_temporary(Path(os.path.realpath(path)))
    try:
        with temporary.open("r+b") as file:
            file.write(bytes(size))  # zeros on every system; posix_fallocate is not everywhere
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _make_temporary(target: Path) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=_prefix(target), dir=target.parent)  # 0600, O_EXCL
    os.close(descriptor)
    return Path(name)


def _prefix(target: Path) -> str:
    return f".{target.name}.~"


def remove_leftovers(path: Path, keep: Path | None = None) -> None:
    """Remove what writers that were killed left beside ``path``. Only for the holder of its lock."""
    with contextlib.suppress(OSError):
        for entry in leftovers(path):
            if entry != keep:
                entry.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """What is beside ``path`` of writers that were killed, or that are at work. Raises OSError."""
    target = Path(os.path.realpath(path))
    return [entry for entry in target.parent.iterdir() if entry.name.startswith(_prefix(target))]


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal survive a power cut, where the system can.

    It has happened already: a folder that cannot be read, or not be synchronised, is no failure of it.
    """
    if PERMISSIONS:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def explained(subject: str, done: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what could not be ``done`` to ``subject``."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
        hint = _HINTS.get(error.errno or 0, "Make room or make it writable, then run the command again.")
        raise StoreError(
            f"{subject} cannot be {done}: {reason}. What was stored before is unchanged.",
            hint=hint.format(subject),
        ) from None


_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file system does not allow it to grow",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "one of the folders in its path is a file",
    errno.EEXIST: "one of the folders in its path is a file",
}
_HINTS = {
    errno.EISDIR: "Name a file in it, such as `--store file:{}/credentials.json`.",
    errno.ENOTDIR: "Name a file in another folder: `--store file:PATH`.",
    errno.EEXIST: "Name a file in another folder: `--store file:PATH`.",
}
