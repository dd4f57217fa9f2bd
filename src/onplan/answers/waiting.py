"""How long a server asks to wait before the next request, in headers and in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


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
