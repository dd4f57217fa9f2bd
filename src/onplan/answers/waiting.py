"""Reads how long a server asks to wait before the next request, from headers and from messages."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from onplan.lazy_pattern import LazyPattern


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that ``Retry-After`` asks to wait (RFC 9110 §10.2.3); None if it is missing or unreadable.

    Args:
        headers: of the response; names in lower case.
        now: Unix seconds; a date in the past gives 0. Durations ("1m30s") and Unix times are read, too.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):  # sent by OpenAI and Azure, and more exact
        if re.fullmatch(r"\d+(\.\d+)?", headers.get(name, "").strip()):
            return min(float(headers[name]) / 1000, _FOR_EVER)
    return seconds_until(headers.get("retry-after") or headers.get("x-retry-after", ""), now)


def rate_limit_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until a used-up rate limit resets, from headers such as ``x-ratelimit-reset-requests``.

    Successful responses have these headers, too: ask only for a response that was refused for its rate.
    Of several limits (requests, tokens), only used-up ones count; of these, the one that resets last.
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
    """Seconds until the time that ``text`` names, never less than 0; None if it cannot be read.

    Args:
        text: a number of seconds, a Unix time in seconds or milliseconds, a duration ("6m0s", "200ms"), an
            HTTP date or an ISO 8601 date.
        now: Unix seconds; None: only numbers of seconds and durations are read.
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
            from email.utils import parsedate_to_datetime  # takes milliseconds, for a form that is rare

            moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


_UNIX_TIME = 1e9  # seconds, September 2001: a larger number is a time, not a duration
_FOR_EVER = 1e10  # seconds; the longest wait, since JSON has no infinity

_DURATION = (
    r"(?:(?:\d+(?:\.\d+)?\s*|\b(?:an?|one)\s+)"
    r"(?:ms|milliseconds?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)(?![a-z])(?:,?\s+and\s+|,?\s*)|"
    r"\d+(?:\.\d+)?\s*[dhms](?=\d))+"
)
_WAIT_IN_WORDS = LazyPattern(
    r"(?:try(?:ing)?(?:\s+it)?\s+again|retry(?:ing)?(?:\s+again)?|wait(?:ing)?|available(?:\s+again)?|resets?)"
    r"(?:\s+(?:in|after|for|within|time|is|at\s+least|about|around|approximately|another))*"
    rf"[\s:]+({_DURATION})"
)
_RETRY_AFTER_IN_WORDS = LazyPattern(r"retry[-_ ]after[\"']?\s*[:=]?\s*(\d+(?:\.\d+)?)(?![\w.])")
_AMOUNT = LazyPattern(r"(\d+(?:\.\d+)?|\b(?:an?|one)(?=\s))\s*(ms|mil|[dhms])")
_SECONDS = {"ms": 0.001, "mil": 0.001, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def _duration(text: str) -> float:
    amounts = (
        (float(amount) if amount[0].isdigit() else 1.0) * _SECONDS[unit.lower()]
        for amount, unit in _AMOUNT.findall(text)
    )
    return min(sum(amounts), _FOR_EVER)


def duration(seconds: float) -> str:
    """``seconds`` in words, rounded up, in the largest unit of which there are at least two."""
    units = ((86_400, "days"), (3600, "hours"), (60, "minutes"))
    length, unit = next((row for row in units if seconds >= 2 * row[0]), (1, "seconds"))
    return f"{math.ceil(seconds / length)} {unit}"


def try_again_in(message: str) -> float | None:
    """Seconds that an error message asks to wait, as in "try again in 1.5s" or "retry after 250 ms"."""
    if found := _WAIT_IN_WORDS.search(message):
        return _duration(found[1])
    found = _RETRY_AFTER_IN_WORDS.search(message)
    return min(float(found[1]), _FOR_EVER) if found else None
