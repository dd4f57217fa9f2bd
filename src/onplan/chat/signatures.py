"""Keeps thought signatures: opaque fields of a tool call that the server wants back with it in the next turn.

Without them Gemini 3 refuses the next turn: 400 "Function call is missing a thought_signature". Seen November
2026: ``extra_content.google.thought_signature`` at Gemini's compatible endpoint; at LiteLLM
``provider_specific_fields``, beside the function or in it. ``thought_signature`` by itself is a precaution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onplan.chat.events import CallDelta, Function
from onplan.flow import decode_json

FIELDS = ("extra_content", "provider_specific_fields", "thought_signature")


def signature_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The signature fields of an entry of ``tool_calls``; those of its function are nested."""
    fields = {name: call[name] for name in FIELDS if call.get(name)}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    inner = {name: function[name] for name in FIELDS if function.get(name)}
    return {**fields, "function": inner} if inner else fields


def signature_in(piece: CallDelta) -> dict[str, Any]:
    """The signature fields in a piece of a call."""
    fields = _of(piece)
    inner = _of(piece.function) if piece.function else {}
    return {**fields, "function": inner} if inner else fields


def _of(piece: CallDelta | Function) -> dict[str, Any]:
    return {name: value for name in FIELDS if (value := getattr(piece, name))}


def merge(fields: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Update ``fields`` with those of a later piece; objects are merged, other values replaced."""
    for name, value in more.items():
        known = fields.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif value is not None:
            fields[name] = value


def sealed(fields: Mapping[str, Any]) -> str | None:
    """The fields as JSON text, for ``ToolCall.signature``; None if there are none."""
    return msgspec.json.encode(fields).decode() if fields else None


def unsealed(signature: str | None) -> dict[str, Any]:
    """The fields in a ``ToolCall.signature``; empty if it comes from the Responses API, or is None."""
    fields = decode_json((signature or "").encode())
    return signature_of(fields) if isinstance(fields, dict) else {}
