"""What is known of an answer besides its message, as JSON values."""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.types import CompletionResponse


def facts_of(answer: CompletionResponse) -> dict[str, Any]:
    """``model``, ``finish_reason`` and ``usage``; the others if there is something to say."""
    facts: dict[str, Any] = {
        "model": answer.model,
        "finish_reason": answer.finish_reason.value,
        "usage": msgspec.to_builtins(answer.usage),
    }
    for name in ("response_id", "request_id", "refusal", "limits"):
        if (value := getattr(answer, name)) is not None:
            facts[name] = msgspec.to_builtins(value)
    for name in ("ignored_parameters", "emulated_parameters", "history_repairs"):
        if value := getattr(answer, name):
            facts[name] = list(value)
    return facts
