"""When an exchange over httpcore2 has to end, and how much may come before the head of its answer."""

from __future__ import annotations

import pytest

from onplan.transports.deadline import MOST_BEFORE_HEAD, Deadline, Limit, count_read, seconds_left


def test_without_any_limit_each_read_has_its_own() -> None:
    """Nothing is taken away from what a read may take."""
    deadline = Deadline()

    assert deadline.left() is None
    assert deadline.left(5.0) == 5.0
    assert seconds_left(None) is None
    assert seconds_left(7.0) == 7.0
    assert seconds_left(Limit.of(7.0, deadline)) == 7.0


def test_a_read_has_no_more_than_the_exchange() -> None:
    """The smaller limit counts, of the read, the step and the whole."""
    deadline = Deadline(100.0)
    assert 90.0 < seconds_left(Limit.of(500.0, deadline)) <= 100.0  # type: ignore[operator]
    assert seconds_left(Limit.of(5.0, deadline)) == 5.0

    deadline.begin_step(50.0)
    assert 40.0 < deadline.left() <= 50.0  # type: ignore[operator]
    deadline.begin_step(200.0)
    assert 90.0 < deadline.left() <= 100.0  # type: ignore[operator]
    deadline.begin_step(None)
    assert 90.0 < deadline.left() <= 100.0  # type: ignore[operator]


@pytest.mark.parametrize("step", [None, 50.0])
def test_when_the_whole_time_is_over_no_step_has_any(step: float | None) -> None:
    """A new step does not begin it anew."""
    deadline = Deadline(0.0)
    deadline.begin_step(step)

    with pytest.raises(TimeoutError):
        deadline.left(5.0)


@pytest.mark.parametrize("begin", ["begin_step", "begin_head"])
def test_when_a_steps_time_is_over_another_may_begin(begin: str) -> None:
    """The limit of a step is for all of its reads together."""
    deadline = Deadline(100.0)
    getattr(deadline, begin)(0.0)
    with pytest.raises(TimeoutError):
        deadline.left(5.0)

    deadline.begin_step(None)
    assert deadline.left(5.0) == 5.0


def test_a_head_has_so_many_bytes() -> None:
    """Those of all its reads are counted; what comes after it is not."""
    deadline = Deadline()
    limit = Limit.of(5.0, deadline)
    assert deadline.count(10 * MOST_BEFORE_HEAD)  # no head is awaited yet

    deadline.begin_head(None)
    assert count_read(limit, b"x" * (MOST_BEFORE_HEAD - 1))
    assert count_read(limit, b"x")
    assert not count_read(limit, b"x")
    assert count_read(None, b"x" * 2 * MOST_BEFORE_HEAD)
    assert count_read(5.0, b"x" * 2 * MOST_BEFORE_HEAD)

    deadline.begin_head(None)
    assert count_read(limit, b"x" * MOST_BEFORE_HEAD)
    deadline.begin_step(None)
    assert count_read(limit, b"x" * 2 * MOST_BEFORE_HEAD)
