"""The arguments of a call while they arrive: told often while they are short, seldom when they are long."""

from __future__ import annotations

from itertools import pairwise

import pytest

from onplan.integrations.growing_arguments import GrowingArguments


def told(deltas: list[str]) -> list[tuple[str, str]]:
    """What is told while these deltas arrive."""
    arguments = GrowingArguments()
    return [arguments.tell() for delta in deltas if arguments.add(delta)]


def test_short_arguments_are_told_with_each_delta() -> None:
    """All of them, and what is new."""
    assert told(['{"a"', ":", " 1}"]) == [
        ('{"a"', '{"a"'),
        ('{"a":', ":"),
        ('{"a": 1}', " 1}"),
    ]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_long_ones_are_told_when_they_have_grown_by_a_twentieth(size: int) -> None:
    """To tell each delta would cost the square of their length."""
    times = told(["x" * size] * (20_000 // size))
    lengths = [len(whole) for whole, _ in times]

    assert "".join(new for _, new in times) == times[-1][0]
    assert lengths == sorted(set(lengths))
    assert set(range(size, 400, size)) <= set(lengths)
    for before, after in pairwise(length for length in lengths if length >= 400):
        assert before * 1.05 < after <= before * 1.05 + size
    assert len([length for length in lengths if length >= 400]) < 100


def test_the_rest_is_told_at_the_end() -> None:
    """What has not been told yet can be asked for at any time; then nothing is new."""
    arguments = GrowingArguments()
    arguments.add("x" * 1_000)
    arguments.tell()
    assert not arguments.add("yz")
    assert not arguments.add("!")
    assert arguments.tell() == ("x" * 1_000 + "yz!", "yz!")
    assert arguments.tell() == ("x" * 1_000 + "yz!", "")


def test_before_any_there_are_none() -> None:
    """A call without arguments is told, too."""
    assert GrowingArguments().tell() == ("", "")
