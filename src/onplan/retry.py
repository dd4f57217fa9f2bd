"""Whether to ask again, and after how long. A number, not a sleep: the shells wait.

Knows nothing of clocks: elapsed time and randomness come in as arguments.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from onplan.errors import OnplanError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient to be.

    Attributes:
        attempts: tries in all; 1 never retries.
        base: seconds before the second try, doubled for each one after.
        longest: the longest single wait that is worth it, in seconds; a server that asks for more ends it.
        budget: seconds after which no new try begins.
    """

    attempts: int = 5
    base: float = 0.2
    longest: float = 30.0
    budget: float = 120.0


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
    otherwise full jitter over an exponential backoff, so that a crowd does not come back at once.
    """
    if not error.retryable or attempt >= policy.attempts:
        return None
    delay = error.retry_after
    if delay is None:
        delay = min(policy.longest, policy.base * 2 ** (attempt - 1)) * jitter()
    if delay > policy.longest or elapsed + delay > policy.budget:
        return None
    return delay


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds a response asks us to wait: ``Retry-After`` as seconds or as a date (RFC 9110 §10.2.3).

    ``now`` is Unix seconds; a date in the past gives 0.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):  # the platform's own, and more exact
        if re.fullmatch(r"\d+(\.\d+)?", headers.get(name, "").strip()):
            return float(headers[name]) / 1000
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return max(0.0, float(value))
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None


_TRY_AGAIN_IN = re.compile(
    r"try again in\s+((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h|hours?|m|min|minutes?|s|seconds?)(?![a-z])\s*|"
    r"\d+(?:\.\d+)?\s*[hms](?=\d))+)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "mil": 0.001, "h": 3600.0, "m": 60.0, "s": 1.0}


def try_again_in(message: str) -> float | None:
    """Seconds in an error message: "try again in 1.5s", "… in 250 ms", "… in 6m0s", "… in 2 minutes"."""
    found = _TRY_AGAIN_IN.search(message)
    if not found:
        return None
    return sum(float(amount) * _SECONDS[unit.lower()] for amount, unit in _AMOUNT.findall(found[1]))
