"""What the plan has left, as lines of text: with bars at a terminal, in words without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from onplan.cli.talk import broken, columns
from onplan.config.descriptions import local_time
from onplan.plan.forecast import Forecast
from onplan.plan.usage_reply import ResetCredit
from onplan.types import Credits, Limits, SpendingLimit, Window

_NARROW = 64  # columns; below, each part of a window has a line of its own
_BAR = 24
_LABEL = 10


@dataclass(frozen=True)
class Screen:
    """Where the lines go.

    Attributes:
        width: columns of a terminal; None where there is none, and so no bars.
        colour: whether bars are coloured.
        blocks: whether it has block characters.
    """

    width: int | None = None
    colour: bool = False
    blocks: bool = True


@dataclass(frozen=True)
class View:
    """What is shown.

    Attributes:
        limits: what the plan has left.
        forecasts: of its windows, in the same order.
        resets: the reset credits, if they could be listed.
        now: Unix seconds.
    """

    limits: Limits
    forecasts: Sequence[Forecast]
    resets: Sequence[ResetCredit]
    now: float


def lines(view: View, screen: Screen) -> list[str]:
    """The lines to print. At a terminal none is wider than it, but for words that are."""
    rows = list(_rows(view, screen))
    label = max(_LABEL, *(len(name) for name, _ in rows))
    if screen.width is not None and screen.width < _NARROW:
        return [line for name, parts in rows for line in _stacked(name, parts, screen.width)]
    return [line for name, parts in rows for line in _beside(name, parts, label, screen)]


Row = tuple[str, list[str]]


def _rows(view: View, screen: Screen) -> Iterator[Row]:
    """Each row: its label, and its parts, the first of which stands beside the label."""
    limits = view.limits
    yield "plan", [f"ChatGPT {limits.plan.capitalize()}" if limits.plan else "unknown"]
    for forecast in view.forecasts:
        yield forecast.window.name, _window(forecast, view.now, screen)
    if not limits.windows:
        yield "windows", ["the backend tells of no usage window"]
    for meter in limits.meters:
        for window in meter.windows:
            yield f"{meter.name or meter.id} {window.name}", _window(Forecast(window), view.now, screen)
    if limits.credits:
        yield "credits", [_credits(limits.credits)]
    if limits.spending:
        yield "spending", _spending(limits.spending, view.now, screen)
    if limits.reset_credits:
        yield "resets", list(_resets(limits.reset_credits, view.resets))
    if said := _REACHED.get(limits.reached or ""):
        yield "stopped", [said]


_REACHED: Mapping[str, str] = {
    "workspace_owner_credits_depleted": "The credits of your workspace are used up.",
    "workspace_member_credits_depleted": "The credits of your workspace are used up.",
    "workspace_owner_usage_limit_reached": "The usage limit of your workspace is reached.",
    "workspace_member_usage_limit_reached": "Your usage limit in the workspace is reached.",
}


def _window(forecast: Forecast, now: float, screen: Screen) -> list[str]:
    window = forecast.window
    used = f"{percent(window.used_percent):>4} used"
    parts = [used if screen.width is None else f"{bar(window.used_percent, _BAR, screen)} {used}"]
    parts += _reset(window.resets_at, now, screen)
    if window.is_used_up:
        return [*parts, _painted("nothing is left until it resets", "red", screen)]
    if forecast.runs_out_at is not None:
        when = _when(forecast.runs_out_at, now, screen)
        parts.append(_painted(f"at this pace it runs out {when}", "yellow", screen))
    return parts


def _reset(resets_at: float | None, now: float, screen: Screen) -> list[str]:
    if resets_at is None:
        return []
    return [f"resets {_when(resets_at, now, screen)}" if resets_at > now else "resets now"]


def _when(moment: float, now: float, screen: Screen) -> str:
    """A local time, as short as it is clear at a terminal, and how far away it is."""
    local, today = (datetime.fromtimestamp(each).astimezone() for each in (moment, now))
    if screen.width is None:
        at = local_time(moment)
    elif local.date() == today.date():
        at = f"{local:%H:%M}"
    else:
        year = "" if local.year == today.year else f" {local.year}"
        at = f"{local:%a} {local.day} {local:%b}{year} {local:%H:%M}"
    return f"{at}, in {span(moment - now)}"


def span(seconds: float) -> str:
    """``3 days 2 h``, ``2 h 30 min``, ``45 min``; whole minutes, and one at least."""
    minutes = max(1, round(seconds / 60))
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if days:
        return f"{days} day{'s' if days > 1 else ''}" + (f" {hours} h" if hours else "")
    return " ".join(
        [*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes or not hours else [])]
    )


def percent(used: float) -> str:
    """``12%``; never 0 % of what is used a little, nor 100 % of what is not used up."""
    if 0 < used < 1:
        return "<1%"
    return f"{used:.0f}%" if used >= 99.5 or used < 99 else "99%"


def bar(used: float, width: int, screen: Screen) -> str:
    """A bar of ``width`` characters, filled as much as is used."""
    filled = round(width * used / 100)
    if 0 < used < 99.5:
        filled = min(max(filled, 1), width - 1)
    full, empty = "█░" if screen.blocks else "#-"
    colour = "red" if used >= 90 else "yellow" if used >= 70 else "green"
    return _painted(full * filled, colour, screen) + empty * (width - filled)


def _painted(text: str, colour: str, screen: Screen) -> str:
    return click.style(text, fg=colour) if screen.colour and text else text


def _credits(credit: Credits) -> str:
    if credit.unlimited:
        return "unlimited"
    if not credit.has_credits or credit.balance == 0:
        return "none"
    left = "some left" if credit.balance is None else f"{credit.balance:,.2f} left"
    return f"{left}, of which no more may be spent now" if credit.overage_limit_reached else left


def _spending(spending: SpendingLimit, now: float, screen: Screen) -> list[str]:
    used = "" if spending.used_percent is None else f"{percent(spending.used_percent)} used"
    if spending.limit is not None and spending.used is not None:
        used = f"{spending.used:,.2f} of {spending.limit:,.2f} credits used"
    reached = ["your limit in the workspace is reached"] if spending.reached else []
    return [part for part in (used, *reached, *_reset(spending.resets_at, now, screen)) if part] or [
        "limited"
    ]


def _resets(count: int, resets: Sequence[ResetCredit]) -> Iterator[str]:
    ends = sorted(each.expires_at for each in resets if each.status == "available" and each.expires_at)
    until = f", {'the first ' if count > 1 else ''}until {ends[0][:10]}" if ends else ""
    yield f"{count} reset credit{'s' if count > 1 else ''}{until}"
    yield "`onplan usage --reset` resets the windows with one"


def _beside(name: str, parts: list[str], label: int, screen: Screen) -> list[str]:
    """A row in a wide terminal or a file: on one line, or broken at its parts."""
    width = None if screen.width is None else screen.width - label - 1
    rows: list[str] = []
    fitted = parts if width is None else [line for part in parts for line in _fitted(part, width)]
    for part in fitted:
        if rows and (width is None or _width(rows[-1]) + 3 + _width(part) <= width):
            rows[-1] += f" · {part}" if screen.blocks else f", {part}"
        else:
            rows.append(part)
    return [f"{name if not number else '':<{label}} {row}" for number, row in enumerate(rows)]


def _stacked(name: str, parts: list[str], width: int) -> list[str]:
    """A row in a narrow terminal: its label, and below it each part, unless all of it fits on one line."""
    if len(parts) == 1 and max(len(name), _LABEL) + 1 + _width(parts[0]) <= width:
        return [f"{name:<{_LABEL}} {parts[0]}"]
    inside = max(width - 2, 10)
    return [name, *(f"  {line}" for part in parts for line in _fitted(part, inside))]


def _fitted(part: str, width: int) -> list[str]:
    return [part] if _width(part) <= width else broken(part, width)


def _width(text: str) -> int:
    return columns(click.unstyle(text))


def short(limits: Limits, now: float) -> str:
    """One line: ``5-hour 12% used, weekly 34% used``; a window that has reset since says so."""
    told = [_short(window, now) for window in limits.windows]
    if not told and limits.credits and limits.credits.are_usable:
        told = [f"credits: {_credits(limits.credits)}"]
    return ", ".join(told) or "no usage windows"


def _short(window: Window, now: float) -> str:
    if window.resets_at is not None and window.resets_at <= now:
        return f"{window.name} has reset since"
    return f"{window.name} {percent(window.used_percent)} used"
