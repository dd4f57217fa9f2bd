"""Whether to ask again, and after how long. A number, not a sleep: the shells wait.

Knows nothing of clocks: elapsed time and randomness come in as arguments.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from onplan.errors import ConfigurationError, OnplanError, RateLimitError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient to be.

    Attributes:
        attempts: tries in all; 1 never retries.
        base: seconds before the second try, doubled for each one after; ten times that after a rate limit.
        longest: the longest single wait that is worth it, in seconds; a server that asks for more ends it.
        budget: seconds after which no new try begins.
    """

    attempts: int = 5
    base: float = 0.2
    longest: float = 30.0
    budget: float = 120.0


def policy_of(retry: RetryPolicy | None) -> RetryPolicy:
    """``retry``, or the default. Raises ConfigurationError for what is no policy, such as a number."""
    if retry is None:
        return RetryPolicy()
    if isinstance(retry, RetryPolicy):
        return retry
    raise ConfigurationError(
        f"retry is {retry!r}, and not a RetryPolicy.",
        hint="Write `retry=onplan.RetryPolicy(attempts=3)`; `attempts=1` never retries.",
    )


# A limit of requests or tokens is counted by the minute: a moment later it is still reached.
_RATE_LIMIT_FACTOR = 10


def next_delay(
    policy: RetryPolicy,
    attempt: int,
    error: OnplanError,
    elapsed: float,
    *,
    jitter: Callable[[], float] = random.random,
) -> float | None:
    """Seconds to wait before try ``attempt + 1``, or None to give up.

    ``attempt`` counts from 1. What the server asks for (``error.retry_after``) is honoured exactly;
    otherwise full jitter over an exponential backoff, so that a crowd does not come back at once. After a
    rate limit the waits are ten times as long, and at least half of that.
    """
    if not error.retryable or attempt >= policy.attempts:
        return None
    delay = error.retry_after
    if delay is None:
        factor, least = (_RATE_LIMIT_FACTOR, 0.5) if isinstance(error, RateLimitError) else (1, 0.0)
        longest = min(policy.longest, factor * policy.base * 2.0 ** min(attempt - 1, 100))
        delay = longest * (least + (1 - least) * jitter())
    if delay > policy.longest or elapsed + delay > policy.budget:
        return None
    return delay
