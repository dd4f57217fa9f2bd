"""What ``onplan usage`` prints, in seven states, for every kind of screen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import click
import msgspec
import pytest
from msgspec.structs import replace
from tests.plan.states import CREDITS_ONLY, HALF, IN_TWO_HOURS, NOW, STATES, State, windows

from onplan.cli.talk import columns
from onplan.cli.usage import as_json
from onplan.cli.usage_view import Screen, View, bar, lines, percent, short, span
from onplan.plan.forecast import forecast
from onplan.plan.usage_reply import ResetCredit
from onplan.types import Credits, Limits, Meter, SpendingLimit, Window

WIDE = Screen(100, colour=False)
NARROW = Screen(40, colour=False)
COLOURED = Screen(100, colour=True)
PLAIN = Screen(None)
ASCII = Screen(100, colour=False, blocks=False)
CREDIT = ResetCredit("rc_1", "available", expires_at="2027-02-01T00:00:00Z")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are local, so the time zone is set for these tests."""
    monkeypatch.setenv("TZ", "UTC")
    _read_zone()
    yield
    monkeypatch.undo()
    _read_zone()


def _read_zone() -> None:
    if hasattr(time, "tzset"):
        time.tzset()


def view_of(limits: Limits, *resets: ResetCredit) -> View:
    limits = replace(limits, read_at=NOW)
    return View(limits, forecast(limits), resets, NOW)


# The wide screen of each state, line by line, and the one of 40 columns.
EXPECTED: dict[str, tuple[str, str]] = {
    "fresh": (
        """\
plan       ChatGPT Plus
5-hour     ░░░░░░░░░░░░░░░░░░░░░░░░   0% used · resets 10:00, in 2 h
weekly     ░░░░░░░░░░░░░░░░░░░░░░░░   0% used · resets Mon 18 Jan 08:00, in 3 days
credits    none""",
        """\
plan       ChatGPT Plus
5-hour
  ░░░░░░░░░░░░░░░░░░░░░░░░   0% used
  resets 10:00, in 2 h
weekly
  ░░░░░░░░░░░░░░░░░░░░░░░░   0% used
  resets Mon 18 Jan 08:00, in 3 days
credits    none""",
    ),
    "half": (
        """\
plan       ChatGPT Plus
5-hour     ████████████░░░░░░░░░░░░  50% used · resets 10:00, in 2 h
weekly     ████████░░░░░░░░░░░░░░░░  34% used · resets Mon 18 Jan 08:00, in 3 days
credits    none
resets     1 reset credit, until 2027-02-01 · `onplan usage --reset` resets the windows with one""",
        """\
plan       ChatGPT Plus
5-hour
  ████████████░░░░░░░░░░░░  50% used
  resets 10:00, in 2 h
weekly
  ████████░░░░░░░░░░░░░░░░  34% used
  resets Mon 18 Jan 08:00, in 3 days
credits    none
resets
  1 reset credit, until 2027-02-01
  `onplan usage --reset` resets the
  windows with one""",
    ),
    "weekly only": (
        """\
plan       ChatGPT Plus
weekly     █████████████████░░░░░░░  71% used · resets Mon 18 Jan 08:00, in 3 days
           at this pace it runs out Sat 16 Jan 23:12, in 1 day 15 h
credits    none""",
        """\
plan       ChatGPT Plus
weekly
  █████████████████░░░░░░░  71% used
  resets Mon 18 Jan 08:00, in 3 days
  at this pace it runs out Sat 16 Jan
  23:12, in 1 day 15 h
credits    none""",
    ),
    "premium 429": (
        """\
plan       ChatGPT Plus
5-hour     ████████████████████████ 100% used · resets 09:00, in 1 h
           nothing is left until it resets
weekly     ████████░░░░░░░░░░░░░░░░  34% used · resets Mon 18 Jan 08:00, in 3 days
credits    none""",
        """\
plan       ChatGPT Plus
5-hour
  ████████████████████████ 100% used
  resets 09:00, in 1 h
  nothing is left until it resets
weekly
  ████████░░░░░░░░░░░░░░░░  34% used
  resets Mon 18 Jan 08:00, in 3 days
credits    none""",
    ),
    "no windows": (
        """\
plan       ChatGPT Plus
windows    the backend tells of no usage window""",
        """\
plan       ChatGPT Plus
windows
  the backend tells of no usage window""",
    ),
    "odd headers": (
        """\
plan         unknown
usage        ████████░░░░░░░░░░░░░░░░  34% used · resets Mon 18 Jan 08:00, in 3 days
Spark hourly ████████████████████████ 100% used · nothing is left until it resets
credits      some left
spending     limited
resets       2 reset credits, the first until 2027-02-01
             `onplan usage --reset` resets the windows with one""",
        """\
plan       unknown
usage
  ████████░░░░░░░░░░░░░░░░  34% used
  resets Mon 18 Jan 08:00, in 3 days
Spark hourly
  ████████████████████████ 100% used
  nothing is left until it resets
credits    some left
spending   limited
resets
  2 reset credits, the first until
  2027-02-01
  `onplan usage --reset` resets the
  windows with one""",
    ),
    "credits only": (
        """\
plan       ChatGPT Business
windows    the backend tells of no usage window
credits    12.50 left""",
        """\
plan       ChatGPT Business
windows
  the backend tells of no usage window
credits    12.50 left""",
    ),
}


def test_there_is_a_picture_of_every_state() -> None:
    """The seven states are the seven pictures."""
    assert EXPECTED.keys() == STATES.keys()


@pytest.mark.parametrize("name", STATES)
def test_a_wide_terminal(name: str) -> None:
    """Bars, with times of today as hours, and of other days with the day."""
    assert "\n".join(lines(view_of(STATES[name].limits, CREDIT), WIDE)) == EXPECTED[name][0]


@pytest.mark.parametrize("name", STATES)
def test_a_narrow_terminal(name: str) -> None:
    """What does not fit beside a label stands below it."""
    assert "\n".join(lines(view_of(STATES[name].limits, CREDIT), NARROW)) == EXPECTED[name][1]


@pytest.mark.parametrize("width", [20, 26, 36, 50, 63, 64, 72, 80, 100, 200])
@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_no_line_is_wider_than_the_terminal(state: State, width: int) -> None:
    """Or it would be broken anywhere; a bar and its number need 36 columns."""
    printed = lines(view_of(state.limits, CREDIT), Screen(width, colour=True))

    assert max(columns(click.unstyle(line)) for line in printed) <= max(width, 36)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_colours_change_nothing_else(state: State) -> None:
    """With NO_COLOR everything is told in words and lengths."""
    view = view_of(state.limits, CREDIT)

    assert [click.unstyle(line) for line in lines(view, COLOURED)] == lines(view, WIDE)
    assert not any("\x1b" in line for line in lines(view, WIDE) + lines(view, NARROW) + lines(view, PLAIN))


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_a_terminal_without_block_characters(state: State) -> None:
    """Everything is ASCII where nothing else can be printed."""
    assert all(line.isascii() for line in lines(view_of(state.limits, CREDIT), ASCII))


def test_no_terminal() -> None:
    """A file gets no bars; each row is one line, with whole dates and their time zone."""
    assert lines(view_of(HALF.limits, CREDIT), PLAIN) == [
        "plan       ChatGPT Plus",
        "5-hour      50% used · resets 2027-01-15 10:00 UTC, in 2 h",
        "weekly      34% used · resets 2027-01-18 08:00 UTC, in 3 days",
        "credits    none",
        "resets     1 reset credit, until 2027-02-01 · `onplan usage --reset` resets the windows with one",
    ]


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_every_state_is_data(state: State) -> None:
    """Programs get the fields of ``Limits``, which can be read again, with names, times and forecasts."""
    told = json.loads(json.dumps(as_json(view_of(state.limits, CREDIT))))

    assert msgspec.convert(told, Limits) == replace(state.limits, read_at=NOW)
    assert [window["name"] for window in told["windows"]] == [window.name for window in state.limits.windows]
    for window in told["windows"]:
        assert {"reset_time", "percent_per_hour", "runs_out_at", "run_out_time"} <= window.keys()
    assert told["is_available"] is state.limits.is_available
    assert told["reset_credit_list"][0]["id"] == "rc_1"


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (Limits(credits=Credits(unlimited=True)), "credits    unlimited"),
        (Limits(credits=Credits(has_credits=True, balance=1234.5)), "credits    1,234.50 left"),
        (
            Limits(credits=Credits(has_credits=True, balance=5, overage_limit_reached=True)),
            "credits    5.00 left, of which no more may be spent now",
        ),
        (
            Limits(windows=[Window(300, 10, NOW - 5)]),
            f"5-hour     {bar(10, 24, WIDE)}  10% used · resets now",
        ),
        (
            Limits(spending=SpendingLimit(True, 100.0, 100.0, 100.0, IN_TWO_HOURS)),
            "spending   100.00 of 100.00 credits used · your limit in the workspace is reached",
        ),
        (Limits(spending=SpendingLimit(used_percent=40.0)), "spending   40% used"),
        (
            Limits(reached="workspace_owner_credits_depleted"),
            "stopped    The credits of your workspace are used up.",
        ),
        (
            Limits(meters=[Meter("m", None, windows((5, 60, None)))]),
            f"m hourly   {bar(5, 24, WIDE)}   5% used",
        ),
        (
            Limits(reset_credits=3),
            "resets     3 reset credits · `onplan usage --reset` resets the windows with one",
        ),
    ],
)
def test_rarer_things(limits: Limits, line: str) -> None:
    """Each has its line."""
    assert line in lines(view_of(limits), WIDE)


def test_a_year_is_told_where_it_is_another() -> None:
    """A time far away has its year."""
    shown = lines(view_of(Limits(windows=[Window(None, 10, 1_900_000_000.0)])), WIDE)

    assert shown[1].endswith("resets Sun 17 Mar 2030 17:46, in 1157 days 9 h")


@pytest.mark.parametrize(
    ("used", "shown", "filled"),
    [(0, "0%", 0), (0.2, "<1%", 1), (1, "1%", 1), (50, "50%", 12), (99.2, "99%", 23), (99.6, "100%", 24)],
)
def test_what_is_used_a_little_is_not_nothing(used: float, shown: str, filled: int) -> None:
    """And what is nearly used up is not all: neither in the number nor in the bar."""
    assert (percent(used), bar(used, 24, WIDE).count("█")) == (shown, filled)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "1 min"),
        (2_700, "45 min"),
        (3_600, "1 h"),
        (9_000, "2 h 30 min"),
        (86_400, "1 day"),
        (3e5, "3 days 11 h"),
    ],
)
def test_a_time_span_in_words(seconds: float, words: str) -> None:
    """In the two largest units."""
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (HALF.limits, "5-hour 50% used, weekly 34% used"),
        (CREDITS_ONLY.limits, "credits: 12.50 left"),
        (Limits(), "no usage windows"),
        (
            Limits(windows=windows((80, 300, NOW - 1), (34, 10_080, None))),
            "5-hour has reset since, weekly 34% used",
        ),
    ],
)
def test_one_line_of_it(limits: Limits, line: str) -> None:
    """For the status: a window that has reset in the meantime is not told as used."""
    assert short(limits, NOW) == line
