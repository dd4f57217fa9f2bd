"""Whether to try again, and after how many seconds; the clients do the waiting.

Elapsed time and randomness come in as arguments.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from onplan.errors import ConfigurationError, OnplanError, RateLimitError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is tried, and how long a client waits in between.

    Attributes:
        attempts: tries in all; 1 never retries.
        wait_initial: seconds before the second try, doubled for each further one; ten times that after a rate
            limit.
        wait_max: longest single wait in seconds; if the server asks for more, the error is raised.
        timeout: seconds after which no further try begins.
    """

    attempts: int = 5
    wait_initial: float = 0.2
    wait_max: float = 30.0
    timeout: float = 120.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a value that is no number, or too small, before it ends a turn."""
        tries: object = self.attempts
        if not (isinstance(tries, int) and tries is not True and tries >= 1):
            raise ConfigurationError(
                f"The attempts of a RetryPolicy are {tries!r}, and not a number of tries.",
                hint="Write `attempts=3` for three tries in all, `attempts=1` for one.",
            )
        for name in ("wait_initial", "wait_max", "timeout"):
            seconds: object = getattr(self, name)
            if isinstance(seconds, bool) or not (isinstance(seconds, int | float) and seconds >= 0):
                raise ConfigurationError(
                    f"The {name} of a RetryPolicy is {seconds!r}, and not a number of seconds, 0 or more.",
                    hint="Write `onplan.RetryPolicy(wait_max=60)`, for example.",
                )


def policy_of(retry: RetryPolicy | int | None) -> RetryPolicy:
    """The policy that a client's ``retry`` means: a number of tries in all, or None for the default.

    Raises:
        ConfigurationError: it is neither, or a number below 1.
    """
    if retry is None:
        return RetryPolicy()
    if isinstance(retry, RetryPolicy):
        return retry
    given: object = retry
    if isinstance(given, int) and given is not True and given >= 1:
        return RetryPolicy(attempts=given)
    raise ConfigurationError(
        f"retry is {retry!r}, and neither a number of tries nor a RetryPolicy.",
        hint="Write `retry=3` for three tries in all, `retry=1` for one, or `retry=onplan.RetryPolicy(…)`.",
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
        longest = min(policy.wait_max, factor * policy.wait_initial * 2.0 ** min(attempt - 1, 100))
        delay = longest * (least + (1 - least) * jitter())
    if delay > policy.wait_max or elapsed + delay > policy.timeout:
        return None
    return delay
