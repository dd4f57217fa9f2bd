"""What the plan allows: usage windows that fill as tokens are used, and reset by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from onplan.emulator.wire.limits import FIVE_HOURS, WEEK, Window

MOST_WINDOWS = 2
_PLENTY = 1_000_000_000  # tokens


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A usage window of `minutes` that `tokens` fill; `used` of them when the emulator starts.

    `resets_in`: seconds until it resets for the first time; without it, its whole length.
    """

    minutes: int
    tokens: int
    used: int = 0
    resets_in: int | None = None

    def first(self) -> int:
        """Seconds until it resets for the first time."""
        return self.minutes * 60 if self.resets_in is None else self.resets_in


def check_limits(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """The limits, if they can be played. ValueError with a sentence if not."""
    checked = tuple(limits)
    if len(checked) > MOST_WINDOWS:
        raise ValueError(f"limits cannot be played: there are {len(checked)}, and a plan has two at most.")
    for index, limit in enumerate(checked):
        try:
            msgspec.convert(msgspec.to_builtins(limit), Limit)
        except msgspec.ValidationError as error:
            raise ValueError(f"limits[{index}] cannot be played: {error}.") from error
        for name, least in (("minutes", 1), ("tokens", 1), ("used", 0), ("resets_in", 0)):
            value = getattr(limit, name)
            if value is not None and value < least:
                raise ValueError(f"limits[{index}] cannot be played: {name} must be at least {least}.")
    return checked


@dataclass
class _Filling:
    """A window as it fills. `resets_at`: Unix seconds."""

    limit: Limit
    used: int
    resets_at: float


class Allowance:
    """The usage windows of the plan, the primary one first. Without limits they never fill."""

    def __init__(self, limits: Iterable[Limit] | None, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._windows: list[_Filling] | None = None
        self.set(limits)

    def set(self, limits: Iterable[Limit] | None) -> None:
        """Begin anew with these limits; None: the usual two, which never fill. ValueError for bad ones."""
        if limits is None:
            self._windows = None
            return
        now = self._now()
        self._windows = [_Filling(limit, limit.used, now + limit.first()) for limit in check_limits(limits)]

    def reset(self) -> int:
        """Every window begins anew; how many of them had been used. The usual two begin to fill then."""
        if self._windows is None:
            self.set([Limit(minutes, _PLENTY) for minutes in (FIVE_HOURS.minutes, WEEK.minutes)])
            return MOST_WINDOWS
        used = sum(window.used > 0 for window in self._current())
        self.set([msgspec.structs.replace(window.limit, used=0, resets_in=None) for window in self._windows])
        return used

    def use(self, tokens: int) -> None:
        """Count tokens into every window."""
        for window in self._current():
            window.used += tokens

    def windows(self) -> tuple[Window, ...]:
        """The windows as the services show them."""
        if self._windows is None:
            return FIVE_HOURS, WEEK
        now = self._now()
        return tuple(
            Window(
                used_percent=min(100.0, 100 * window.used / window.limit.tokens),
                minutes=window.limit.minutes,
                resets_in=max(0, round(window.resets_at - now)),
            )
            for window in self._current()
        )

    def full(self) -> Window | None:
        """The window that is used up; of several the one that resets last. None while all have something."""
        full = [window for window in self.windows() if window.used_percent >= 100]
        return max(full, key=lambda window: window.resets_in, default=None)

    def used(self) -> list[dict[str, int]]:
        """Each window with the tokens that fill it and those used."""
        return [
            {"minutes": window.limit.minutes, "tokens": window.limit.tokens, "used": window.used}
            for window in self._current()
        ]

    def _current(self) -> list[_Filling]:
        """The windows, those whose time has come reset."""
        now = self._now()
        for window in self._windows or ():
            if window.resets_at <= now:
                window.used = 0
                window.resets_at = now + window.limit.minutes * 60
        return self._windows or []
