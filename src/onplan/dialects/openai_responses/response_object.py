"""The ``response`` object as OpenAI's clients read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onplan.answers.usage import usage_of
from onplan.responses.items import CALL_KINDS, Item, text_of
from onplan.types import Usage

# Clients index into these without looking (docs/protocol.md); a backend may leave any of them out.
_DEFAULTS: dict[str, Any] = {
    "object": "response",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
    "created_at": 0,
}
# What the client said and the backend was told otherwise, or not at all.
_RESTORED = (
    *("instructions", "max_output_tokens", "metadata", "previous_response_id", "prompt_cache_key", "store"),
    *("temperature", "text", "tool_choice", "tools", "top_p", "truncation", "user"),
)
_UNTOLD = frozenset(_RESTORED)
NULL = msgspec.Raw(b"null")
"""A field that is null, undecoded."""


def response_object(sent: Mapping[str, Any], echo: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """The object for a client.

    Args:
        sent: what the backend sent; it may be undecoded, but for the usage.
        echo: what the client had said; it is repeated instead of what the backend was told.
        fields: other changes; ``usage`` as ``told_usage`` gives it.
    """
    whole = _DEFAULTS.copy()
    for name, value in sent.items():
        if name not in _UNTOLD and value is not None and value != NULL:
            whole[name] = value
    for name, value in echo.items():
        if name in _UNTOLD:
            whole[name] = value
    whole.update(fields)
    if "usage" not in fields:
        whole["usage"] = told_usage(whole["usage"], usage_of(whole["usage"]))
    return whole


def told_usage(given: Any, usage: Usage) -> dict[str, Any] | None:
    """The counts with the details without which Codex CLI cannot read them, and those that the SDKs name.

    Args:
        given: the counts as the backend sent them.
        usage: what they say.
    """
    if not isinstance(given, dict):
        return None
    read = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens}
    thought = {"reasoning_tokens": usage.reasoning_tokens}
    return {
        **given,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "input_tokens_details": {**_details(given, "input_tokens_details"), **read},
        "output_tokens_details": {**_details(given, "output_tokens_details"), **thought},
    }


def _details(usage: Mapping[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


_HAS_STATUS = ("message", "function_call", "custom_tool_call", "web_search_call")


def output_item(item: Item, item_id: str, status: str) -> Item:
    """An item with the fields that clients need: an id, a state, and lists where there may be some."""
    whole: Item = {**item, "id": item_id}
    if whole.get("type") in _HAS_STATUS:
        whole["status"] = whole.get("status") or status
    if whole.get("type") in CALL_KINDS:
        whole["call_id"] = whole.get("call_id") or item.get("id") or item_id
        if type(whole.get("arguments", "")) is not str:
            whole["arguments"] = text_of(whole["arguments"])
    if whole.get("type") == "message" and isinstance(whole.get("content"), list):
        whole["content"] = [_content_part(part) for part in whole["content"]]
    if whole.get("type") == "reasoning":
        whole["summary"] = whole.get("summary") or []
    return whole


def _content_part(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") == "output_text":
        return {**part, "annotations": part.get("annotations") or [], "logprobs": part.get("logprobs") or []}
    return part
