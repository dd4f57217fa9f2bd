"""Finds out from the Codex backend's headers which usage limit is reached, and what a person can do.

A meter has up to two windows, ``primary`` and ``secondary``. Either may be the week: only their length tells,
so windows are identified by their minutes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onplan.errors import USAGE_PAGE


@dataclass(frozen=True, slots=True)
class Limit:
    """A usage limit that is reached.

    Attributes:
        minutes: length of the window that is used up; None if unknown.
        resets_at: when it resets, in Unix seconds.
        meter: the meter's name, if the limit applies to some models only.
        credits_of: ``owner`` or ``member``, if the credits of a workspace are used up.
    """

    minutes: int | None = None
    resets_at: float | None = None
    meter: str | None = None
    credits_of: str | None = None

    def sentence(self, plan: str | None) -> str:
        """Which limit is reached, as a sentence without its full stop."""
        if self.credits_of:
            return "The credits of your workspace are used up"
        window = f"{window_name(self.minutes)} " if self.minutes else ""
        of_what = f"for {self.meter}" if self.meter else f"of the {plan or 'ChatGPT'} plan"
        return f"The {window}usage limit {of_what} is reached"

    def advice(self, plan: str | None) -> str:
        """What to do: wait, and what else is possible on ``plan``."""
        if self.credits_of:
            return _CREDITS[self.credits_of]
        if self.meter:
            return "Wait until it resets, or choose another model: `onplan models`."
        return _BY_PLAN.get((plan or "").lower(), f"Wait until it resets, or see {USAGE_PAGE}.")


NO_LIMIT = Limit()

_ASK_ADMIN = "Wait until it resets, or ask your workspace's admin for more."
_BUY = f"Wait until it resets, or buy credits: {USAGE_PAGE}."
_BY_PLAN: Mapping[str, str] = {
    "free": "Wait until it resets, or upgrade to Plus: https://chatgpt.com/explore/plus.",
    "plus": (
        f"Wait until it resets, buy credits ({USAGE_PAGE}), or upgrade to Pro: "
        "https://chatgpt.com/explore/pro."
    ),
    "pro": _BUY,
    "team": _ASK_ADMIN,
    "business": _ASK_ADMIN,
    "enterprise": _ASK_ADMIN,
    "edu": _ASK_ADMIN,
}
_CREDITS: Mapping[str, str] = {
    "owner": f"Add credits to the workspace: {USAGE_PAGE}.",
    "member": "Ask your workspace's admin for more credits.",
}

_HOUR, _DAY, _WEEK = 60, 1_440, 10_080
_NAMES = {_HOUR: "hourly", _DAY: "daily", _WEEK: "weekly"}


def window_name(minutes: int) -> str:
    """A window's name, from its length: ``5-hour``, ``weekly``, ``30-day``, ``90-minute``."""
    if minutes in _NAMES:
        return _NAMES[minutes]
    for length, unit in ((_DAY, "day"), (_HOUR, "hour")):
        if minutes % length == 0:
            return f"{minutes // length}-{unit}"
    return f"{minutes}-minute"


def limit_reached(headers: Mapping[str, str], resets_at: float | None = None) -> Limit | None:
    """The limit that ended a response, from its headers; None if they do not say.

    The meter is the one that ``x-codex-active-limit`` names, if other headers describe that meter. Real
    responses name "premium" on every plan and describe only the plan's own windows, ``x-codex-*`` (pi issue
    4172, November 2026). The name of a meter is the value of ``x-<id>-limit-name``.

    Of its windows, the limit is the one that is used up. If both are, it is the one that resets at
    ``resets_at``, which the error itself may give, or else the one that resets last. Headers that came before
    the error may not show yet which window is used up: then ``resets_at`` alone decides.
    """
    kind = headers.get("x-codex-rate-limit-reached-type", "")
    for holder in _CREDITS:
        if kind == f"workspace_{holder}_credits_depleted":
            return Limit(credits_of=holder)
    active = headers.get("x-codex-active-limit", "").strip().replace("_", "-").lower()
    if active:
        is_described = any(value and name.startswith(f"x-{active}-") for name, value in headers.items())
        return _limit_of(headers, active if is_described else _PLAN, resets_at, named=True)
    limits = (_limit_of(headers, meter, resets_at) for meter in dict.fromkeys((_PLAN, *_meters(headers))))
    return next(filter(None, limits), None)


_PLAN = "codex"  # the plan's own meter, for all models that have no separate one


def _meters(headers: Mapping[str, str]) -> list[str]:
    """The ids of the meters whose windows the headers describe."""
    found = (re.fullmatch(r"x-(.+)-(?:primary|secondary)-used-percent", name) for name in headers)
    return [match[1] for match in found if match]


def _limit_of(
    headers: Mapping[str, str], meter: str, resets_at: float | None, *, named: bool = False
) -> Limit | None:
    """The limit of one meter; ``named``: the backend says that this meter's limit is reached."""
    name = headers.get(f"x-{meter}-limit-name", "").strip() or None
    name = None if name and name.lower() == _PLAN else name
    windows = [_window(headers, f"x-{meter}-{which}") for which in ("primary", "secondary")]
    used_up = [window for window in windows if window[0] >= _USED_UP]
    by_reset = [window for window in used_up or windows if _resets_at(window, resets_at)]
    if found := by_reset or used_up:
        _, minutes, resets = max(found, key=lambda window: window[2] or 0.0)
        return Limit(minutes, resets, name)
    return Limit(meter=name) if name and named else None


def headers_of_event(name: Any, plan_type: Any, windows: Any) -> dict[str, str]:
    """A ``codex.rate_limits`` event, as the headers that say the same over HTTP.

    Args:
        name: the meter's name.
        plan_type: the plan's name.
        windows: the event's ``rate_limits``: the fields of each window, by the window's name.
    """
    meter = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") if isinstance(name, str) else ""
    prefix = f"x-{meter or _PLAN}"
    headers: dict[str, object] = {"x-codex-plan-type": plan_type}
    if isinstance(name, str) and meter != _PLAN:
        headers[f"{prefix}-limit-name"] = name
    for which in ("primary", "secondary") if isinstance(windows, dict) else ():
        window = windows.get(which)
        for field in ("used_percent", "window_minutes", "reset_at") if isinstance(window, dict) else ():
            headers[f"{prefix}-{which}-{field.replace('_', '-')}"] = window.get(field)
    return {name: str(value) for name, value in headers.items() if isinstance(value, str | int | float)}


_MINUTE = 60.0


def _resets_at(window: tuple[float, int | None, float | None], moment: float | None) -> bool:
    return moment is not None and window[2] is not None and abs(window[2] - moment) <= _MINUTE


_USED_UP = 99.5  # per cent


def _window(headers: Mapping[str, str], prefix: str) -> tuple[float, int | None, float | None]:
    """Used per cent, length in minutes, and reset time of a window; real headers may be empty or 0."""
    used = _number(headers.get(f"{prefix}-used-percent"))
    minutes = _number(headers.get(f"{prefix}-window-minutes"))
    resets_at = _number(headers.get(f"{prefix}-reset-at"))
    return used or 0.0, int(minutes) if minutes else None, resets_at or None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
