"""The history of the prompt: what was typed, kept in a private file for later chats."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from prompt_toolkit.history import History

from onplan.config.file_reading import read_file
from onplan.config.private_files import make_private_folder, write_private_file
from onplan.flow import JSON_ERRORS

_MOST = 1_000


class TypedLines(History):
    """The history, in a file of JSON lines. If it cannot be read or written, the chat goes on without it.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """What was typed, the newest first."""
        lines = self._read()
        if len(lines) > 2 * _MOST:
            lines = lines[-_MOST:]
            with suppress(OSError):
                write_private_file(self._path, b"".join(map(_line, lines)))
        return reversed(lines)

    def _read(self) -> list[str]:
        lines = []
        with suppress(OSError):
            for line in read_file(self._path).splitlines():
                with suppress(*JSON_ERRORS):
                    lines.append(msgspec.json.decode(line, type=str))
        return lines

    def store_string(self, string: str) -> None:
        """Add what was typed."""
        with suppress(OSError):
            make_private_folder(self._path.parent)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(descriptor, "ab") as file:  # noqa: PTH123 - private from the start
                file.write(_line(string))


def _line(text: str) -> bytes:
    return msgspec.json.encode(text.encode("utf-8", "replace").decode()) + b"\n"
