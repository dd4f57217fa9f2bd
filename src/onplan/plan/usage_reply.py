"""Reads what the usage endpoint and the endpoint of reset credits answer; what cannot be read is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from onplan.answers.limits import number_in, shortest_first, time_in, window_of
from onplan.errors import UnexpectedReplyError
from onplan.types.limits import Credits, Limits, Meter, SpendingLimit, Window


class ResetCredit(msgspec.Struct, frozen=True):
    """A credit that resets the plan's usage windows once.

    Attributes:
        id: the backend's name for it.
        status: ``available``, ``redeeming`` or ``redeemed``; another word counts as not available.
        title: what it is called, if it has a name.
        granted_at: when it was given, as the backend writes it (RFC 3339).
        expires_at: until when it can be spent, written like that; None if it does not expire.
    """

    id: str
    status: str
    title: str | None = None
    granted_at: str | None = None
    expires_at: str | None = None


def limits_of_usage(body: Any, now: float) -> Limits:
    """What the plan has left, from the decoded body of the usage endpoint.

    ``now``: when it came, Unix seconds.

    Raises:
        UnexpectedReplyError: the body has nothing to do with usage.
    """
    if not isinstance(body, dict) or body.keys().isdisjoint(("plan_type", "rate_limit", "credits")):
        raise UnexpectedReplyError("What the plan has left could not be read.")
    windows = _object(body.get("rate_limit"))
    return Limits(
        plan=_text(body.get("plan_type")),
        windows=_windows(windows, now),
        credits=_credits(body.get("credits")),
        meters=list(_meters(body.get("additional_rate_limits"), now)),
        spending=_spending(_object(body.get("spend_control"))),
        reset_credits=_count(_object(body.get("rate_limit_reset_credits")).get("available_count")),
        is_allowed=_is_allowed(windows),
        reached=_reached(body.get("rate_limit_reached_type")),
        read_at=now,
    )


def reset_credits_of(body: Any) -> list[ResetCredit]:
    """The reset credits that are listed. Entries that cannot be read are skipped.

    Raises:
        UnexpectedReplyError: the body is no such list.
    """
    rows = body.get("credits") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise UnexpectedReplyError("The list of reset credits could not be read.")
    return [
        ResetCredit(row["id"], row["status"], *(_text(row.get(name)) for name in _DETAILS))
        for row in rows
        if isinstance(row, dict) and _text(row.get("id")) and _text(row.get("status"))
    ]


_DETAILS = ("title", "granted_at", "expires_at")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    number = number_in(value)
    return None if number is None else max(0, int(number))


def _windows(rate_limit: dict[str, Any], now: float) -> list[Window]:
    rows = (_object(rate_limit.get(name)) for name in ("primary_window", "secondary_window"))
    return shortest_first(_window(row, now) for row in rows if number_in(row.get("used_percent")) is not None)


def _window(row: dict[str, Any], now: float) -> Window:
    seconds, after = number_in(row.get("limit_window_seconds")), number_in(row.get("reset_after_seconds"))
    resets_at = time_in(row.get("reset_at")) or (now + after if after else None)
    return window_of(row["used_percent"], seconds and seconds / 60, resets_at)


def _is_allowed(rate_limit: dict[str, Any]) -> bool | None:
    if rate_limit.get("allowed") is False or rate_limit.get("limit_reached") is True:
        return False
    return True if rate_limit.get("allowed") is True else None


def _reached(value: Any) -> str | None:
    return _text(value) or _text(_object(value).get("type"))


def _credits(value: Any) -> Credits | None:
    row = _object(value)
    if not row:
        return None
    return Credits(
        has_credits=_is_true(row.get("has_credits")),
        unlimited=_is_true(row.get("unlimited")),
        balance=number_in(row.get("balance")),
        overage_limit_reached=_is_true(row.get("overage_limit_reached")),
    )


def _is_true(value: Any) -> bool:
    return value == 1 or (isinstance(value, str) and value.lower() in ("true", "1"))


def _meters(value: Any, now: float) -> Iterator[Meter]:
    for entry in value if isinstance(value, list) else ():
        row = _object(entry)
        name, feature = _text(row.get("limit_name")), _text(row.get("metered_feature"))
        windows = _windows(_object(row.get("rate_limit")), now)
        if windows and (name or feature):
            yield Meter(feature or name or "", name, windows)


def _spending(control: dict[str, Any]) -> SpendingLimit | None:
    row = _object(control.get("individual_limit"))
    reached = control.get("reached") is True
    if not (row or reached):
        return None
    return SpendingLimit(
        reached=reached,
        limit=number_in(row.get("limit")),
        used=number_in(row.get("used")),
        used_percent=number_in(row.get("used_percent")),
        resets_at=time_in(row.get("reset_at")),
    )
