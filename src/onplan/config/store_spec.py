"""Reads store specs, ``scheme:location``: the default one, and those that name a path or a program."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from onplan.errors import ConfigurationError


def default_store(home: Path, profile: str) -> str:
    """The store spec of a profile that names none."""
    return f"file:{credentials_folder(home) / profile}.json"


def credentials_folder(home: Path) -> Path:
    """The folder of the default stores."""
    return home / "credentials"


def spec_of_file(path: os.PathLike[str]) -> str:
    """The store spec of the file at ``path``."""
    return f"file:{os.fspath(path)}"


def rooted_spec(spec: str) -> str:
    """``spec`` with an absolute path, so that it names the same store from any working folder."""
    scheme, _, location = spec.partition(":")
    if scheme == "file":
        return f"file:{expanded(location).absolute()}"
    if scheme == "command" and os.name != "nt":
        return f"command:{shlex.join(command_words(location))}"
    return spec


def expanded(path: str) -> Path:
    """``path`` with its tilde replaced. Raises ConfigurationError if there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{path} is in a home folder that does not exist.",
            hint="Write the whole path, such as `/path/to/file`.",
        ) from None


def command_words(location: str) -> list[str]:
    """The program of a ``command:`` store and its arguments. Raises ConfigurationError.

    Words and quotes are as in a shell, without its other features; on Windows a backslash is part of a path.
    A program that is named with its folder is not looked up in ``PATH``.
    """
    words = shlex.shlex(location, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if os.name == "nt":
        words.escape = ""
    try:
        helper, *arguments = words
        expanded = Path(helper).expanduser()
    except (ValueError, RuntimeError):
        raise ConfigurationError(
            "The command: store needs a program and its arguments.",
            hint="Write `command:HELPER ARGUMENTS…`, with the quotes closed.",
        ) from None
    if os.path.basename(helper) != helper:  # noqa: PTH119 - Path would drop the "./"
        helper = str(expanded.absolute())
    return [helper, *arguments]
