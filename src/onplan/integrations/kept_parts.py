"""What a framework's message has no place for, kept beside it as JSON, so that it goes back as it came.

The phase of a text and its annotations, sealed reasoning, calls of hosted tools: a backend wants them back
unchanged in the next turn, and finds the conversation in its cache only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from onplan.errors import InvalidRequestError
from onplan.types import ContentPart, Message

KEY = "onplan"
"""Where a framework's message has a dict for extras, its parts stand under this name."""


def kept(parts: Sequence[ContentPart]) -> list[dict[str, Any]]:
    """``parts`` as JSON values."""
    values: list[dict[str, Any]] = msgspec.to_builtins(list(parts))
    return values


def restored(value: object) -> list[ContentPart] | None:
    """The parts that ``kept`` wrote; None if ``value`` is nothing that it wrote."""
    if not isinstance(value, list) or not value:
        return None
    try:
        return Message.assistant(*msgspec.convert(value, list[ContentPart])).content
    except (msgspec.ValidationError, InvalidRequestError):
        return None
