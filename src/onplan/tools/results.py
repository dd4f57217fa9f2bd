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


def told(error: Exception) -> Content:
    """What the model is told of an exception: its class and message, without a traceback."""
    if isinstance(error, ToolError):
        return error.content
    message = str(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
