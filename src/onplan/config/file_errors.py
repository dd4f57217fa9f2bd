"""Explains an OSError of a file to a person: why it cannot be used, and what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from onplan.errors import StoreError

# How flock(2) fails where a file system has no locks: some FUSE file systems, NFS without its lock service.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

MOUNT_HINT = "Mount the folder that {} is in, instead of the file by itself."


class UnusableFileError(OSError):
    """A file that cannot be used, with a hint.

    Attributes:
        hint: what to do; ``{}`` in it is replaced by the file.
    """

    def __init__(self, number: int, reason: str, hint: str) -> None:
        super().__init__(number, reason)
        self.hint = hint


@contextlib.contextmanager
def explained(subject: str, done: str) -> Iterator[None]:
    """Turn an OSError into a StoreError: "SUBJECT cannot be DONE", such as "read", with the reason."""
    try:
        yield
    except OSError as error:
        hint = getattr(error, "hint", None) or _HINTS.get(error.errno or 0, _OTHERWISE)
        raise StoreError(
            f"{subject} cannot be {done}: {reason_of(error)}. What was stored before is unchanged.",
            hint=hint.format(subject),
        ) from None


def reason_of(error: OSError) -> str:
    """Why a file cannot be used, as the end of a sentence."""
    if isinstance(error, UnusableFileError):
        return str(error.strerror)
    return _REASONS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()


_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file system does not allow it to grow",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "one of the folders in its path is a file",
    errno.EEXIST: "one of the folders in its path is a file",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENXIO: "it is a socket and not a file",
    errno.EBUSY: "it is mounted by itself, so it cannot be replaced",
    errno.ETXTBSY: "another program has it open",
    **dict.fromkeys(
        NO_LOCKS, "its file system has no locks, so two programs could use the same refresh token"
    ),
}
_OTHERWISE = "Make room or make it writable, then run the command again."
_NOT_WRITABLE = "Make {} and its folder writable, or keep it in another folder: `--store file:PATH`."
_OTHER_FOLDER = "Name a file in another folder: `--store file:PATH`."
_HINTS = {
    errno.EISDIR: "Name a file in it, such as `--store file:{}/credentials.json`.",
    errno.ENOTDIR: _OTHER_FOLDER,
    errno.EEXIST: _OTHER_FOLDER,
    errno.ELOOP: _OTHER_FOLDER,
    errno.ENXIO: _OTHER_FOLDER,
    errno.EROFS: _NOT_WRITABLE,
    errno.EACCES: _NOT_WRITABLE,
    errno.EBUSY: MOUNT_HINT,
    **dict.fromkeys(NO_LOCKS, "Keep it on a local disk, `--store file:PATH`, or in the `--store keyring:`."),
}
