"""What a framework's message has no place for, kept beside it as JSON, so that it goes back as it came.

The phase of a text and its annotations, sealed reasoning, calls of hosted tools: a backend wants them back
unchanged in the next turn, and finds the conversation in its cache only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError
from onplan.field_types import prepare
from onplan.integrations.call_arguments import Said, arguments_of
from onplan.types import ContentPart, HostedToolCall, Message, Refusal, Text, Thinking, ToolCall

KEY = "onplan"
"""Where a framework's message has a dict for extras, its parts stand under this name."""

ENCRYPTED = "encrypted"
"""Where a framework's thinking has a dict for extras, its sealed reasoning stands under this name."""

# No images and files: what is kept may come from another person, who could name a file of this machine.
KeptPart: TypeAlias = Text | Refusal | ToolCall | HostedToolCall | Thinking


prepare(list[KeptPart])


def kept(parts: Sequence[ContentPart]) -> list[dict[str, Any]]:
    """``parts`` as JSON values."""
    return list(map(as_json, parts))


def as_json(part: ContentPart) -> dict[str, Any]:
    """``part`` as a dict of JSON values, which DSPy looks for: a tuple is none of its."""
    fields: dict[str, Any] = msgspec.to_builtins(part)
    return fields if "annotations" not in fields else {**fields, "annotations": [*fields["annotations"]]}


def restored(value: object) -> list[ContentPart]:
    """The parts that ``kept`` wrote; none if ``value`` is nothing that it wrote."""
    if not isinstance(value, list):
        return []
    try:
        return Message.assistant(*msgspec.convert(value, list[KeptPart])).content
    except (msgspec.ValidationError, InvalidRequestError):
        return []


def is_plain(part: ContentPart) -> bool:
    """Whether nothing of ``part`` is lost where text is a string and arguments are a dict."""
    match part:
        case Text():
            return part == Text(part.text)
        case ToolCall(id=id_, name=name, arguments=arguments):
            return part == ToolCall(id_, name, arguments) and is_plainly_written(part)
        case _:
            return isinstance(part, Thinking | Refusal)


def is_plainly_written(call: ToolCall) -> bool:
    """Whether the text of its arguments is the one that ``written`` makes of them."""
    try:
        return call.arguments == Said(call.id, call.name, arguments_of(call.arguments)).text()
    except InvalidRequestError:  # nested more deeply than can be written
        return False
