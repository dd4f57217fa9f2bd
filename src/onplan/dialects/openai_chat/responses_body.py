"""Reads a body of the Responses API that came in the place of a Chat Completions request.

Cursor posts such bodies to ``/v1/chat/completions`` and reads the answer as a chat completion (CLIProxyAPI
issues 658 and 659, 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onplan.dialects.json_fields import decoded
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
    first = [Message.developer(decoded(instructions, _TEXT, "instructions"))] if instructions else []
    try:
        return [*first, *read_messages(said)]
    except InvalidRequestError as error:  # it names the place as if this were `messages`
        message = error.message.replace("messages", "input", 1)
        raise ParameterError(message, param=message.partition(" ")[0]) from None


# Fields that are said otherwise in Chat Completions, and those inside of others.
_RENAMED: Mapping[str, str] = {"max_output_tokens": "max_completion_tokens"}
_INNER: Mapping[tuple[str, str], str] = {
    ("reasoning", "effort"): "reasoning_effort",
    ("reasoning", "summary"): "reasoning_summary",
    ("text", "format"): "response_format",
    ("text", "verbosity"): "verbosity",
}
# Fields that this API does without: what they ask for happens anyway, or cannot be seen in the answer.
_IDLE = frozenset(("input", "instructions", "include", "store", "truncation", "reasoning", "text"))
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
