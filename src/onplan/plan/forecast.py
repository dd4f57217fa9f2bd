"""When each usage window runs out at the present pace, computed from what was read of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from onplan.errors import utc_time
from onplan.types.limits import Limits, Window

# The pace is that of the last hour, if readings cover five minutes of it: percentages may be whole numbers,
# so a shorter time says little. Otherwise it is the pace since the window began.
_RECENT, _ENOUGH = 3600.0, 300.0
_JITTER = 120.0  # seconds by which the reset time of one window varies between answers


class Forecast(msgspec.Struct, frozen=True):
    """What becomes of one usage window if it is used as it is now.

    Attributes:
        window: as it was read last.
        percent_per_hour: the pace; None if it is not known yet.
        runs_out_at: when nothing is left, Unix seconds; None if it lasts until it resets, or it is not known.
    """

    window: Window
    percent_per_hour: float | None = None
    runs_out_at: float | None = None

    @property
    def run_out_time(self) -> datetime | None:
        """``runs_out_at`` as an aware datetime in UTC; ``.astimezone()`` makes it local."""
        return utc_time(self.runs_out_at)


def forecast(readings: Limits | Iterable[Limits]) -> list[Forecast]:
    """When each of the plan's windows runs out at the present pace, in the order of the latest reading.

    Args:
        readings: one or more answers of ``client.limits()`` or ``response.limits``, in any order. One alone
            tells the pace since each window began; several over five minutes or more tell the pace of the
            last hour.
    """
    given = [readings] if isinstance(readings, Limits) else list(readings)
    known = sorted((limits for limits in given if limits.read_at is not None), key=_read_at)
    if not known:
        return [Forecast(window) for window in given[-1].windows] if given else []
    return [_forecast(window, known) for window in known[-1].windows]


def _read_at(limits: Limits) -> float:
    return limits.read_at or 0.0


def _forecast(window: Window, readings: Sequence[Limits]) -> Forecast:
    now = _read_at(readings[-1])
    if window.is_used_up:
        return Forecast(window, runs_out_at=now)
    pace = _recent_pace(window, readings)  # per cent in a second
    if pace is None:
        pace = _pace_since_it_began(window, now)
    if pace is None:
        return Forecast(window)
    runs_out_at = now + window.left_percent / pace if pace else None
    if runs_out_at and window.resets_at and runs_out_at >= window.resets_at:
        runs_out_at = None
    return Forecast(window, pace * 3600, runs_out_at)


def _recent_pace(window: Window, readings: Sequence[Limits]) -> float | None:
    now = _read_at(readings[-1])
    since, used = now, window.used_percent
    for limits in reversed(readings):
        earlier = next((each for each in limits.windows if each.minutes == window.minutes), None)
        if now - _read_at(limits) > _RECENT or earlier is None or not _is_same(earlier, window):
            break
        since, used = _read_at(limits), earlier.used_percent
    if now - since < _ENOUGH:
        return None
    return (window.used_percent - used) / (now - since)


def _is_same(earlier: Window, window: Window) -> bool:
    """Whether the window has not reset between two readings."""
    if earlier.used_percent > window.used_percent:
        return False
    if earlier.resets_at is None or window.resets_at is None:
        return True
    return abs(earlier.resets_at - window.resets_at) <= _JITTER


def _pace_since_it_began(window: Window, now: float) -> float | None:
    if window.minutes is None or window.resets_at is None:
        return None
    lasted = now - (window.resets_at - window.minutes * 60)
    return window.used_percent / lasted if lasted >= _ENOUGH else None
