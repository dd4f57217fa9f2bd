"""What `onplan ask` asks: the prompt, stdin, images, files and a schema."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from onplan.attachments import is_url
from onplan.cli.talk import say
from onplan.types import ContentPart, File, Image

_PATIENCE = 2.0  # seconds in which a pipe that has nothing for a prompt should begin


def read_prompt(prompt: str | None, *, wait: bool) -> str:
    """The prompt; what a pipe or file has on stdin stands below it, or is the prompt.

    A pipe that stays open and silent, as services and shells hand on, does not hold a prompt up.

    Args:
        prompt: as given; ``-`` is stdin alone.
        wait: whether to wait for what stdin has, however long it takes.

    Raises UsageError if there is nothing to ask.
    """
    if prompt is None or prompt == "-":
        if prompt is None and (sys.stdin is None or sys.stdin.isatty()):
            raise click.UsageError('Give a prompt: onplan ask "…", or pipe one in.')
        parts = [_read_stdin()]
    else:
        parts = [_utf8(prompt), _read_stdin() if wait or _has_input() else ""]
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise click.UsageError("The prompt is empty.")
    return text


def read_system(text: str | None) -> str | None:
    """The instructions; None if they are empty."""
    return _utf8(text) if text else None


def attachments(images: Iterable[str], files: Iterable[str]) -> list[ContentPart]:
    """Images and files by their paths and addresses."""
    return [
        *(Image(url=name) if is_url(name) else Image(path=name) for name in images),
        *(File(url=name) if is_url(name) else File(path=name) for name in files),
    ]


def read_schema(name: str | None) -> dict[str, Any] | None:
    """The JSON schema in the file ``name``. Raises BadParameter."""
    import msgspec

    if name is None:
        return None
    try:
        return msgspec.json.decode(Path(name).read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise click.BadParameter(f"{name} cannot be read: {error.strerror}.", param_hint="--schema") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.BadParameter(f"{name} is not a JSON schema: {error}.", param_hint="--schema") from None


def _read_stdin() -> str:
    data: bytes | None = (
        sys.stdin.buffer.read() if sys.stdin else None
    )  # None, too, of a pipe that never blocks
    return _text(data or b"").rstrip("\r\n")


def _has_input() -> bool:
    """Whether stdin is a file, or a pipe in which something arrives before long, if only its end."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # it is closed
        return False
    if stat.S_ISREG(mode):
        return True
    if sys.platform == "win32" or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    import select

    if select.select([sys.stdin], [], [], _PATIENCE)[0]:
        return True
    say("Nothing came from stdin, so the prompt is sent alone. `onplan ask PROMPT -` waits for it.")
    return False


def _text(data: bytes) -> str:
    """The text of ``data`` from a pipe. PowerShell begins it with a byte order mark, or writes UTF-16."""
    from onplan.config.file_reading import as_utf8

    with suppress(UnicodeError):
        data = as_utf8(data)
    return data.decode("utf-8", "replace")


def _utf8(argument: str) -> str:
    """The argument decoded as UTF-8, as stdin is, whatever the locale's encoding."""
    return os.fsencode(argument).decode("utf-8", "replace")
