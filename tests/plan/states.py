"""Seven states of a plan, as the backend tells them in each of its three ways, and what is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onplan.types import Credits, Limits, Meter, SpendingLimit, Window

NOW = 1_800_000_000.0  # 15 January 2027, 08:00 UTC
IN_AN_HOUR, IN_TWO_HOURS, IN_THREE_DAYS = 1_800_003_600, 1_800_007_200, 1_800_259_200


@dataclass(frozen=True)
class State:
    """One state.

    Attributes:
        headers: as they come with an answer.
        event: the fields of a ``codex.rate_limits`` event.
        usage: the body of ``/wham/usage``.
        limits: what is read from ``usage``, but for ``read_at``.
        of_headers: what is read from ``headers``, if that differs.
        of_event: what is read from ``event``, if that differs.
    """

    headers: dict[str, str]
    event: dict[str, Any]
    usage: dict[str, Any]
    limits: Limits
    of_headers: Limits | None = None
    of_event: Limits | None = None


def headers(prefix: str = "x-codex", **windows: tuple[object, object, object]) -> dict[str, str]:
    """The headers of windows: used per cent, minutes, reset time."""
    return {
        f"{prefix}-{which}-{name}": str(value)
        for which, values in windows.items()
        for name, value in zip(("used-percent", "window-minutes", "reset-at"), values, strict=True)
    }


def event(**windows: tuple[object, object, object] | None) -> dict[str, Any]:
    """The same as an event."""
    fields = ("used_percent", "window_minutes", "reset_at")
    return {
        "plan_type": "plus",
        "rate_limits": {
            which: values and dict(zip(fields, values, strict=True)) for which, values in windows.items()
        },
        "credits": None,
        "metered_limit_name": "codex",
    }


def usage(
    *windows: tuple[object, int, object] | None, plan: Any = "plus", allowed: bool = True, **more: Any
) -> dict[str, Any]:
    """The same as the usage endpoint answers it."""
    told = [
        window
        and {
            "used_percent": window[0],
            "limit_window_seconds": window[1] * 60,
            "reset_after_seconds": 0,
            "reset_at": window[2],
        }
        for window in windows
    ]
    primary, secondary = [*told, None, None][:2]
    return {
        "plan_type": plan,
        "user_id": "user-1",
        "account_id": "acct-1",
        "email": "person@example.com",
        "rate_limit": {
            "allowed": allowed,
            "limit_reached": not allowed,
            "primary_window": primary,
            "secondary_window": secondary,
        },
        "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
        "additional_rate_limits": None,
        "spend_control": None,
        "rate_limit_reached_type": None,
        "rate_limit_reset_credits": {"available_count": 0},
        **more,
    }


PLUS = {"x-codex-plan-type": "plus"}
NO_CREDITS = Credits(balance=0.0)
HAS_NONE = {
    "x-codex-credits-has-credits": "False",
    "x-codex-credits-unlimited": "False",
    "x-codex-credits-balance": "",
}


def windows(*rows: tuple[float, int, float | None]) -> list[Window]:
    """Windows, each with what is used, its minutes, and when it resets."""
    return [Window(minutes, used, resets_at) for used, minutes, resets_at in rows]


def _plus(*rows: tuple[float, int, float | None], **more: Any) -> Limits:
    told = {"credits": NO_CREDITS, "reset_credits": 0, "is_allowed": True, **more}
    return Limits(plan="plus", windows=windows(*rows), **told)


FRESH = State(
    headers={**PLUS, **headers(primary=(0, 300, IN_TWO_HOURS), secondary=(0, 10_080, IN_THREE_DAYS))},
    event=event(primary=(0.0, 300, IN_TWO_HOURS), secondary=(0.0, 10_080, IN_THREE_DAYS)),
    usage=usage((0, 300, IN_TWO_HOURS), (0, 10_080, IN_THREE_DAYS)),
    limits=_plus((0, 300, IN_TWO_HOURS), (0, 10_080, IN_THREE_DAYS)),
    of_headers=Limits("plus", windows((0, 300, IN_TWO_HOURS), (0, 10_080, IN_THREE_DAYS))),
)
HALF = State(
    headers={
        **PLUS,
        **HAS_NONE,
        **headers(primary=("50.5", 300, IN_TWO_HOURS), secondary=(34, 10_080, IN_THREE_DAYS)),
    },
    event=event(primary=(50.5, 300, IN_TWO_HOURS), secondary=(34, 10_080, IN_THREE_DAYS)),
    usage=usage(
        (50, 300, IN_TWO_HOURS),
        (34, 10_080, IN_THREE_DAYS),
        rate_limit_reset_credits={"available_count": 1},
    ),
    limits=_plus((50, 300, IN_TWO_HOURS), (34, 10_080, IN_THREE_DAYS), reset_credits=1),
    of_headers=Limits(
        "plus", windows((50.5, 300, IN_TWO_HOURS), (34, 10_080, IN_THREE_DAYS)), credits=Credits()
    ),
    of_event=Limits("plus", windows((50.5, 300, IN_TWO_HOURS), (34, 10_080, IN_THREE_DAYS))),
)
# The 5-hour window was switched off in summer 2026: the week comes as the first.
WEEKLY_ONLY = State(
    headers={**PLUS, **headers(primary=("71.0", 10_080, IN_THREE_DAYS), secondary=(0, 0, ""))},
    event=event(primary=(71.0, 10_080, IN_THREE_DAYS), secondary=None),
    usage=usage((71, 10_080, IN_THREE_DAYS), None),
    limits=_plus((71, 10_080, IN_THREE_DAYS)),
    of_headers=Limits("plus", windows((71, 10_080, IN_THREE_DAYS))),
)
# A real 429 names the limit "premium", on every plan, and describes the plan's own windows.
PREMIUM_429 = State(
    headers={
        **PLUS,
        **HAS_NONE,
        **headers(primary=(100, 300, IN_AN_HOUR), secondary=(34, 10_080, IN_THREE_DAYS)),
        "x-codex-active-limit": "premium",
        "x-codex-rate-limit-reached-type": "rate_limit_reached",
    },
    event=event(primary=(100.0, 300, IN_AN_HOUR), secondary=(34, 10_080, IN_THREE_DAYS)),
    usage=usage(
        (100, 300, IN_AN_HOUR),
        (34, 10_080, IN_THREE_DAYS),
        allowed=False,
        rate_limit_reached_type={"type": "rate_limit_reached"},
        rate_limit_upsell={"type": "pro"},
    ),
    limits=_plus(
        (100, 300, IN_AN_HOUR),
        (34, 10_080, IN_THREE_DAYS),
        is_allowed=False,
        reached="rate_limit_reached",
    ),
    of_headers=Limits(
        "plus",
        windows((100, 300, IN_AN_HOUR), (34, 10_080, IN_THREE_DAYS)),
        credits=Credits(),
        reached="rate_limit_reached",
    ),
    of_event=Limits("plus", windows((100, 300, IN_AN_HOUR), (34, 10_080, IN_THREE_DAYS))),
)
NO_WINDOWS = State(
    headers={**PLUS},
    event={"plan_type": "plus", "rate_limits": None, "credits": None},
    usage={"plan_type": "plus", "rate_limit": None, "credits": None},
    limits=Limits("plus"),
)
# Empty and Pythonic headers were seen; the rest is what no service has sent yet.
ODD = State(
    headers={
        "x-codex-plan-type": " ",
        "x-codex-active-limit": "",
        **headers(primary=("True", "", "soon"), secondary=("34.25", "1e400", "1800259200000")),
        **headers("x-codex-bengalfox", primary=("180", "60", "-5")),
        "x-codex-bengalfox-limit-name": " Spark ",
        "x-codex-credits-has-credits": "True",
        "x-codex-credits-unlimited": "0",
        "x-codex-credits-balance": "nan",
        "x-codex-promo-message": "",
    },
    event={
        "plan_type": ["plus"],
        "rate_limits": {"primary": [1], "secondary": {"used_percent": "34.25", "window_minutes": True}},
        "credits": {"has_credits": "yes", "balance": {}},
    },
    usage={
        "plan_type": 5,
        "rate_limit": {
            "allowed": "perhaps",
            "primary_window": {"used_percent": None, "limit_window_seconds": 18_000},
            "secondary_window": {
                "used_percent": "34.25",
                "limit_window_seconds": -1,
                "reset_at": 1_800_259_200_000,
            },
        },
        "credits": {"has_credits": 1, "unlimited": None, "balance": "12,50", "overage_limit_reached": "no"},
        "additional_rate_limits": [
            None,
            {"limit_name": 7, "metered_feature": None, "rate_limit": {"primary_window": {"used_percent": 1}}},
            {
                "limit_name": " Spark ",
                "metered_feature": "codex_bengalfox",
                "rate_limit": {
                    "primary_window": {"used_percent": 180, "limit_window_seconds": 3600, "reset_at": -5}
                },
            },
        ],
        "spend_control": {"reached": None, "individual_limit": {"limit": "100", "used": [], "reset_at": "x"}},
        "rate_limit_reached_type": "strange",
        "rate_limit_reset_credits": {"available_count": "2"},
        "sparkle": 1,
    },
    limits=Limits(
        windows=[Window(None, 34.25, IN_THREE_DAYS)],
        credits=Credits(has_credits=True),
        meters=[Meter("codex_bengalfox", "Spark", windows((100, 60, None)))],
        spending=SpendingLimit(limit=100.0),
        reset_credits=2,
        reached="strange",
    ),
    of_headers=Limits(
        windows=[Window(None, 34.25, IN_THREE_DAYS)],
        credits=Credits(has_credits=True),
        meters=[Meter("codex_bengalfox", "Spark", windows((100, 60, None)))],
    ),
    of_event=Limits(windows=[Window(None, 34.25)], credits=Credits()),
)
CREDITS_ONLY = State(
    headers={
        "x-codex-plan-type": "business",
        "x-codex-credits-has-credits": "true",
        "x-codex-credits-unlimited": "false",
        "x-codex-credits-balance": "12.50",
    },
    event={
        "plan_type": "business",
        "rate_limits": None,
        "credits": {"has_credits": True, "unlimited": False, "balance": "12.50"},
    },
    usage={
        "plan_type": "business",
        "rate_limit": None,
        "credits": {
            "has_credits": True,
            "unlimited": False,
            "balance": 12.5,
            "approx_local_messages": [10, 20],
            "overage_limit_reached": False,
        },
        "rate_limit_reset_credits": None,
    },
    limits=Limits("business", credits=Credits(has_credits=True, balance=12.5)),
)

STATES = {
    "fresh": FRESH,
    "half": HALF,
    "weekly only": WEEKLY_ONLY,
    "premium 429": PREMIUM_429,
    "no windows": NO_WINDOWS,
    "odd headers": ODD,
    "credits only": CREDITS_ONLY,
}
