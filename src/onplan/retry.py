"""Whether to ask again, and after how long. A number, not a sleep: the shells wait.

Knows nothing of clocks: elapsed time and randomness come in as arguments.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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


# --- how long servers ask to wait ---------------------------------------------------------------------


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds a response asks us to wait: ``Retry-After`` as seconds or as a date (RFC 9110 §10.2.3).

    ``now`` is Unix seconds; a date in the past gives 0. Durations ("1m30s") and Unix times are read, too.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):  # the platform's own, and more exact
        if re.fullmatch(r"\d+(\.\d+)?", headers.get(name, "").strip()):
            return min(float(headers[name]) / 1000, _FOR_EVER)
    return seconds_until(headers.get("retry-after") or headers.get("x-retry-after", ""), now)


def rate_limit_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until a rate limit that is used up resets, by headers such as ``x-ratelimit-reset-requests``.

    Every answer has them, so they say something only of one that was refused for its rate. Of several limits
    (requests, tokens) those count of which nothing remains; of these, the one that resets last.
    """
    waits = [
        wait
        for name, value in headers.items()
        if "ratelimit" in name and "reset" in name and not _remains(headers, name)
        if (wait := seconds_until(value, now)) is not None
    ]
    return max(waits, default=None)


def _remains(headers: Mapping[str, str], name: str) -> bool:
    try:
        return float(headers.get(name.replace("reset", "remaining"), "0")) > 0
    except ValueError:
        return False


def seconds_until(text: str, now: float | None) -> float | None:
    """Seconds from ``now`` (Unix seconds) to what ``text`` names; never less than 0.

    Without ``now``, a moment says nothing.

    Read are a number of seconds, a Unix time in seconds or milliseconds, a duration ("6m0s", "200ms"), an
    HTTP date and an ISO 8601 date.
    """
    text = text.strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        number = float(text)
        if number >= _UNIX_TIME:
            if now is None:
                return None
            number = (number / 1000 if number >= _UNIX_TIME * 1000 else number) - now
        return min(max(0.0, number), _FOR_EVER)
    if re.fullmatch(_DURATION, text, re.IGNORECASE):
        return _duration(text)
    if now is None:
        return None
    try:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


_UNIX_TIME = 1e9  # seconds, September 2001: longer than any server asks to wait
_FOR_EVER = 1e10  # seconds; infinity is no number in JSON

_DURATION = (
    r"(?:(?:\d+(?:\.\d+)?\s*|\b(?:an?|one)\s+)"
    r"(?:ms|milliseconds?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)(?![a-z])(?:,?\s+and\s+|,?\s*)|"
    r"\d+(?:\.\d+)?\s*[dhms](?=\d))+"
)
_WAIT_IN_WORDS = re.compile(
    r"(?:try(?:ing)?(?:\s+it)?\s+again|retry(?:ing)?(?:\s+again)?|wait(?:ing)?|available(?:\s+again)?|resets?)"
    r"(?:\s+(?:in|after|for|within|time|is|at\s+least|about|around|approximately|another))*"
    rf"[\s:]+({_DURATION})",
    re.IGNORECASE,
)
_RETRY_AFTER_IN_WORDS = re.compile(r"retry[-_ ]after[\"']?\s*[:=]?\s*(\d+(?:\.\d+)?)(?![\w.])", re.IGNORECASE)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?|\b(?:an?|one)(?=\s))\s*(ms|mil|[dhms])", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "mil": 0.001, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def _duration(text: str) -> float:
    amounts = (
        (float(amount) if amount[0].isdigit() else 1.0) * _SECONDS[unit.lower()]
        for amount, unit in _AMOUNT.findall(text)
    )
    return min(sum(amounts), _FOR_EVER)


def duration(seconds: float) -> str:
    """``seconds`` in words, rounded up: in the largest unit of which there are two."""
    units = ((86_400, "days"), (3600, "hours"), (60, "minutes"))
    length, unit = next((row for row in units if seconds >= 2 * row[0]), (1, "seconds"))
    return f"{math.ceil(seconds / length)} {unit}"


def try_again_in(message: str) -> float | None:
    """Seconds in an error message: "try again in 1.5s", "retry after 250 ms", "wait 2 minutes", "in 6m0s"."""
    if found := _WAIT_IN_WORDS.search(message):
        return _duration(found[1])
    found = _RETRY_AFTER_IN_WORDS.search(message)
    return min(float(found[1]), _FOR_EVER) if found else None
