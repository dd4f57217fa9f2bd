"""What a plan has left: its usage windows, its credits, and when more of it can be used."""

from __future__ import annotations

from datetime import datetime

import msgspec

from onplan.errors import utc_time

_HOUR, _DAY, _WEEK = 60, 1_440, 10_080
_NAMES = {_HOUR: "hourly", _DAY: "daily", _WEEK: "weekly"}
_USED_UP = 99.5  # per cent: some sources tell a fraction, others a whole number


def window_name(minutes: int) -> str:
    """A window's name, from its length: ``5-hour``, ``weekly``, ``30-day``, ``90-minute``."""
    if minutes in _NAMES:
        return _NAMES[minutes]
    for length, unit in ((_DAY, "day"), (_HOUR, "hour")):
        if minutes % length == 0:
            return f"{minutes // length}-{unit}"
    return f"{minutes}-minute"


class Window(msgspec.Struct, frozen=True):
    """A usage window: what may be used until it resets, after which its allowance is whole again.

    Attributes:
        minutes: its length, by which windows are told apart: 300 for five hours, 10,080 for a week; None if
            the backend does not say.
        used_percent: how much of it is used, 0 to 100.
        resets_at: when it resets, Unix seconds; None if the backend does not say.
    """

    minutes: int | None
    used_percent: float
    resets_at: float | None = None

    @property
    def name(self) -> str:
        """What it is called: ``5-hour``, ``weekly``; ``usage`` if its length is unknown."""
        return window_name(self.minutes) if self.minutes else "usage"

    @property
    def reset_time(self) -> datetime | None:
        """``resets_at`` as an aware datetime in UTC; ``.astimezone()`` makes it local."""
        return utc_time(self.resets_at)

    @property
    def left_percent(self) -> float:
        """How much of it is left, 0 to 100."""
        return 100.0 - self.used_percent

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left of it."""
        return self.used_percent >= _USED_UP


class Credits(msgspec.Struct, frozen=True):
    """Credits, bought in addition to the plan, which pay once a window is used up.

    Attributes:
        has_credits: whether there are some.
        unlimited: whether they never run out.
        balance: how many there are; None if the backend does not say.
        overage_limit_reached: whether no more of them may be spent now.
    """

    has_credits: bool = False
    unlimited: bool = False
    balance: float | None = None
    overage_limit_reached: bool = False

    @property
    def are_usable(self) -> bool:
        """Whether they pay for requests now."""
        return (self.unlimited or (self.has_credits and self.balance != 0)) and not self.overage_limit_reached


class Meter(msgspec.Struct, frozen=True):
    """Usage windows of their own, which some models have beside those of the plan.

    Attributes:
        id: how the backend names the meter.
        name: its name for people, if it has one.
        windows: the shortest first.
    """

    id: str
    name: str | None = None
    windows: list[Window] = []


class SpendingLimit(msgspec.Struct, frozen=True):
    """What one member of a workspace may spend of its credits. All of it is None if unknown.

    Attributes:
        reached: whether nothing is left.
        limit: how much may be spent, in credits.
        used: how much is spent.
        used_percent: the same, 0 to 100.
        resets_at: when it begins anew, Unix seconds.
    """

    reached: bool = False
    limit: float | None = None
    used: float | None = None
    used_percent: float | None = None
    resets_at: float | None = None

    @property
    def reset_time(self) -> datetime | None:
        """``resets_at`` as an aware datetime in UTC."""
        return utc_time(self.resets_at)


class Limits(msgspec.Struct, frozen=True):
    """What the plan has left, as far as the backend told. Nothing in it is an estimate.

    Attributes:
        plan: the plan's name, such as ``plus``.
        windows: the plan's usage windows, the shortest first. There may be none.
        credits: credits that were bought; None if the backend does not say.
        meters: windows of their own that some models have.
        spending: what a member of a workspace may spend; None if there is no such limit.
        reset_credits: how many reset credits there are, each of which resets the windows once
            (``onplan usage --reset``); None if the backend does not say.
        is_allowed: whether the backend says that the windows allow more requests; None if it does not say,
            as in headers.
        reached: the backend's word for the limit that is reached, such as ``rate_limit_reached``.
        read_at: when this was read, Unix seconds.
    """

    plan: str | None = None
    windows: list[Window] = []
    credits: Credits | None = None
    meters: list[Meter] = []
    spending: SpendingLimit | None = None
    reset_credits: int | None = None
    is_allowed: bool | None = None
    reached: str | None = None
    read_at: float | None = None

    def window(self, minutes: int) -> Window | None:
        """The plan's window of this length: 300 for five hours, 10,080 for a week; None if it has none."""
        return next((window for window in self.windows if window.minutes == minutes), None)

    @property
    def is_available(self) -> bool:
        """Whether the plan answers requests now: no window is used up, or credits pay."""
        if (self.spending and self.spending.reached) or _DEPLETED in (self.reached or ""):
            return False
        used_up = any(window.is_used_up for window in self.windows)
        allowed = self.is_allowed if self.is_allowed is not None else not used_up
        return allowed or bool(self.credits and self.credits.are_usable)

    @property
    def blocking(self) -> Window | None:
        """The window that has to reset before the plan answers again; None if none has, or it is unknown."""
        if self.is_available:
            return None
        # Where the backend says that a limit is reached, and no window is quite full, it is the fullest.
        used_up = [window for window in self.windows if window.is_used_up]
        fullest = sorted(self.windows, key=lambda window: window.used_percent)[-1:]
        blocking = used_up or (fullest if self.is_allowed is False else [])
        return max(blocking, key=lambda window: window.resets_at or 0.0, default=None)


_DEPLETED = "credits_depleted"
