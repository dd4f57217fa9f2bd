"""What a framework's message has no place for, kept beside it as JSON, so that it goes back as it came.

The phase of a text and its annotations, sealed reasoning, calls of hosted tools: a backend wants them back
unchanged in the next turn, and finds the conversation in its cache only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError
from onplan.request.history import INVALID_ARGUMENTS
from onplan.types import ContentPart, HostedToolCall, Message, Refusal, Text, Thinking, ToolCall

KEY = "onplan"
"""Where a framework's message has a dict for extras, its parts stand under this name."""

ENCRYPTED = "encrypted"
"""Where a framework's thinking has a dict for extras, its sealed reasoning stands under this name."""

# No images and files: what is kept may come from another person, who could name a file of this machine.
KeptPart: TypeAlias = Text | Refusal | ToolCall | HostedToolCall | Thinking


def kept(parts: Sequence[ContentPart]) -> list[dict[str, Any]]:
    """``parts`` as JSON values."""
    values: list[dict[str, Any]] = msgspec.to_builtins(list(parts))
    return values


def restored(value: object) -> list[ContentPart] | None:
    """The parts that ``kept`` wrote; None if ``value`` is nothing that it wrote."""
    if not isinstance(value, list) or not value:
        return None
    try:
        return Message.assistant(*msgspec.convert(value, list[KeptPart])).content
    except (msgspec.ValidationError, InvalidRequestError):
        return None


def is_plain(part: ContentPart) -> bool:
    """Whether nothing of ``part`` is lost where text is a string and arguments are a dict."""
    match part:
        case Text():
            return part == Text(part.text)
        case ToolCall():
            return part == ToolCall(part.id, part.name, written(arguments_of(part.arguments)))
        case _:
            return isinstance(part, Thinking | Refusal)


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments of a call as a dict; what is no JSON object is put into one."""
    try:
        read = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        read = None
    return read if isinstance(read, dict) else {INVALID_ARGUMENTS: text}


def written(arguments: object) -> str:
    """The arguments of a call as JSON. Raises InvalidRequestError if they cannot be."""
    try:
        return msgspec.json.encode(arguments).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise InvalidRequestError(
            "The arguments of a tool call are not JSON values.",
            hint="Give the call as it came in an answer.",
        ) from None
