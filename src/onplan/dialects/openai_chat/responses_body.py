"""Reads a body of the Responses API that came in the place of a Chat Completions request.

Cursor posts such bodies to ``/v1/chat/completions`` and reads the answer as a chat completion (CLIProxyAPI
issues 658 and 659, 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onplan.dialects.json_fields import decoded, elements_of, require_few
from onplan.dialects.openai_errors import ParameterError
from onplan.errors import InvalidRequestError
from onplan.types import Message
from onplan.types.dicts import read_messages

_TEXT = msgspec.json.Decoder(str)
_INPUT: msgspec.json.Decoder[str | list[dict[str, Any]]] = msgspec.json.Decoder(str | list[dict[str, Any]])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_input(raw: msgspec.Raw, instructions: msgspec.Raw | None) -> list[Message]:
    """The conversation that ``input`` is, after ``instructions``. Raises ParameterError."""
    said = decoded(raw, _INPUT, "input")
    if not isinstance(said, str):
        require_few(len(said), "input")
        require_few(sum(1 + elements_of(item.values()) for item in said), "input")
    items = said if isinstance(said, str) else [_known_fields(item) for item in said]
    first = [Message.developer(decoded(instructions, _TEXT, "instructions"))] if instructions else []
    if not items:
        raise ParameterError("input is empty.", param="input", code="missing_required_parameter")
    try:
        return [*first, *read_messages(items)]
    except InvalidRequestError as error:  # it names the place as if this were `messages`
        message = error.message.replace("messages", "input", 1)
        raise ParameterError(message, param=message.partition(" ")[0]) from None


# What is read of an item by its type; whatever else clients add to it changes nothing.
_ITEM_FIELDS: Mapping[object, tuple[str, ...]] = {
    "message": ("type", "role", "content", "phase"),
    "function_call": ("type", "call_id", "name", "arguments", "namespace"),
    "custom_tool_call": ("type", "call_id", "name", "input", "namespace"),
    "function_call_output": ("type", "call_id", "output"),
    "custom_tool_call_output": ("type", "call_id", "output"),
    "reasoning": ("type", "summary", "content", "encrypted_content"),
}
_PART_FIELDS = (
    *("type", "text", "refusal", "annotations", "image_url", "detail"),
    *("file", "file_data", "file_url", "filename"),
)


def _known_fields(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type") or "message"
    fields = _ITEM_FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        return item
    known = {name: item[name] for name in fields if name in item}
    for name in ("content", "output"):
        if isinstance(parts := known.get(name), list):
            known[name] = [_known_in_part(part) for part in parts]
    return known


def _known_in_part(part: Any) -> Any:
    return {name: part[name] for name in _PART_FIELDS if name in part} if isinstance(part, dict) else part


# Fields that are said otherwise in Chat Completions, and those inside of others.
_RENAMED: Mapping[str, str] = {"max_output_tokens": "max_completion_tokens"}
_INNER: Mapping[tuple[str, str], str] = {
    ("reasoning", "effort"): "reasoning_effort",
    ("reasoning", "summary"): "reasoning_summary",
    ("text", "format"): "response_format",
    ("text", "verbosity"): "verbosity",
}
CLIENT_NAMES: Mapping[str, str] = {
    **{name: outer for outer, name in _RENAMED.items()},
    **{name: f"{outer}.{inner}" for (outer, inner), name in _INNER.items()},
}
"""What a client of the Responses API calls these fields of Chat Completions."""

# Fields that this API does without: what they ask for happens anyway, or cannot be seen in the answer.
_IDLE = frozenset(
    ("input", "instructions", "messages", "include", "store", "truncation", "reasoning", "text")
)
_REFUSED = frozenset(("previous_response_id", "conversation", "background", "prompt"))


def as_chat_fields(fields: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """The other fields under the names of Chat Completions. Raises ParameterError."""
    for name in _REFUSED & fields.keys():
        if bytes(fields[name]) != b"false":
            raise ParameterError(
                f"{name} is not supported at this path: it is one of /v1/responses.",
                param=name,
                code="unsupported_parameter",
            )
    renamed = {_RENAMED.get(name, name): raw for name, raw in fields.items() if name not in _IDLE | _REFUSED}
    for (outer, inner), name in _INNER.items():
        held = decoded(fields[outer], _OBJECT, outer) if outer in fields else {}
        if inner in held and bytes(held[inner]) != b"null":
            renamed[name] = held[inner]
    return renamed
