"""Token counts, of whichever shape: an answer is never lost for its bill."""

from __future__ import annotations

from typing import Any

from onplan.types import Usage


def usage_of(usage: Any) -> Usage:
    """Token counts of a response; whatever is missing, or no number, counts as 0."""
    prompt, completion = count(usage, "input_tokens"), count(usage, "output_tokens")
    prompt_details, completion_details = (
        usage.get(name) if isinstance(usage, dict) else None
        for name in ("input_tokens_details", "output_tokens_details")
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=count(usage, "total_tokens") or prompt + completion,
        cache_read_tokens=count(prompt_details, "cached_tokens"),
        cache_write_tokens=count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=count(completion_details, "reasoning_tokens"),
    )


def count(counts: Any, name: str) -> int:
    """A count that is an integer, or is written as a float or as a string of digits; otherwise 0."""
    value = counts.get(name) if isinstance(counts, dict) else None
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS else 0
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


_MOST_DIGITS = 20
