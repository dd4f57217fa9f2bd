"""What LangChain's messages have no place for, in their ``additional_kwargs``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onplan.integrations.call_arguments import Said
from onplan.integrations.kept_parts import KEY, is_plainly_written, kept, restored
from onplan.types import ContentPart, Refusal, Text, ToolCall

# The name under which LangChain has the text for a custom tool.
CUSTOM_INPUT = "__arg1"


def additional(parts: Sequence[ContentPart]) -> dict[str, Any]:
    """What is to stand in ``additional_kwargs``; nothing if text and calls say it all."""
    return {KEY: kept(parts)} if any(map(_says_more, parts)) else {}


def _says_more(part: ContentPart) -> bool:
    match part:
        case Text(phase=phase, annotations=annotations):
            return phase is not None or bool(annotations)
        case ToolCall(namespace=namespace, signature=signature, is_custom=is_custom):
            return bool(namespace or signature or is_custom) or not is_plainly_written(part)
    return True


def kept_in(additional: Mapping[str, Any]) -> list[ContentPart]:
    """The parts that were kept; none if they are not as onplan wrote them."""
    return restored(additional.get(KEY))


def said_of(parts: Sequence[ContentPart]) -> list[ContentPart | Said]:
    """What a message says that was made of ``parts``: text, refusal and calls."""
    text = text_of(parts)
    refusals = [part for part in parts if isinstance(part, Refusal)]
    return [*([Text(text)] if text else []), *refusals, *map(_said, calls_of(parts))]


def _said(call: ToolCall) -> Said:
    try:
        return Said(call.id, call.name, arguments_of(call))
    except ValueError:  # LangChain has them as text, too
        return Said(call.id, call.name, call.arguments)


def text_of(parts: Iterable[ContentPart]) -> str:
    """The texts, joined."""
    return "".join(part.text for part in parts if isinstance(part, Text))


def calls_of(parts: Iterable[ContentPart]) -> list[ToolCall]:
    """The calls, in order."""
    return [part for part in parts if isinstance(part, ToolCall)]


def arguments_of(call: ToolCall) -> Any:
    """The arguments of a call as LangChain has them: a dict. Raises ValueError if they are no JSON object."""
    if call.is_custom:
        return {CUSTOM_INPUT: call.arguments}
    try:
        arguments = json.loads(call.arguments or "{}", strict=False)
    except RecursionError:
        raise ValueError("the arguments are nested too deeply") from None
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are no JSON object")  # noqa: TRY004 - as for other wrong JSON
    return arguments
