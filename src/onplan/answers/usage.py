"""Reads token counts of either API. Never fails: an answer is not lost because its usage is odd."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from onplan.field_types import prepare
from onplan.types import Usage

_MOST = 10**12
"""Tokens. What is more, or less than none, would spoil every sum that it is added to."""
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class _Read(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: _Count = 0
    cache_write_tokens: _Count = 0


class _Written(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: _Count = 0


class _Usual(msgspec.Struct, gc=False):
    """The counts of the Responses API, and none by other names."""

    input_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count = 0
    input_tokens_details: _Read = _Read()
    output_tokens_details: _Written = _Written()
    prompt_tokens: None = None
    completion_tokens: None = None
    prompt_tokens_details: None = None
    completion_tokens_details: None = None
    prompt_cache_hit_tokens: None = None
    cached_tokens: None = None
    reasoning_tokens: None = None


prepare(_Usual)


def usage_of(usage: Any) -> Usage:
    """Token counts of an answer; what is missing or no possible number counts as 0.

    Chat Completions has ``prompt_tokens`` where the Responses API has ``input_tokens``; DeepSeek has
    ``prompt_cache_hit_tokens`` beside them (tests/chat/servers/deepseek.sse); gateways mix the names.
    """
    try:
        usual = msgspec.convert(usage, _Usual)
    except msgspec.ValidationError:
        return _usage_by_any_name(usage)
    read, written = usual.input_tokens_details, usual.output_tokens_details
    return Usage(
        prompt_tokens=usual.input_tokens,
        completion_tokens=usual.output_tokens,
        total_tokens=usual.total_tokens or usual.input_tokens + usual.output_tokens,
        cache_read_tokens=read.cached_tokens,
        cache_write_tokens=read.cache_write_tokens,
        reasoning_tokens=written.reasoning_tokens,
    )


def _usage_by_any_name(usage: Any) -> Usage:
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
    if isinstance(usage, dict):
        for name in names:
            if details := usage.get(name):
                return details
    return None


def _count(counts: Any, *names: str) -> int:
    """The first of the fields called ``names`` that is a number other than 0; else 0."""
    if isinstance(counts, dict):
        for name in names:
            if (value := counts.get(name)) and (number := _integer(value)):
                return number
    return 0


def _integer(value: Any) -> int:
    """``value`` as an integer, if it is a number or a string of digits, and possible; else 0."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS else 0
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value <= _MOST else 0


_MOST_DIGITS = 20
