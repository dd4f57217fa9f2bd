"""What ``llm`` has no field for, kept in its log beside each part and given back to the backend unchanged."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import named_values, wrong_kind
from onplan.integrations.call_arguments import Said, is_same
from onplan.integrations.kept_parts import KEY, KeptPart, as_json
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
    fields = as_json(part)
    kept = {name: value for name, value in fields.items() if name not in _OF_LLM.get(fields["type"], ())}
    if isinstance(part, ToolCall) and not _is_plainly_written(part):
        kept["arguments"] = part.arguments  # the prompt cache wants the very same text
    if "annotations" in kept:
        kept["text"] = fields["text"]  # they count its characters
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
    if "text" in own and kept.get("text", own["text"]) != own["text"]:
        kept = {**kept, "annotations": ()}  # the program has changed the text
    try:
        part_before: ContentPart = msgspec.convert({**kept, **own}, KeptPart)
    except (msgspec.ValidationError, InvalidRequestError):
        return None
    return part_before


def arguments_to_send(part: Any, call_id: str) -> str:
    """The arguments of a call: the text that the model wrote, if ``part`` still says the same.

    Raises InvalidRequestError if they cannot be written as JSON.
    """
    kept = (part.provider_metadata or {}).get(KEY)
    before = kept.get("arguments") if isinstance(kept, dict) else None
    if isinstance(before, str) and is_same(parsed(before), part.arguments):
        return before
    return written(part.arguments, call_id, part.name)


def _is_plainly_written(call: ToolCall) -> bool:
    try:
        return call.arguments == written(parsed(call.arguments), call.id, call.name)
    except InvalidRequestError:  # the model wrote NaN, for instance
        return False


def parsed(arguments: Any) -> dict[str, Any]:
    """The arguments of a call as ``llm`` has them; a text that is no JSON object stands under ``_raw``."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, TypeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"_raw": arguments}


def written(arguments: Any, call_id: str, name: str) -> str:
    """The other way. Raises InvalidRequestError if there is no JSON for them."""
    if not isinstance(arguments, dict):
        raise wrong_kind("ToolCallPart.arguments", arguments, "a dict")
    if arguments.keys() == {"_raw"} and isinstance(arguments["_raw"], str):
        return arguments["_raw"]
    return Said(call_id, name, arguments).text()
