"""Token counts of a Chat Completions answer, wherever the server puts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onplan.types import Usage


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Token counts; whatever is missing, or no whole number, counts as 0."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    prompt_details = usage.get("prompt_tokens_details")
    completion_details = usage.get("completion_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(usage, "total_tokens") or prompt + completion,
        cache_read_tokens=_count(prompt_details, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
        or _count(usage, "cached_tokens"),
        cache_write_tokens=_count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens") or _count(usage, "reasoning_tokens"),
    )


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) else 0
