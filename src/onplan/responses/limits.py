"""Which allowance is used up: what the backend tells of its limits in headers, and what can be done.

A meter has up to two windows, ``primary`` and ``secondary``. Which of them is the week says their length
alone, so windows are named by their minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that is reached.

    Attributes:
        minutes: length of the window that is used up; None if it was not told.
        resets_at: when it resets, Unix seconds.
        meter: its name, if it is one of a few models alone.
        credits_of: whose credits are used up, ``owner`` or ``member``, if it is those of a workspace.
    """

    minutes: int | None = None
    resets_at: float | None = None
    meter: str | None = None
    credits_of: str | None = None

    def sentence(self, plan: str | None) -> str:
        """What is reached, without a full stop."""
        if self.credits_of:
            return "The credits of your workspace are used up"
        window = f"{window_name(self.minutes)} " if self.minutes else ""
        whose = f"for {self.meter}" if self.meter else f"of the {plan or 'ChatGPT'} plan"
        return f"The {window}usage limit {whose} is reached"

    def advice(self, plan: str | None) -> str:
        """What else is possible than to wait."""
        if self.credits_of:
            return _CREDITS[self.credits_of]
        if self.meter:
            return "Wait until it resets, or choose another model: `onplan models`."
        return _BY_PLAN.get((plan or "").lower(), f"Wait until it resets, or see {_USAGE_PAGE}.")


NO_LIMIT = Limit()

_USAGE_PAGE = "https://chatgpt.com/settings/usage"
_ASK_ADMIN = "Wait until it resets, or ask your workspace's admin for more."
_BUY = f"Wait until it resets, or buy credits: {_USAGE_PAGE}."
_BY_PLAN: Mapping[str, str] = {
    "free": "Wait until it resets, or upgrade to Plus: https://chatgpt.com/explore/plus.",
    "plus": (
        f"Wait until it resets, buy credits ({_USAGE_PAGE}), or upgrade to Pro: "
        "https://chatgpt.com/explore/pro."
    ),
    "pro": _BUY,
    "team": _ASK_ADMIN,
    "business": _ASK_ADMIN,
    "enterprise": _ASK_ADMIN,
    "edu": _ASK_ADMIN,
}
_CREDITS: Mapping[str, str] = {
    "owner": f"Add credits to the workspace: {_USAGE_PAGE}.",
    "member": "Ask your workspace's admin for more credits.",
}

_HOUR, _DAY, _WEEK = 60, 1_440, 10_080
_NAMES = {_HOUR: "hourly", _DAY: "daily", _WEEK: "weekly"}


def window_name(minutes: int) -> str:
    """A window by its length: ``5-hour``, ``weekly``, ``30-day``, ``90-minute``."""
    if minutes in _NAMES:
        return _NAMES[minutes]
    for length, unit in ((_DAY, "day"), (_HOUR, "hour")):
        if minutes % length == 0:
            return f"{minutes // length}-{unit}"
    return f"{minutes}-minute"


def limit_reached(headers: Mapping[str, str]) -> Limit | None:
    """What the headers of an answer say of the limit that ended it; None if they say nothing of it.

    Of the windows of the meter, that is the one which is used up; of two, the one which resets last.
    """
    kind = headers.get("x-codex-rate-limit-reached-type", "")
    for whose in _CREDITS:
        if kind == f"workspace_{whose}_credits_depleted":
            return Limit(credits_of=whose)
    active = headers.get("x-codex-active-limit", "").strip().replace("_", "-").lower() or "codex"
    meter = headers.get(f"x-{active}-limit-name") or (active if active != "codex" else None)
    windows = [_window(headers, f"x-{active}-{which}") for which in ("primary", "secondary")]
    used_up = [
        (resets_at or 0.0, minutes, resets_at) for used, minutes, resets_at in windows if used >= _USED_UP
    ]
    if used_up:
        _, minutes, resets_at = max(used_up, key=lambda window: window[0])
        return Limit(minutes, resets_at, meter)
    return Limit(meter=meter) if meter else None


_USED_UP = 99.5  # per cent


def _window(headers: Mapping[str, str], prefix: str) -> tuple[float, int | None, float | None]:
    """Used per cent, length in minutes, and when it resets. Some values have been seen empty."""
    used = _number(headers.get(f"{prefix}-used-percent"))
    minutes = _number(headers.get(f"{prefix}-window-minutes"))
    return used or 0.0, int(minutes) if minutes else None, _number(headers.get(f"{prefix}-reset-at"))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
