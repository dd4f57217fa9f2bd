"""What commands say to a person: on stderr, broken at words where that is a terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

import click

from onplan.config.environment import environment_variable

# A command in backticks stays on one line, so that it can be copied.
_WORD = re.compile(r"(?:[^\s`]*`[^`\n]*`)+[^\s`]*|\S+")


_program = "onplan"


def run_as(program: str) -> None:
    """Have commands in what is said begin with ``program``, under which the command line runs now."""
    global _program  # noqa: PLW0603 - a process is run under one name
    _program = program


def as_typed(text: str) -> str:
    """``text``, whose commands begin with the name under which the command line runs."""
    return text.replace("`onplan ", f"`{_program} ")


def say(text: str, *, label: str = "", indent: int = 0) -> None:
    """Print ``text`` on stderr.

    At a terminal, lines are broken at words. Lines that begin with a space are left as they are, because they
    hold an address or a command to copy.

    Args:
        text: one or more lines.
        label: stands before the first line, and may have a style of its own.
        indent: how many spaces stand before every other line.
    """
    width = width_of(sys.stderr)
    lines = []
    for paragraph in as_typed(text).split("\n"):
        if width is None or paragraph.startswith(" "):
            lines.append(paragraph)
        else:
            lines.extend(broken(paragraph, max(width - indent, 20)))
    first, *rest = lines
    before = label or " " * indent
    out = "\n".join([f"{before}{first}", *(f"{' ' * indent if line else ''}{line}" for line in rest)])
    click.echo(out, err=True, color=colour())


def broken(paragraph: str, width: int) -> list[str]:
    """``paragraph`` in lines of at most ``width`` columns, but for words and commands that are longer."""
    lines, line = [], ""
    for word in _WORD.findall(paragraph):
        if line and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes: a Chinese character two, a combining accent none."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def padded(text: str, width: int) -> str:
    """``text`` with spaces after it, up to ``width`` columns."""
    return text + " " * (width - columns(text))


def colour() -> bool | None:
    """The value for click's ``color``: False where ``NO_COLOR`` is set, else None (only at a terminal)."""
    return False if environment_variable("NO_COLOR") is not None else None


def width_of(stream: TextIO) -> int | None:
    """The width of the terminal that ``stream`` is, or None if it is none or does not say."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # not a terminal; closed, or not a file
        return None
    return columns or None
