"""Token counts, in the spelling of either wire: an answer is never lost for its bill."""

from __future__ import annotations

from typing import Any

from onplan.types import Usage


def usage_of(usage: Any) -> Usage:
    """Token counts of an answer; whatever is missing, or no number, counts as 0.

    Chat Completions has ``prompt_tokens`` where the Responses API has ``input_tokens``, DeepSeek the cached
    ones beside them as ``prompt_cache_hit_tokens``; gateways mix the spellings.
    """
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    prompt_details = _details(usage, "prompt_tokens_details", "input_tokens_details")
    completion_details = _details(usage, "completion_tokens_details", "output_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(usage, "total_tokens") or prompt + completion,
        cache_read_tokens=_count(prompt_details, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens", "cached_tokens"),
        cache_write_tokens=_count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens") or _count(usage, "reasoning_tokens"),
    )


def _details(usage: Any, *names: str) -> Any:
    return next((usage[name] for name in names if usage.get(name)), None) if isinstance(usage, dict) else None


def _count(counts: Any, *names: str) -> int:
    """The first of the fields called ``names`` that is a number other than 0; otherwise 0."""
    values = (counts.get(name) for name in names) if isinstance(counts, dict) else ()
    return next(filter(None, map(_integer, values)), 0)


def _integer(value: Any) -> int:
    """An integer that may be written as a float or as a string of digits; 0 for anything else."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS else 0
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


_MOST_DIGITS = 20
