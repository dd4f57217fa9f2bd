"""Decides whether a key may make one more request: its requests a minute and its tokens a day."""

from __future__ import annotations

import math

import msgspec

from onplan.dialects.openai_errors import NEVER_AGAIN, refusal
from onplan.dialects.served import ServedReply
from onplan.server.ledger import Used
from onplan.types import Usage

_DAY = 86_400


class KeyLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key may use. What is None is not limited.

    Attributes:
        requests_per_minute: how many requests; as many at once after a minute without any.
        tokens_per_day: how many tokens, read and written, from midnight to midnight UTC. The request that
            goes beyond is answered whole.
        window_share: how much of each usage window of the plan, above 0 and up to 1.
    """

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    window_share: float | None = None


UNLIMITED = KeyLimits()


def admit(limits: KeyLimits, used: Used, now: float) -> ServedReply | None:
    """Count one request, at ``now`` (seconds since 1970); or the refusal of it."""
    _begin_day(used, now)
    if limits.tokens_per_day is not None and used.day_tokens >= limits.tokens_per_day:
        message = (
            f"This key has used its {limits.tokens_per_day} tokens of today; at midnight UTC it may go on."
        )
        return _used_up(message, (used.day + 1) * _DAY)
    if limits.requests_per_minute is not None:
        wait = _take(limits.requests_per_minute, used, now)
        if wait:
            message = (
                f"This key may make {limits.requests_per_minute} requests a minute; the next one in {wait} s."
            )
            return refusal(
                429,
                "rate_limit_exceeded",
                message,
                type="rate_limit_error",
                headers={"retry-after": str(wait)},
                resets_at=math.ceil(now) + wait,
            )
    used.requests += 1
    return None


def count(used: Used, usage: Usage, now: float) -> None:
    """Count the tokens of an answer."""
    _begin_day(used, now)
    used.prompt_tokens += usage.prompt_tokens
    used.completion_tokens += usage.completion_tokens
    used.day_tokens += usage.prompt_tokens + usage.completion_tokens


def tokens_today(used: Used, now: float) -> int:
    """The tokens that count as those of today."""
    return used.day_tokens if used.day == int(now // _DAY) else 0


def _begin_day(used: Used, now: float) -> None:
    day = int(now // _DAY)
    if used.day != day:
        used.day, used.day_tokens = day, 0


def _take(per_minute: int, used: Used, now: float) -> int:
    """Take one request out of the bucket, which fills within a minute; the seconds to wait if it is empty."""
    at = int(now * 1000)
    elapsed = at - used.bucket_at
    passed = min(max(elapsed, 0), 60_000) if elapsed > -60_000 else 60_000  # a clock that was set back
    held = min(used.bucket + passed * per_minute // 60, per_minute * 1000)
    if held < 1000:
        return max(1, -(-(1000 - held) * 60 // (per_minute * 1000)))
    used.bucket, used.bucket_at = held - 1000, at
    return 0


def _used_up(message: str, resets_at: int) -> ServedReply:
    """Without Retry-After, as for the plan's own limits: openai-node 6 would sleep until then."""
    return refusal(
        429,
        "usage_limit_reached",
        message,
        type="usage_limit_reached",
        headers=NEVER_AGAIN,
        resets_at=resets_at,
    )
