"""Why a file cannot be used, in words, and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from onplan.config.file_errors import NO_LOCKS, UnusableFileError, explained, reason_of
from onplan.errors import StoreError

OTHERWISE = "Make room or make it writable, then run the command again."
WRITABLE = "Make /a/b and its folder writable, or keep it in another folder: `--store file:PATH`."
ELSEWHERE = "Name a file in another folder: `--store file:PATH`."
A_FILE_ABOVE = "one of the folders in its path is a file"
LOCAL = "Keep it on a local disk, `--store file:PATH`, or in the `--store keyring:`."


@pytest.mark.parametrize(
    ("number", "reason", "hint"),
    [
        (errno.ENOSPC, "the disk is full", OTHERWISE),
        (errno.EDQUOT, "the disk quota is used up", OTHERWISE),
        (errno.EFBIG, "the file system does not allow it to grow", OTHERWISE),
        (errno.EROFS, "the file system is read-only", WRITABLE),
        (errno.EACCES, "permission denied", WRITABLE),
        (errno.EISDIR, "it is a folder", "Name a file in it, such as `--store file:/a/b/credentials.json`."),
        (errno.ENOTDIR, A_FILE_ABOVE, ELSEWHERE),
        (errno.EEXIST, A_FILE_ABOVE, ELSEWHERE),
        (errno.ELOOP, "its symbolic links lead in a circle", ELSEWHERE),
        (errno.ENXIO, "it is a socket and not a file", ELSEWHERE),
        (
            errno.EBUSY,
            "it is mounted by itself, so it cannot be replaced",
            "Mount the folder that /a/b is in, instead of the file by itself.",
        ),
        (errno.ETXTBSY, "another program has it open", OTHERWISE),
        *(
            (
                number,
                "its file system has no locks, so two programs could use the same refresh token",
                LOCAL,
            )
            for number in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
        ),
        (errno.EIO, os.strerror(errno.EIO).lower(), OTHERWISE),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)
def test_each_failure_has_its_words(number: int, reason: str, hint: str) -> None:
    """The reason, what it means for what was stored, and what helps."""
    with pytest.raises(StoreError) as caught, explained("/a/b", "read"):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"/a/b cannot be read: {reason}. What was stored before is unchanged."
    assert caught.value.hint == hint
    assert caught.value.__cause__ is None


def test_a_failure_may_bring_its_own_hint() -> None:
    """The file stands in it where it says so; its reason is not made lower case."""
    error = UnusableFileError(errno.EACCES, "others may read It", "Run `chmod 600 {}`.")
    assert reason_of(error) == "others may read It"
    with pytest.raises(StoreError) as caught, explained("/a/b", "saved"):
        raise error
    assert caught.value.message.startswith("/a/b cannot be saved: others may read It. ")
    assert caught.value.hint == "Run `chmod 600 /a/b`."


def test_a_failure_without_words_is_told_by_its_class() -> None:
    """There is always a reason."""
    assert reason_of(OSError()) == "oserror"
    assert reason_of(TimeoutError()) == "timeouterror"
    assert reason_of(OSError(errno.EIO, "Input/output error")) == "input/output error"


def test_other_errors_pass() -> None:
    """Only what the system says of a file is explained; what works is left alone."""
    with explained("/a/b", "read"):
        pass
    with pytest.raises(KeyError), explained("/a/b", "read"):
        raise KeyError("x")


def test_all_ways_in_which_locks_are_missing_are_known() -> None:
    """Stores look for them by this list."""
    assert set(NO_LOCKS) == {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
