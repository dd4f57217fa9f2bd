"""What was typed at the prompt of a chat, kept for another day."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from onplan.cli.chat.typed_lines import TypedLines


def test_what_was_typed_comes_back(tmp_path: Path) -> None:
    """The newest first, with its lines, from a file that only its owner may read."""
    path = tmp_path / "folder" / "typed"
    for text in ("one", "two\nlines", "\U0001f426 \ud800"):
        TypedLines(path).store_string(text)

    assert list(TypedLines(path).load_history_strings()) == ["\U0001f426 ?", "two\nlines", "one"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or sys.platform == "win32"


def test_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    """As one that was cut off, or is of another program."""
    path = tmp_path / "typed"
    path.write_bytes(b'"one"\nnonsense\n7\n\xff\n"\xff"\n"two"\n"cut o')

    assert list(TypedLines(path).load_history_strings()) == ["two", "one"]


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Of more than two thousand lines the last thousand are kept."""
    path = tmp_path / "typed"
    path.write_text("".join(f'"{number}"\n' for number in range(2_001)))

    assert list(TypedLines(path).load_history_strings()) == [str(number) for number in range(2000, 1000, -1)]
    assert len(path.read_text().splitlines()) == 1_000


def test_a_file_that_cannot_be_used_is_no_error(tmp_path: Path) -> None:
    """The chat goes on without a history."""
    typed = TypedLines(tmp_path)
    typed.store_string("one")

    assert list(typed.load_history_strings()) == []
