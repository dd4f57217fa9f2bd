"""Reads regular files of a limited size, and text in any Unicode encoding."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from onplan.config.file_errors import UnusableFileError

# In bytes: far more than any file that onplan keeps or that a person writes for it.
LARGEST = 16 * 1024 * 1024


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file to read it.

    Raises OSError, and UnusableFileError for a FIFO, socket or device: reading one could wait for another
    program, or never end. The null device counts as an empty file.
    """
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    """The descriptor of a regular file.

    ``open`` takes it over without a step in between. Ctrl-C there would have it closed twice, and the error
    of the second time told instead.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        require_regular(os.fstat(descriptor), or_null=True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: str | Path, largest: int = LARGEST) -> bytes:
    """The content of a regular file of at most ``largest`` bytes. Raises OSError, as ``open_file``."""
    with open_file(path) as file:
        return read_open_file(file, largest)


def read_open_file(file: BinaryIO, largest: int = LARGEST) -> bytes:
    """The content of ``file``, at most ``largest`` bytes. Raises OSError."""
    is_larger = os.fstat(file.fileno()).st_size > largest
    data = b"" if is_larger else file.read(largest + 1)  # the file may be growing
    if is_larger or len(data) > largest:
        raise UnusableFileError(
            errno.EINVAL, f"it is larger than {largest >> 20} MiB", "Check that {} is the right file."
        )
    return data


_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a named pipe and not a file"),
    (stat.S_ISSOCK, "it is a socket and not a file"),
)


def require_regular(found: os.stat_result, *, or_null: bool) -> None:
    """Raise OSError if ``found`` is not a regular file; with ``or_null`` the null device is accepted too."""
    if stat.S_ISREG(found.st_mode):
        return
    null = os.stat(os.devnull).st_rdev  # noqa: PTH116 - no Path here
    if or_null and stat.S_ISCHR(found.st_mode) and found.st_rdev == null:
        return
    kind = next((name for matches, name in _KINDS if matches(found.st_mode)), "it is a device and not a file")
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, kind)
    raise UnusableFileError(errno.EINVAL, kind, "Replace {} by a regular file.")


# UTF-32 before UTF-16: the mark of UTF-32-LE begins with that of UTF-16-LE.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def as_utf8(data: bytes) -> bytes:
    """``data``, text in UTF-8, UTF-16 or UTF-32, as UTF-8 without a byte order mark.

    Windows' editors and PowerShell write UTF-16 and byte order marks. Without a mark, UTF-16 is recognised by
    a zero byte in the first character, which is ASCII in every file that is read here (RFC 4627 §3). Anything
    else is returned as it is.

    Raises:
        UnicodeError: the text is not valid in the encoding that its mark names.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = data[len(mark) :]
            return text if encoding == "utf-8" else text.decode(encoding).encode()
    zeros = [byte == 0 for byte in data[:2]]
    if zeros == [False, True] and data[2:4] != b"\0\0":
        return data.decode("utf-16-le").encode()
    if zeros == [True, False]:
        return data.decode("utf-16-be").encode()
    return data
