"""Thought signatures: what a server gives with a tool call, and wants back with it, unread.

Without it Gemini 3 refuses the next turn: 400 "Function call is missing a thought_signature". Seen November
2026: ``extra_content.google.thought_signature`` at Gemini's compatible endpoint; at LiteLLM
``provider_specific_fields``, beside the function or in it; ``thought_signature`` itself at other gateways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onplan.chat.events import CallDelta, Function
from onplan.flow import decode_json

FIELDS = ("extra_content", "provider_specific_fields", "thought_signature")


def signature_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry of ``tool_calls`` that go back with it; those of its function nested."""
    fields = {name: call[name] for name in FIELDS if call.get(name)}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    inner = {name: function[name] for name in FIELDS if function.get(name)}
    return {**fields, "function": inner} if inner else fields


def signature_in(piece: CallDelta) -> dict[str, Any]:
    """The fields of ``signature_of`` in a piece of a call that is arriving."""
    fields = _of(piece)
    inner = _of(piece.function) if piece.function else {}
    return {**fields, "function": inner} if inner else fields


def _of(piece: CallDelta | Function) -> dict[str, Any]:
    return {name: value for name in FIELDS if (value := getattr(piece, name))}


def merge(fields: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add to ``fields`` what a later piece says; objects are merged, and anything else replaces."""
    for name, value in more.items():
        known = fields.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif value is not None:
            fields[name] = value


def sealed(fields: Mapping[str, Any]) -> str | None:
    """The fields as the JSON text of ``ToolCall.signature``; None if there are none."""
    return msgspec.json.encode(fields).decode() if fields else None


def unsealed(signature: str | None) -> dict[str, Any]:
    """The fields in the text of ``ToolCall.signature``; none if it is another wire's, or None."""
    fields = decode_json((signature or "").encode())
    return signature_of(fields) if isinstance(fields, dict) else {}
