"""The files of the metrics, which the workers of a server share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onplan.errors import ConfigurationError
from onplan.server.metrics import reserve_files


def test_the_files_have_their_room_before_they_are_used(tmp_path: Path) -> None:
    """A worker that writes to a file without room, on a disk that is full by then, would be killed."""
    reserve_files(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        f"{name}_{os.getpid()}.db" for name in ("counter", "gauge_livesum", "gauge_mostrecent", "histogram")
    ]
    for file in files:
        found = file.stat()
        assert 512 * found.st_blocks >= found.st_size > 100_000
    for missing in files[:3]:  # those that are there are of a process that has ended, and had the same id
        missing.unlink()
        reserve_files(tmp_path)
        assert sorted(tmp_path.iterdir()) == files


def test_without_room_it_is_said(tmp_path: Path) -> None:
    """Before anything is answered."""
    with pytest.raises(ConfigurationError, match="metrics cannot be kept"):
        reserve_files(tmp_path / "there is no such folder")
