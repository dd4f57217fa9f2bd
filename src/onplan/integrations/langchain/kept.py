"""An answer's parts beside its message: what LangChain has no place for, as far as the message still says it.

Sealed reasoning above all: without it the model begins to think anew after each tool. The parts stand in
``additional_kwargs``, and count only where the message agrees: programs edit messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onplan.integrations.kept_parts import KEY, kept, restored
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
            return bool(namespace or signature or is_custom)
    return True


def kept_in(additional: Mapping[str, Any]) -> list[ContentPart]:
    """The parts that were kept; none if they are not as onplan wrote them."""
    return restored(additional.get(KEY)) or []


def merged(kept: Iterable[ContentPart], said: list[ContentPart], calls: list[ToolCall]) -> list[ContentPart]:
    """The parts of a message that says ``said`` and has ``calls``, with what was ``kept`` of it.

    What the message no longer says is left out, and what it says otherwise is sent so.
    """
    same_text = text_of(kept) == text_of(said)
    left = {call.id: call for call in calls}
    parts: list[ContentPart] = []
    for part in kept:
        if isinstance(part, ToolCall):
            if part.id in left:
                parts.append(_updated(part, left.pop(part.id)))
        elif not isinstance(part, Text | Refusal) or same_text:
            parts.append(part)
    if not same_text:
        at = next((at for at, part in enumerate(parts) if isinstance(part, ToolCall)), len(parts))
        parts[at:at] = said
    return [*parts, *left.values()]


def text_of(parts: Iterable[ContentPart]) -> str:
    """The texts, joined."""
    return "".join(part.text for part in parts if isinstance(part, Text))


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


def _updated(kept: ToolCall, given: ToolCall) -> ToolCall:
    """``kept``, unless the program has changed the call."""
    try:
        if kept.name == given.name and arguments_of(kept) == arguments_of(given):
            return kept
    except ValueError:  # such arguments are compared as text
        pass
    if kept.is_custom or kept.arguments == given.arguments:
        return kept
    return ToolCall(given.id, given.name, given.arguments, kept.namespace, kept.signature)
