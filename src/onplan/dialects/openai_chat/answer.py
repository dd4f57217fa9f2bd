"""Writes whole answers as a Chat Completions server sends them; their parts are those of chunks, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from onplan.chat.signatures import unsealed
from onplan.types import (
    CompletionResponse,
    ContentPart,
    FinishReason,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)

Item: TypeAlias = dict[str, Any]


def response_body(
    response: CompletionResponse,
    completion_id: str,
    model: str,
    created: int,
    service_tier: str | None = None,
) -> Item:
    """A whole answer as a ``chat.completion``.

    Args:
        response: the answer.
        completion_id: its id.
        model: as the client calls it.
        created: Unix seconds.
        service_tier: that was asked for.
    """
    choice = {
        "index": 0,
        "message": _message(response),
        "logprobs": None,
        "finish_reason": finish_reason_of(response),
    }
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "service_tier": service_tier or "default",
        "system_fingerprint": None,
        "choices": [choice],
        "usage": usage_body(response.usage),
    }


def _message(response: CompletionResponse) -> Item:
    parts = response.message.content
    sealed = [part.encrypted for part in parts if isinstance(part, Thinking) and part.encrypted]
    calls = [call_entry(part) for part in parts if isinstance(part, ToolCall)]
    refusal = response.refusal
    silent = None if calls or refusal else ""
    optional = {
        "reasoning_content": response.thinking,
        "reasoning_details": [sealed_entry(text, index) for index, text in enumerate(sealed)],
        "tool_calls": calls,
    }
    return {
        "role": "assistant",
        "content": response.text or silent,
        "refusal": refusal,
        "annotations": _all_cited(parts),
        **{name: value for name, value in optional.items() if value},
    }


def finish_reason_of(response: CompletionResponse) -> str:
    """The ``finish_reason``: ``tool_calls`` whenever there is a call, unless the answer was cut off.

    A refusal has ``stop`` in this API; its ``refusal`` field marks it.
    """
    if response.finish_reason is FinishReason.LENGTH:
        return "length"
    kinds = {type(part) for part in response.message.content}
    if Refusal in kinds:
        return "stop"
    if response.finish_reason is FinishReason.CONTENT_FILTER:
        return "content_filter"
    return "tool_calls" if ToolCall in kinds else "stop"


def call_entry(call: ToolCall) -> Item:
    """A call as an entry of ``tool_calls``."""
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    signed = unsealed(call.signature)
    function = {"name": call.name, "arguments": call.arguments, **signed.pop("function", {})}
    return {"id": call.id, "type": "function", "function": function, **signed}


def sealed_entry(encrypted: str, index: int) -> Item:
    """Encrypted reasoning as an entry of ``reasoning_details``, which some clients send back (OpenRouter's).

    ``index``: lets clients tell a new entry from a piece of the one before.
    """
    return {"type": "reasoning.encrypted", "data": encrypted, "index": index}


def usage_body(usage: Usage) -> Item:
    """The token counts as the ``usage`` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# --- citations --------------------------------------------------------------------------------------


def cited(annotations: Iterable[Mapping[str, Any]], offset: int) -> list[Item]:
    """The citations of pages among ``annotations`` of a text that begins at ``offset`` in the message."""
    pages = [each for each in annotations if each.get("type") == "url_citation"]
    return [{"type": "url_citation", "url_citation": _moved(each, offset)} for each in pages]


def _all_cited(parts: Iterable[ContentPart]) -> list[Item]:
    found: list[Item] = []
    offset = 0
    for part in parts:
        if isinstance(part, Text):
            found += cited(part.annotations, offset)
            offset += len(part.text)
    return found


def _moved(annotation: Mapping[str, Any], offset: int) -> Item:
    places = {name: annotation.get(name) for name in ("start_index", "end_index")}
    moved = {name: place + offset for name, place in places.items() if isinstance(place, int)}
    return {**{name: value for name, value in annotation.items() if name != "type"}, **moved}
