"""What is left of the plan, as the Codex backend sends it: in headers, in an event, in JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onplan.emulator.wire.replies import Headers


@dataclass(frozen=True)
class Window:
    """One usage window. `used_percent` is a fraction in headers and events, and whole in JSON."""

    used_percent: float
    minutes: int
    resets_in: int


FIVE_HOURS = Window(used_percent=12.5, minutes=300, resets_in=9_000)
WEEK = Window(used_percent=34, minutes=10_080, resets_in=300_000)
NAMES = ("primary", "secondary")


def window_json(window: Window) -> dict[str, Any]:
    """A window as `/wham/usage` shows it."""
    return {
        # An integer: the official client rejects a reply with a fraction (0.120 to 0.171).
        "used_percent": int(window.used_percent),
        "limit_window_seconds": window.minutes * 60,
        "reset_after_seconds": window.resets_in,
        "reset_at": int(time.time()) + window.resets_in,
    }


def limit_headers(plan: str, windows: Sequence[Window] = (FIVE_HOURS, WEEK)) -> Headers:
    """The limits as headers; empty values and a Pythonic False were reported in 2026."""
    now = int(time.time())
    rows = [
        row
        for name, window in zip(NAMES, windows, strict=False)
        for row in (
            (f"x-codex-{name}-used-percent", f"{window.used_percent:g}"),
            (f"x-codex-{name}-window-minutes", str(window.minutes)),
            (f"x-codex-{name}-reset-at", str(now + window.resets_in)),
        )
    ]
    return (
        ("x-codex-plan-type", plan),
        # On every plan, although the windows are in x-codex-* (a Plus user's capture, November 2026).
        ("x-codex-active-limit", "premium"),
        *rows,
        ("x-codex-credits-has-credits", "False"),
        ("x-codex-credits-unlimited", "False"),
        ("x-codex-credits-balance", ""),
    )


def limits_event(plan: str, windows: Sequence[Window] = (FIVE_HOURS, WEEK)) -> dict[str, Any]:
    """The limits as the event in which they come over a WebSocket."""
    now = int(time.time())

    def shown(window: Window) -> dict[str, Any]:
        times = {"window_minutes": window.minutes, "reset_at": now + window.resets_in}
        return {"used_percent": window.used_percent, **times}

    return {
        "type": "codex.rate_limits",
        "plan_type": plan,
        "rate_limits": {
            **dict.fromkeys(NAMES),
            **{name: shown(window) for name, window in zip(NAMES, windows, strict=False)},
        },
        "credits": {"has_credits": False, "unlimited": False, "balance": None},
        "metered_limit_name": "codex",
    }
