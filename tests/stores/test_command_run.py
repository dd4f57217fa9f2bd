"""What a helper program is given: all of it, whatever its size and whatever becomes of us."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE

import pytest

from onplan.secret import SecretBytes
from onplan.stores.command_run import Helper, _filled_pipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")


def test_a_small_record_is_in_the_pipe_before_the_helper_starts() -> None:
    """Then a helper that is started gets it whole, even if this process is killed; and no more than it."""
    with ExitStack() as stack:
        reading = _filled_pipe(SecretBytes(b"token" * 100), stack)
        assert reading != PIPE
        assert (os.read(reading, 10_000), os.read(reading, 10_000)) == (b"token" * 100, b"")


def test_what_no_pipe_holds_is_written_as_it_is_read() -> None:
    """A pipe that took the beginning only is not handed over: the helper would store half a record."""
    with ExitStack() as stack:
        assert _filled_pipe(SecretBytes(bytes(3_000_000)), stack) == PIPE


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 3_000_000])
def test_a_record_of_any_size_arrives_whole(tmp_path: Path, size: int) -> None:
    """Up to what a pipe holds, and beyond it."""
    helper = Helper(["/bin/sh", "-c", f"cat >'{tmp_path}/kept'"], tmp_path / "writing")
    helper.write("store", SecretBytes(b"x" * size))

    assert (tmp_path / "kept").read_bytes() == b"x" * size
