"""A client's share of each window: what is counted, when the backend is asked, and when it stops."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.backends import CHATGPT_PLAN, OPENAI, OPENAI_CODEX
from onplan.errors import BudgetError, ConfigurationError, ConnectError
from onplan.plan.budget import Budget, budget_of
from onplan.plan.waiting import availability
from onplan.types import Limits, Meter

from .account_flow import Backend
from .states import CREDITS_ONLY, FRESH, NOW, usage, windows

RESET = NOW + 3600
WEEK = NOW + 250_000


def told(five_hours: float, week: float = 30) -> dict[str, Any]:
    return usage((five_hours, 300, RESET), (week, 10_080, WEEK))


def read(five_hours: float, week: float = 30, resets_at: float = RESET) -> Limits:
    return Limits("plus", windows((five_hours, 300, resets_at), (week, 10_080, WEEK)))


class Program:
    """A client with a budget; ``ask`` makes one request after another."""

    def __init__(self, share: float, *answers: Any) -> None:
        self.backend = Backend(answers)
        self.budget = Budget(share)
        self.context = self.backend.context(budget=self.budget)

    def begin(self) -> object:
        return self.backend.run(self.budget.admit(self.context))

    def ask(self, with_answer: Limits | None = None) -> None:
        self.budget.settle(self.begin(), with_answer)

    def until_it_stops(self) -> int:
        """How many requests still pass."""
        for asked in range(100):
            try:
                self.ask()
            except BudgetError:
                return asked
        raise AssertionError("it never stops")

    @property
    def questions(self) -> int:
        return len(self.backend.sent)


def test_what_was_used_before_does_not_count() -> None:
    """The share is of the client's own: a window may be half used when it begins."""
    program = Program(0.5, told(50), told(55))

    for used in (50, 55, 60, 65):
        program.ask(read(used))

    assert program.questions == 2


def test_answers_that_tell_save_questions() -> None:
    """A hundred small requests are asked about twice, at the beginning."""
    program = Program(0.5, told(50), told(50))

    for number in range(100):
        program.ask(read(50 + number / 10))

    assert program.questions == 2


def test_the_first_of_many_asks() -> None:
    """Those that begin at the same time, before anything is known of what one costs, pass."""
    program = Program(0.2, told(50))

    for _ in range(25):
        program.begin()

    assert program.questions == 1


def test_a_reset_time_that_comes_late_is_no_reset() -> None:
    """It may be told in one answer and not in the next; the last one known is waited for."""
    budget = Budget(0.2)
    budget.check(Limits(windows=windows((50, 300, None), (30, 10_080, WEEK))))
    assert budget.check(read(60, 30)) is None

    error = budget.check(Limits(windows=windows((80, 300, None), (60, 10_080, WEEK))))

    assert error
    assert error.resets_at == WEEK


def test_it_stops_before_it_is_exceeded() -> None:
    """The next request is expected to cost what the last ones cost, and would be too much."""
    program = Program(0.2, told(50), told(58), told(66))
    program.ask(read(50))
    program.ask(read(58))  # one costs 8: there is no room for a third

    with pytest.raises(BudgetError) as caught:
        program.ask()

    assert caught.value.message.startswith(
        "The budget of this client, 20% of the 5-hour window, is used up; it"
    )
    assert (caught.value.window_minutes, caught.value.resets_at) == (300, RESET)
    assert "max_window_share" in caught.value.hint
    assert program.questions == 3  # it asked before it stopped


def test_it_does_not_stop_by_a_guess() -> None:
    """As long as nothing is known of what a request costs, only what is used counts."""
    program = Program(0.01, told(50))

    for _ in range(3):
        program.ask()

    assert program.questions == 3  # each time asked, for so small a share


def test_answers_that_say_nothing_are_made_up_for() -> None:
    """Without limits in the answers it asks after the first request, and then as often as there is need."""
    program = Program(0.2, told(50), told(52), told(60), told(69))

    program.ask()
    program.ask()
    assert program.questions == 2  # one costs 2, or up to 3
    for _ in range(5):
        program.ask()
    assert program.questions == 2
    program.ask()
    assert program.questions == 3
    assert program.until_it_stops() == 5
    assert program.questions == 4


def test_requests_under_way_count() -> None:
    """Of many at once no more are let through than there is room for."""
    program = Program(0.2, told(50), told(58))
    program.ask(read(50))
    program.ask(read(54))  # one costs 4

    begun = [program.begin() for _ in range(3)]
    with pytest.raises(BudgetError):
        program.begin()

    for ticket in begun:
        program.budget.settle(ticket, read(58))
    program.begin()


def test_a_refused_request_is_not_under_way() -> None:
    """Neither is one before which the backend could not be asked."""
    program = Program(0.2, ConnectError("gone"), told(50), told(60))

    with pytest.raises(ConnectError):
        program.begin()

    program.ask(read(50))
    program.ask(read(60))  # one costs 10, and there is room for one
    program.begin()


def test_an_answer_that_comes_late_changes_nothing() -> None:
    """Of many at once, one that began early says less than is known already."""
    program = Program(0.2, told(50), told(65))
    ticket = program.begin()
    program.budget.check(read(65))

    program.budget.settle(ticket, read(50))

    assert program.budget.check(read(65.5)) is None
    assert program.budget.check(read(70.1))


@pytest.mark.parametrize(("at_once", "questions"), [(False, 0), (True, 1)])
def test_an_answer_does_not_count_what_ends_while_it_comes(at_once: bool, questions: int) -> None:
    """Of two at once, the reading of the one that ends last counts neither, so there is less room."""
    program = Program(0.2, told(50), told(54), told(66))
    program.ask(read(50))
    program.ask(read(54))
    before = program.questions

    tickets = [program.begin(), program.begin() if at_once else None]
    if at_once:
        program.budget.settle(tickets[1], None)
    program.budget.settle(tickets[0], read(58))
    program.begin()

    assert program.questions - before == questions


def test_what_the_backend_takes_back_is_not_spent() -> None:
    """It may give some of a window back without resetting it; asked for, less is believed."""
    budget = Budget(0.2)
    budget.check(read(50))
    assert budget.check(read(71))

    assert budget.check(read(40)) is None
    assert budget.check(read(61))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (read(69), read(3, resets_at=RESET + 18_000)),
        (read(60), read(65, resets_at=RESET + 18_000)),
        (read(60), read(20.5, resets_at=RESET + 18_000)),
    ],
    ids=["less is used", "more is used", "just too much is used"],
)
def test_a_window_that_has_reset_begins_anew(before: Limits, after: Limits) -> None:
    """All that is used of the new window counts, and the share is whole again."""
    budget = Budget(0.2)
    budget.check(read(50))
    budget.check(before)

    error = budget.check(after)

    assert (error is None) == (after.windows[0].used_percent == 3)


@pytest.mark.parametrize(("later", "is_reset"), [(8_950, False), (9_000, False), (9_050, True)])
def test_a_reset_moves_by_more_than_half_the_window(later: int, is_reset: bool) -> None:
    """Of a window of five hours that is 9,000 seconds; by less, answers differ about the same reset."""
    budget = Budget(0.5)
    budget.check(read(50))

    # Since its reset 60 per cent were used, or 10 since the client began.
    assert bool(budget.check(read(60, resets_at=RESET + later))) is is_reset


def test_a_window_of_unknown_length_is_the_same_one() -> None:
    """Nothing tells when it has reset, so what was used when the client began does not count."""
    budget = Budget(0.2)
    for percent, later in ((50, 0), (65, 90_000)):
        assert budget.check(Limits(windows=windows((percent, None, RESET + later)))) is None

    assert budget.check(Limits(windows=windows((71, None, RESET + 90_000))))


def test_a_small_share_is_kept_too() -> None:
    """Of one per cent, more than half was used by one request: there is no room for another."""
    budget = Budget(0.01)
    budget.check(read(50))
    budget.settle(object(), None)

    assert budget.check(read(50.6))


def test_the_latest_reading_says_when_it_resets() -> None:
    """Also if nothing was used since the one before."""
    budget = Budget(0.2)
    for percent, later in ((50, 0), (75, 0), (75, 90)):
        error = budget.check(read(percent, resets_at=RESET + later))

    assert error
    assert error.resets_at == RESET + 90


def test_rounding_is_no_reset() -> None:
    """Headers tell fractions and the endpoint whole numbers: a little less is the same."""
    budget = Budget(0.2)
    budget.check(read(50.9))
    budget.check(read(70.8))
    assert budget.check(read(70)) is None
    assert budget.check(read(70.9))
    assert budget.check(read(69.9))  # as much as rounding may be


def test_every_window_counts() -> None:
    """The one that is over is named, the week as well as a model's own; the last to reset is waited for."""
    budget = Budget(0.1)
    own = Limits(meters=[Meter("m", "Spark", windows((1, 60, RESET)))])
    assert budget.check(own) is None
    budget.check(read(50, 30))

    error = budget.check(read(60, 40))
    assert error
    assert error.window_minutes == 10_080
    hourly = Budget(0.1)
    hourly.check(own)
    error = hourly.check(Limits(meters=[Meter("m", "Spark", windows((30, 60, RESET)))]))
    assert error
    assert "hourly" in error.message


def test_a_plan_without_windows_has_no_share_to_keep() -> None:
    """Everything passes, and it is not asked again and again."""
    program = Program(0.2, CREDITS_ONLY.usage)

    for _ in range(5):
        program.ask()

    assert program.questions == 2


def test_waiting_is_for_the_budget_as_well() -> None:
    """The plan would answer, and the client would not: it waits until its window resets."""
    program = Program(0.2, told(50), told(75), told(75), FRESH.usage)
    program.ask()
    program.budget.check(read(75))

    limits = program.backend.run(availability(program.context, None))

    assert limits.window(300)
    assert program.backend.waits
    assert all(isinstance(error, BudgetError) for _, error in program.backend.waits)
    program.ask()


def test_what_ends_while_waiting_asks_may_not_be_counted_yet() -> None:
    """A request costs ten per cent; of another one nothing is told so far, so there may be no room."""
    program = Program(0.25, told(60), FRESH.usage)
    program.budget.check(read(50))
    program.budget.settle(object(), None)
    program.budget.check(read(60))
    ticket = program.begin()
    program.backend.on_send = lambda: program.budget.settle(ticket, None)

    program.backend.run(availability(program.context, None))

    assert program.backend.waits


@pytest.mark.parametrize("share", [0, 1.5, 20, -0.2, True, "0.2", float("nan")])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    """Where the client is made."""
    with pytest.raises(ConfigurationError, match="not a share above 0 and up to 1"):
        budget_of(share, OPENAI_CODEX)


@pytest.mark.parametrize("share", [1, 0.001])
def test_a_share_is_kept_as_it_is(share: float) -> None:
    """All of a window, or a thousandth of it."""
    budget = budget_of(share, OPENAI_CODEX)

    assert budget
    assert budget.check(read(0)) is None
    assert budget.check(read(share * 100 - 0.01)) is None
    assert budget.check(read(share * 100))


@pytest.mark.parametrize("backend", [CHATGPT_PLAN, OPENAI])
def test_a_backend_that_does_not_say_has_no_budget(backend: Any) -> None:
    """A bound that cannot be kept is refused rather than ignored."""
    with pytest.raises(ConfigurationError, match="does not say how much is used") as caught:
        budget_of(0.2, backend)
    where = " Set a limit at https://chatgpt.com/settings/usage." if backend is CHATGPT_PLAN else ""
    assert caught.value.hint == f"Leave max_window_share out.{where}"
    assert budget_of(None, backend) is None
