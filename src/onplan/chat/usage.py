"""Token counts of a Chat Completions answer, wherever the server puts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onplan.responses.usage import count
from onplan.types import Usage


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Token counts; whatever is missing, or no number, counts as 0."""
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    prompt_details = usage.get("prompt_tokens_details")
    completion_details = usage.get("completion_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=count(usage, "total_tokens") or prompt + completion,
        cache_read_tokens=count(prompt_details, "cached_tokens")
        or count(usage, "prompt_cache_hit_tokens")
        or count(usage, "cached_tokens"),
        cache_write_tokens=count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=count(completion_details, "reasoning_tokens") or count(usage, "reasoning_tokens"),
    )
