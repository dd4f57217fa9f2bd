"""What ``llm`` has no field for, kept in its log beside each part and given back to the backend unchanged."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import named_values, wrong_kind
from onplan.integrations.kept_parts import KEY, KeptPart
from onplan.types import ContentPart, ToolCall

_OF_LLM = {
    "text": ("text",),
    "refusal": ("text",),
    "thinking": ("text",),
    "tool_call": ("id", "name", "arguments"),
}
_SAID_BY_LLM = ({"type": "text"}, {"type": "thinking"}, {"type": "tool_call"})


def metadata_of(part: ContentPart) -> dict[str, Any] | None:
    """What to keep of ``part``; None where ``llm``'s own fields say it all."""
    fields: dict[str, Any] = msgspec.to_builtins(part)
    kept = {name: value for name, value in fields.items() if name not in _OF_LLM.get(fields["type"], ())}
    if isinstance(part, ToolCall) and part.arguments != written(parsed(part.arguments)):
        kept["arguments"] = part.arguments  # the prompt cache wants the very same text
    # Plug-ins for other models leave it alone and send it nowhere.
    return None if kept in _SAID_BY_LLM else {KEY: kept}


def restored(part: Any, **own: str) -> ContentPart | None:
    """The part that ``part`` was before; None if nothing was kept, or what cannot be read any longer.

    Args:
        part: of ``llm``.
        own: fields that ``part`` itself says.
    """
    kept = named_values("provider_metadata", part.provider_metadata).get(KEY)
    if not isinstance(kept, dict):
        return None
    before = kept.get("arguments")  # only where the text was another than ``llm`` writes
    if "arguments" in own and isinstance(before, str) and parsed(before) == parsed(own["arguments"]):
        own["arguments"] = before
    try:
        part_before: ContentPart = msgspec.convert({**kept, **own}, KeptPart)
    except (msgspec.ValidationError, InvalidRequestError):
        return None
    return part_before


def parsed(arguments: Any) -> dict[str, Any]:
    """The arguments of a call as ``llm`` has them; a text that is no JSON object stands under ``_raw``."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, TypeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"_raw": arguments}


def written(arguments: dict[str, Any]) -> str:
    """The other way. Raises InvalidRequestError if they are no dict, or not JSON."""
    if not isinstance(arguments, dict):
        raise wrong_kind("ToolCallPart.arguments", arguments, "a dict")
    if arguments.keys() == {"_raw"} and isinstance(arguments["_raw"], str):
        return arguments["_raw"]
    try:
        return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequestError(
            "ToolCallPart.arguments holds what is no JSON.", hint="Give it strings, numbers, lists and dicts."
        ) from None
