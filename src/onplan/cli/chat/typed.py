"""What a person typed at the prompt: a message, a command or the paths of files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

# name: (argument, what it does)
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "image": ("PATH|URL", "attach an image to the next message"),
        "file": ("PATH|URL", "attach a file to the next message"),
        "detach": ("", "remove what was attached"),
        "model": ("[ID]", "use another model; without ID, list them"),
        "effort": ("[LEVEL]", "set the reasoning effort; without LEVEL, list them"),
        "usage": ("", "show what the plan has left"),
        "undo": ("", "take back the last message and its answer"),
        "compact": ("", "make room in a conversation that has become long"),
        "new": ("", "begin another conversation"),
        "save": ("PATH", "save a copy of the conversation"),
        "load": ("PATH", "go on with a saved conversation"),
        "help": ("", "show this"),
        "quit": ("", "end; so does Ctrl-D"),
    }
)
_ALIASES = {"exit": "quit", "?": "help"}


@dataclass(frozen=True, slots=True)
class Said:
    """A message."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command. Its name need not be in ``COMMANDS``."""

    name: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Paths of existing files, as terminals paste them when files are dragged there."""

    paths: tuple[str, ...]


Typed: TypeAlias = Said | Command | Dropped


def read(text: str, is_file: Callable[[str], bool]) -> Typed:
    """What ``text`` is. A command has one line; a message may begin with a slash if it is typed twice."""
    stripped = text.strip()
    if stripped.startswith("//"):
        return Said(stripped[1:])
    if not stripped.startswith("/") or "\n" in stripped:
        return dropped(stripped, is_file) or Said(text.strip("\n"))
    word, _, rest = stripped[1:].partition(" ")
    name = _ALIASES.get(word, word)
    if name in COMMANDS:
        return Command(name, rest.strip())
    if found := dropped(stripped, is_file):
        return found
    if "/" in word:
        return Said(text.strip("\n"))
    return Command(name, rest.strip())


def dropped(text: str, is_file: Callable[[str], bool]) -> Dropped | None:
    """The paths that ``text`` consists of, if each of them is absolute and a file."""
    if len(text) > 10_000 or not text.startswith(("/", "~", "'", '"', "file://")):
        return None
    for words in (_words(text), [text]):
        paths = [_path(word) for word in words]
        if paths and all(path.startswith(("/", "~")) and is_file(path) for path in paths):
            return Dropped(tuple(paths))
    return None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quotation mark is missing
        return []


def _path(word: str) -> str:
    return unquote(urlsplit(word).path) if word.startswith("file://") else word


def unquoted(argument: str) -> str:
    """The path or address that an argument names, without the marks that protect its spaces."""
    words = _words(argument)
    return _path(words[0]) if len(words) == 1 else _path(argument)
