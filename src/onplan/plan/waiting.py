"""Waits until the plan answers again."""

from __future__ import annotations

from onplan.answers.limits import Limit, until_reset
from onplan.errors import ConfigurationError, LimitError, OnplanError, UsageLimitError
from onplan.plan.account import limits
from onplan.turn.context import Context
from onplan.turn.steps import Flow, Sleep
from onplan.types.limits import Limits

# Seconds between two questions while waiting: a reset credit, bought credits or another plan may end the wait
# early, and a machine that was asleep notices that the time has come.
_LONGEST = 300.0
_UNKNOWN = 60.0  # the same where the backend does not say when it resets
_OVERDUE = 15.0  # and where it should have reset by now: first a second, then as long as it is overdue
_SLACK = 1.0  # after the reset, for times are whole seconds


def availability(context: Context, timeout: float | None) -> Flow[Limits]:
    """Wait until the plan answers requests, and the client's budget allows one; what is left then.

    While it waits, a failure that may pass by itself does not end it.

    Args:
        context: what all turns of the client have in common.
        timeout: seconds to wait at most; None: as long as it takes.

    Raises:
        UsageLimitError, BudgetError: it does not reset within ``timeout``; at once if that is known.
        ConfigurationError: ``timeout`` is no number of seconds, or the backend does not say what is left.
        OnplanError: the backend could not be asked.
    """
    deadline = None if timeout is None else context.now() + _seconds(timeout)
    found, ended = yield from _asked(context)
    while (blocked := _blocked(found, ended, context)) is not None:
        yield Sleep(_wait(blocked, context.now(), deadline), blocked)
        try:
            found, ended = yield from _asked(context)
        except OnplanError as error:
            if not error.retryable:
                raise
    return found


def _seconds(timeout: object) -> float:
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0:
        return float(timeout)
    raise ConfigurationError(
        f"The timeout is {timeout!r}, and not a number of seconds, 0 or more.",
        hint="Write `client.wait_until_available(timeout=3600)`, for example.",
    )


def _asked(context: Context) -> Flow[tuple[Limits, int]]:
    """What is left, and how many requests had ended when it was asked for: those it counts for certain."""
    ended = context.budget.ended if context.budget else 0
    return (yield from limits(context)), ended


def _blocked(found: Limits, ended: int, context: Context) -> LimitError | None:
    """Why no request can be made now; None if one can."""
    if found.is_available:
        return context.budget.check(found, ended) if context.budget else None
    window = found.blocking
    limit = Limit(window.minutes, window.resets_at) if window else Limit()
    error = UsageLimitError(
        f"{limit.sentence(found.plan)}{until_reset(limit.resets_at)}.",
        hint=limit.advice(found.plan),
        resets_at=limit.resets_at,
    )
    error.window_minutes = limit.minutes
    return error


def _wait(blocked: LimitError, now: float, deadline: float | None) -> float:
    """Seconds until the next question. Raises ``blocked`` if waiting until the deadline does not help."""
    resets_at = blocked.resets_at
    if deadline is not None and (now >= deadline or (resets_at is not None and resets_at > deadline)):
        raise blocked
    wait = _UNKNOWN
    if resets_at is not None:
        overdue = min(max(now - resets_at, _SLACK), _OVERDUE)
        wait = min(resets_at + _SLACK - now, _LONGEST) if resets_at > now else overdue
    return wait if deadline is None else min(wait, deadline - now)
