"""Which allowance is used up, as the backend's headers tell it."""

from __future__ import annotations

import msgspec
import pytest

from onplan.answers.failures import failure_of_response
from onplan.answers.limits import Limit, headers_of_event, limit_reached, time_in, until_reset, window_of
from onplan.errors import UsageLimitError
from onplan.flow import Response
from onplan.types.limits import Window, window_name

FIVE_HOURS = {
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1800000000",
}
WEEK = {
    "x-codex-secondary-used-percent": "100.0",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-at": "1800500000",
}
SPARK = {
    "x-codex-bengalfox-limit-name": "Spark",
    "x-codex-bengalfox-primary-used-percent": "100",
    "x-codex-bengalfox-primary-window-minutes": "60",
}


@pytest.mark.parametrize(
    ("minutes", "name"),
    [
        (60, "hourly"),
        (300, "5-hour"),
        (1_440, "daily"),
        (10_080, "weekly"),
        (43_200, "30-day"),
        (90, "90-minute"),
    ],
)
def test_a_window_is_named_by_its_length(minutes: int, name: str) -> None:
    """Not by its place: either may be the week."""
    assert window_name(minutes) == name


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({}, None),
        ({"x-codex-primary-used-percent": "12.5", "x-codex-primary-window-minutes": "300"}, None),
        (FIVE_HOURS, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, **WEEK}, Limit(10_080, 1_800_500_000.0)),
        ({**FIVE_HOURS, "x-codex-primary-reset-at": ""}, Limit(300)),
        ({**FIVE_HOURS, "x-codex-primary-window-minutes": "nan"}, Limit(None, 1_800_000_000.0)),
        ({**FIVE_HOURS, "x-codex-primary-used-percent": "False"}, None),
        ({"x-codex-active-limit": "codex_other"}, None),
        (
            {"x-codex-active-limit": "codex_other", "x-codex-other-limit-name": "Other"},
            Limit(meter="Other"),
        ),
        # "premium" is told on every plan, and there is nothing of that name (real answers, 2026).
        ({**FIVE_HOURS, "x-codex-active-limit": "premium"}, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, "x-codex-active-limit": "Standard"}, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, "x-codex-active-limit": "codex"}, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, "x-codex-active-limit": ""}, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, **WEEK, "x-codex-active-limit": "premium"}, Limit(10_080, 1_800_500_000.0)),
        ({**FIVE_HOURS, "x-codex-limit-name": "codex"}, Limit(300, 1_800_000_000.0)),
        ({**FIVE_HOURS, "x-codex-primary-reset-at": "0"}, Limit(300)),
        ({**FIVE_HOURS, **SPARK, "x-codex-active-limit": "codex_bengalfox"}, Limit(60, None, "Spark")),
        ({**FIVE_HOURS, **SPARK, "x-codex-active-limit": " Codex_Bengalfox "}, Limit(60, None, "Spark")),
        ({**FIVE_HOURS, **SPARK, "x-codex-bengalfox-limit-name": ""}, Limit(300, 1_800_000_000.0)),
        (
            {**SPARK, "x-codex-active-limit": "codex_bengalfox", "x-codex-bengalfox-limit-name": ""},
            Limit(60),
        ),
        (SPARK, Limit(60, None, "Spark")),
        ({**SPARK, "x-codex-bengalfox-primary-used-percent": "50"}, None),
        ({**FIVE_HOURS, **WEEK, "x-codex-secondary-reset-at": ""}, Limit(300, 1_800_000_000.0)),
        (
            {**FIVE_HOURS, "x-codex-active-limit": "p", "x-p-primary-used-percent": ""},
            Limit(300, 1_800_000_000.0),
        ),
        (
            {"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"},
            Limit(credits_of="member"),
        ),
        (
            {"x-codex-rate-limit-reached-type": "rate_limit_reached", **FIVE_HOURS},
            Limit(300, 1_800_000_000.0),
        ),
    ],
)
def test_the_one_that_is_used_up_is_found(headers: dict[str, str], limit: Limit | None) -> None:
    """Of two windows that are, the one which resets last; values that are no numbers say nothing."""
    assert limit_reached(headers) == limit


def test_it_is_told_in_words() -> None:
    """The sentence says which limit and whose; the advice depends on the plan."""
    assert Limit(300).sentence("plus") == "The 5-hour usage limit of the plus plan is reached"
    assert Limit().sentence(None) == "The usage limit of the ChatGPT plan is reached"
    assert Limit(10_080, meter="Other").sentence("plus") == "The weekly usage limit for Other is reached"
    assert "admin" in Limit(300).advice("team")
    assert "upgrade to Plus" in Limit(300).advice("free")
    assert "settings/usage" in Limit(300).advice("moonshot")


@pytest.mark.parametrize(
    ("plans", "words"),
    [
        (("free", "Free"), "upgrade to Plus: https://chatgpt.com/explore/plus."),
        (("plus",), "or upgrade to Pro: https://chatgpt.com/explore/pro."),
        (("pro", "PRO"), "or buy credits: "),
        (("team", "business", "enterprise", "edu"), "or ask your workspace's admin for more."),
        ((None, "", "moonshot"), "or see https://"),
    ],
)
def test_what_helps_on_each_plan(plans: tuple[str | None, ...], words: str) -> None:
    """Waiting always does; what else can be done depends on the plan, and not on a window."""
    for plan in plans:
        assert words in Limit(300).advice(plan) == Limit().advice(plan)
        assert Limit(300).advice(plan).startswith("Wait until it resets, ")
        assert Limit(meter="Spark").advice(plan).endswith("choose another model: `onplan models`.")
        assert Limit(credits_of="member").advice(plan) == "Ask your workspace's admin for more credits."


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (1_800_000_000, 1_800_000_000.0),
        ("1800000000.5", 1_800_000_000.5),
        (1_800_000_000_000, 1_800_000_000.0),
        (100_000_000_000, 100_000_000.0),
        (99_999_999_999, None),
        (29_999_999_999, 29_999_999_999.0),
        (30_000_000_000, None),
        (0.5, 0.5),
        (0, None),
        (-1, None),
        (True, None),
        ("soon", None),
        (None, None),
    ],
)
def test_what_is_a_time(given: object, read: float | None) -> None:
    """Seconds, or milliseconds where they would be a time that no calendar shows; text of them, too."""
    assert time_in(given) == read


def test_when_it_resets_is_told_where_it_is_known() -> None:
    """As the end of a sentence, in local time."""
    assert until_reset(1_800_000_000.0).startswith("; it resets at 2027-01-1")
    assert until_reset(None) == until_reset(3e10) == ""


@pytest.mark.parametrize(
    ("minutes", "read"),
    [("0", None), ("0.5", None), ("1", 1), ("300.9", 300), ("5256000", 5_256_000), ("5256001", None)],
)
def test_how_long_a_window_may_be(minutes: str, read: int | None) -> None:
    """Between a minute and ten years; anything else is a mistake, and unknown."""
    assert window_of("50", minutes, None) == Window(read, 50.0, None)


@pytest.mark.parametrize(
    ("used", "read"),
    [("0", 0.0), ("-1", 0.0), ("99.5", 99.5), (100, 100.0), ("101", 100.0), ("half", 0.0), (None, 0.0)],
)
def test_how_much_may_be_used(used: object, read: float) -> None:
    """From nothing to all of it, whatever is said."""
    assert window_of(used, None, None) == Window(None, read, None)


@pytest.mark.parametrize(
    ("moment", "read"),
    [
        ("1800000000", 1_800_000_000.0),
        (1_800_000_000_500, 1_800_000_000.5),
        ("0", None),
        ("soon", None),
        (True, None),
        (1e300, None),
    ],
)
def test_when_a_window_resets(moment: object, read: float | None) -> None:
    """In seconds or milliseconds; 0 and what no calendar shows say nothing."""
    assert window_of(None, None, moment).resets_at == read


def test_the_plans_own_meter_has_no_name() -> None:
    """In headers as in events: "codex" stands for the plan, however it is written."""
    for name in ("codex", "Codex", "CODEX"):
        assert limit_reached({**FIVE_HOURS, "x-codex-limit-name": name}) == Limit(300, 1_800_000_000.0)
        assert headers_of_event(name, "plus", None) == {"x-codex-plan-type": "plus"}
    assert headers_of_event("GPT 5: Spark!", None, None) == {"x-gpt-5-spark-limit-name": "GPT 5: Spark!"}


@pytest.mark.parametrize(
    ("headers", "says", "hint"),
    [
        (
            {"x-codex-rate-limit-reached-type": "workspace_owner_credits_depleted"},
            "The credits of your workspace are used up",
            "Add credits to the workspace",
        ),
        (
            {"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"},
            "The credits of your workspace are used up",
            "Ask your workspace's admin for more credits",
        ),
        ({**SPARK, "x-codex-active-limit": "codex_bengalfox"}, "limit for Spark", "choose another model"),
        (FIVE_HOURS, "The 5-hour usage limit of the ChatGPT plan", "Wait until it resets, or see"),
    ],
    ids=["owner", "member", "a model's own meter", "the plan's"],
)
def test_what_a_refusal_says_of_a_used_up_limit(headers: dict[str, str], says: str, hint: str) -> None:
    """The error names the limit and who can do something about it."""
    body = msgspec.json.encode({"error": {"type": "usage_limit_reached"}})
    error = failure_of_response(Response(429, headers, body), now=1.7e9)

    assert says in error.message
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    "error",
    [
        {"plan_type": 5},
        {"resets_at": 10**400},
        {"resets_at": "soon"},
        {"resets_in_seconds": 1e300},
    ],
)
def test_nonsense_in_a_limit_is_left_out(error: dict[str, object]) -> None:
    """Whatever stands beside it, a used-up allowance is told as one."""
    body = msgspec.json.encode({"error": {"type": "usage_limit_reached", **error}})

    failure = failure_of_response(Response(429, {}, body), 0.0)
    assert isinstance(failure, UsageLimitError)
    assert failure.message


def test_an_error_in_a_list_is_read() -> None:
    """One server wraps its error in a list."""
    body = b'[{"error": {"code": 400, "message": "API key not valid"}}]'

    assert failure_of_response(Response(400, {}, body), 0.0).message == "API key not valid"


UNUSED = {**FIVE_HOURS, **WEEK, "x-codex-primary-used-percent": "98", "x-codex-secondary-used-percent": "70"}


@pytest.mark.parametrize(
    ("headers", "resets_at", "minutes"),
    [
        (UNUSED, 1_800_000_000, 300),
        (UNUSED, 1_800_000_060, 300),
        (UNUSED, 1_800_000_060.5, None),
        (UNUSED, 1_800_500_000, 10_080),
        (UNUSED, 1_800_000_900, None),
        (UNUSED, None, None),
        ({**FIVE_HOURS, **WEEK}, 1_800_000_000, 300),
        ({**UNUSED, "x-codex-secondary-used-percent": "100"}, 1_800_000_000, 10_080),
    ],
)
def test_a_window_may_be_known_by_when_it_resets(
    headers: dict[str, str], resets_at: float | None, minutes: int | None
) -> None:
    """Headers from before the failure may not know yet which window is used up; the failure says when."""
    limit = limit_reached(headers, resets_at)

    assert (limit and limit.minutes) == minutes


def test_the_plan_is_told_by_a_header_as_well() -> None:
    """The sentence and the advice are for the plan that the backend names."""
    body = msgspec.json.encode({"error": {"type": "usage_limit_reached"}})

    failure = failure_of_response(Response(429, {**FIVE_HOURS, "x-codex-plan-type": "free"}, body), 0.0)

    assert failure.message.startswith("The 5-hour usage limit of the free plan is reached")
    assert "upgrade to Plus" in failure.hint


@pytest.mark.parametrize(
    ("name", "meter"),
    [
        (None, None),
        ("codex", None),
        ("Codex", None),
        ("GPT-5.3-Codex-Spark", "GPT-5.3-Codex-Spark"),
        (7, None),
    ],
)
def test_an_event_says_what_headers_say(name: object, meter: str | None) -> None:
    """``codex.rate_limits`` is how a WebSocket tells of them; floats, integers and nulls alike."""
    window = {"used_percent": 99.5, "window_minutes": 300, "reset_at": 1_800_000_000}

    assert limit_reached(headers_of_event(name, "plus", {"primary": window, "secondary": None})) == Limit(
        300, 1_800_000_000.0, meter
    )
