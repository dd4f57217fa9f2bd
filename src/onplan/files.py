"""Files that only their owner may read, replaced in one step. Knows nothing of what is in them."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

PERMISSIONS = sys.platform != "win32"  # there the folder's access list protects instead of file modes


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` and the folders above it that are missing, each for its owner alone."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private_file(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` (0600 from the start), make it durable, and rename it over ``path``.

    A symbolic link is written through. Raises OSError; what was there before is then unchanged.
    """
    target = Path(os.path.realpath(path))
    make_private_folder(target.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # 0600, O_EXCL
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if PERMISSIONS:  # the rename itself must survive a power cut
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
