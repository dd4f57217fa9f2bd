"""Reads the Codex backend's limit headers: what the plan has left, and which limit is reached.

A meter has up to two windows, ``primary`` and ``secondary``. Either may be the week: only their length tells,
so windows are identified by their minutes. Real headers may be empty, ``True`` or missing: what cannot be
read is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from onplan.errors import LATEST_TIME, USAGE_PAGE, utc_time
from onplan.types.limits import Credits, Limits, Meter, Window, window_name


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


def until_reset(resets_at: float | None) -> str:
    """``; it resets at …`` in the local time zone; empty if the time is unknown."""
    moment = utc_time(resets_at)
    return f"; it resets at {moment.astimezone():%Y-%m-%d %H:%M %Z}" if moment else ""


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


def limit_reached(headers: Mapping[str, str], resets_at: float | None = None) -> Limit | None:
    """The limit that ended a response, from its headers; None if they do not say.

    The meter is the one that ``x-codex-active-limit`` names, if other headers describe that meter. Real
    responses name "premium" on every plan and describe only the plan's own windows, ``x-codex-*`` (pi issue
    4172, November 2026). The name of a meter is the value of ``x-<id>-limit-name``.

    Of its windows, the limit is the one that is used up. If both are, it is the one that resets at
    ``resets_at``, which the error itself may give, or else the one that resets last. Headers that came before
    the error may not show yet which window is used up: then ``resets_at`` alone decides.
    """
    kind = headers.get("x-codex-rate-limit-reached-type")
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
    likely = [name for name in headers if name[-13:] == "-used-percent"]  # few of the headers of an answer
    found = [_METER.fullmatch(name) for name in likely]
    return [match[1] for match in found if match]


_METER = re.compile(r"x-(.+)-(?:primary|secondary)-used-percent")


def _limit_of(
    headers: Mapping[str, str], meter: str, resets_at: float | None, *, named: bool = False
) -> Limit | None:
    """The limit of one meter; ``named``: the backend says that this meter's limit is reached."""
    name = _name(headers, meter)
    windows = [_window(headers, prefix) for prefix in _prefixes(meter)]
    used_up = [window for window in windows if window.is_used_up]
    by_reset = [window for window in used_up or windows if _resets_at(window, resets_at)]
    if found := by_reset or used_up:
        last = max(found, key=lambda window: window.resets_at or 0.0)
        return Limit(last.minutes, last.resets_at, name)
    return Limit(meter=name) if name and named else None


def limits_of_headers(headers: Mapping[str, str], now: float | None = None) -> Limits | None:
    """What the plan has left, from the headers of an answer; None if they say nothing about it.

    Args:
        headers: names in lower case; those that say the same in events, added by ``headers_of_event``.
        now: when they came, Unix seconds.
    """
    # The plan's own windows are nearly all, and are the same for a while.
    others = [meter for meter in _meters(headers) if meter != _PLAN]
    said = tuple([(name, headers[name]) for name in _OF_PLAN if name in headers])
    found = _limits_in(headers) if others else _plan_limits(said)
    return found and replace(found, windows=[*found.windows], read_at=now)


@lru_cache(maxsize=64)
def _plan_limits(said: tuple[tuple[str, str], ...]) -> Limits | None:
    return _limits_in(dict(said))


def _limits_in(headers: Mapping[str, str]) -> Limits | None:
    meters = [
        Meter(meter.replace("-", "_"), _name(headers, meter), windows)
        for meter in dict.fromkeys(_meters(headers))
        if meter != _PLAN and (windows := shortest_first(_told(headers, meter)))
    ]
    found = Limits(
        plan=_text(headers, "x-codex-plan-type"),
        windows=shortest_first(_told(headers, _PLAN)),
        credits=_credits(headers),
        meters=meters,
        reached=_text(headers, "x-codex-rate-limit-reached-type"),
    )
    return None if found == Limits() else found


def shortest_first(windows: Iterable[Window]) -> list[Window]:
    """The windows by their length; those of unknown length come last."""
    return sorted(windows, key=lambda window: window.minutes or math.inf)


def _told(headers: Mapping[str, str], meter: str) -> list[Window]:
    """The windows of which the headers say how much is used. Zeros stand in the place of one that is not."""
    told = [
        _window(headers, prefix)
        for prefix in _prefixes(meter)
        if number_in(headers.get(f"{prefix}-used-percent")) is not None
    ]
    return [window for window in told if window != _NONE]


_NONE = Window(minutes=None, used_percent=0.0)


def _credits(headers: Mapping[str, str]) -> Credits | None:
    has, unlimited, balance = [headers.get(f"x-codex-credits-{name}", "").strip() for name in _CREDIT_FIELDS]
    if not (has or unlimited or balance):
        return None
    return Credits(_is_true(has), _is_true(unlimited), number_in(balance))


_CREDIT_FIELDS = ("has-credits", "unlimited", "balance")


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _text(headers: Mapping[str, str], name: str) -> str | None:
    return headers.get(name, "").strip() or None


def _name(headers: Mapping[str, str], meter: str) -> str | None:
    """The name of a meter for people. The plan's own has none."""
    name = _text(headers, f"x-{meter}-limit-name")
    return None if name and name.lower() == _PLAN else name


def headers_of_event(name: Any, plan_type: Any, windows: Any, credit: Any = None) -> dict[str, str]:
    """A ``codex.rate_limits`` event, as the headers that say the same over HTTP.

    Args:
        name: the meter's name.
        plan_type: the plan's name.
        windows: the event's ``rate_limits``: the fields of each window, by the window's name.
        credit: the event's ``credits``.
    """
    meter = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") if isinstance(name, str) else ""
    prefix = f"x-{meter or _PLAN}"
    headers: dict[str, object] = {"x-codex-plan-type": plan_type}
    if isinstance(name, str) and meter != _PLAN:
        headers[f"{prefix}-limit-name"] = name
    for which in _WINDOWS if isinstance(windows, dict) else ():
        window = windows.get(which)
        for field in _WINDOW_FIELDS if isinstance(window, dict) else ():
            headers[f"{prefix}-{which}-{field}"] = window.get(field.replace("-", "_"))
    for field in _CREDIT_FIELDS if isinstance(credit, dict) else ():
        headers[f"x-codex-credits-{field}"] = credit.get(field.replace("-", "_"))
    return {name: str(value) for name, value in headers.items() if isinstance(value, str | int | float)}


_MINUTE = 60.0


def _resets_at(window: Window, moment: float | None) -> bool:
    return moment is not None and window.resets_at is not None and abs(window.resets_at - moment) <= _MINUTE


_WINDOWS = ("primary", "secondary")


def _prefixes(meter: str) -> list[str]:
    return [f"x-{meter}-{which}" for which in _WINDOWS]


def _window(headers: Mapping[str, str], prefix: str) -> Window:
    return window_of(*[headers.get(f"{prefix}-{field}") for field in _WINDOW_FIELDS])


_WINDOW_FIELDS = ("used-percent", "window-minutes", "reset-at")
# The headers that say what of the plan is left.
_OF_PLAN = (
    *(f"{prefix}-{name}" for prefix in _prefixes(_PLAN) for name in _WINDOW_FIELDS),
    *(f"x-codex-credits-{name}" for name in _CREDIT_FIELDS),
    "x-codex-plan-type",
    "x-codex-rate-limit-reached-type",
)


def window_of(used_percent: object, minutes: object, resets_at: object) -> Window:
    """A window, from numbers or texts of them; what cannot be read is unknown, or nothing used."""
    used, length = number_in(used_percent) or 0.0, number_in(minutes) or 0.0
    within = 1 <= length <= _TEN_YEARS
    return Window(int(length) if within else None, min(max(used, 0.0), 100.0), time_in(resets_at))


_TEN_YEARS = 5_256_000  # minutes; a longer window is a mistake


def time_in(value: object) -> float | None:
    """A time in Unix seconds; None if ``value`` is none, or none that a date can be made of."""
    number = number_in(value) or 0.0
    if number >= _MILLISECONDS:
        number /= 1000
    return number if 0 < number < LATEST_TIME else None


_MILLISECONDS = 1e11  # as seconds the year 5138; a larger number counts milliseconds


def number_in(value: object) -> float | None:
    """A finite number, or the text of one; None for everything else, ``True`` among it."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
