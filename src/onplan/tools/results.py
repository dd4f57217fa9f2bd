"""What the model is told when a function fails."""

from __future__ import annotations

from typing import TypeAlias

from onplan.types import File, Image, Text

Content: TypeAlias = str | list[Text | Image | File]

_LONGEST = 2_000  # characters


class ToolError(Exception):
    """Raised by a function to tell the model that it failed: just this text, or these parts.

    Any other exception is told with the name of its class before its message.
    """

    def __init__(self, content: Content) -> None:
        parts = [Text(content)] if isinstance(content, str) else content
        super().__init__("".join(part.text for part in parts if isinstance(part, Text)))
        self.content = content


def sendable(content: object) -> object:
    r"""``content`` in which half a character is spelled out, as ``\udcff``: names of files have some."""
    if isinstance(content, str):
        return _spelled_out(content)
    if isinstance(content, list):
        return [Text(_spelled_out(part.text)) if isinstance(part, Text) else part for part in content]
    return content


def _spelled_out(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def told(error: Exception) -> Content:
    """What the model is told of an exception: its class and message, without a traceback."""
    if isinstance(error, ToolError):
        return error.content
    message = str(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
