"""An answer that is drawn on a terminal while it arrives."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator

import pyte
import pytest

from onplan.cli.markdown.region import Region
from onplan.cli.markdown.view import AnswerView

COLUMNS, LINES = 20, 8
LOREM = "one two three four five six seven eight nine ten"


class Screen:
    """A terminal in this process: what is written to ``stream`` is on its screen."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")
        self._screen = pyte.HistoryScreen(COLUMNS, LINES, history=100_000)
        self._input = pyte.ByteStream(self._screen)
        self.written = 0
        self.resize(COLUMNS)

    def resize(self, columns: int, lines: int = LINES) -> None:
        self.lines()
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def lines(self) -> list[str]:
        """What is on the screen, and what scrolled off it."""
        while select.select([self._ours], [], [], 0)[0]:
            data = os.read(self._ours, 65536)
            self.written += len(data)
            self._input.feed(data)
        above = ["".join(line[at].data for at in range(200)).rstrip() for line in self._screen.history.top]
        return "\n".join([*above, *(line.rstrip() for line in self._screen.display)]).rstrip().split("\n")

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


def test_lines_are_drawn_anew_in_their_place(screen: Screen) -> None:
    """Lines that change, grow, and become fewer; what is finished stands above them and stays."""
    region = Region(screen.stream, {})
    for finished, lines in (
        ("", ["a"]),
        ("", ["a", "b"]),
        ("", ["a", "c"]),
        ("", ["x"]),
        ("x done\n", ["y", "z"]),
        ("", []),
        ("", ["again"]),
        ("end\n", []),
    ):
        region.draw(finished, lines)

    assert screen.lines() == ["x done", "end"]


def test_what_is_drawn_already_is_not_written_again(screen: Screen) -> None:
    """Of a long block only the lines that have changed."""
    region = Region(screen.stream, {})
    region.draw("", [LOREM[:19]] * 6)
    screen.lines()
    before = screen.written
    region.draw("", [*[LOREM[:19]] * 6, "new"])
    screen.lines()

    assert screen.written - before < 20


def test_more_lines_than_the_screen_has(screen: Screen) -> None:
    """The last ones are shown, and all of them once they are finished; none is there twice."""
    region = Region(screen.stream, {})
    numbers = [f"line {number}" for number in range(30)]
    for count in range(30):
        region.draw("", numbers[:count])
    assert screen.lines() == numbers[22:29]
    region.draw("\n".join(numbers) + "\n", [])

    assert screen.lines() == numbers


@pytest.mark.parametrize("columns", [13, 30])
def test_a_terminal_that_changes_its_width(screen: Screen, columns: int) -> None:
    """What was open is drawn anew for the new width, and nothing is there twice or is lost."""
    with AnswerView(screen.stream, colour=False) as view:
        view.write(f"above\n\n{LOREM}")
        view.draw()
        screen.resize(columns)
        view.write(" eleven")
        view.draw()
    words = " ".join(screen.lines()).split()

    assert words == ["above", *LOREM.split(), "eleven"]
    assert max(map(len, screen.lines())) <= columns


def test_a_terminal_that_breaks_lines_anew(screen: Screen) -> None:
    """There, lines take more rows when it becomes narrower, and so many are taken back."""
    region = Region(screen.stream, {"TMUX": "1"})
    region.draw("above\n", ["x" * 20, "y"])
    screen.lines()
    screen.resize(10)
    region.draw("", ["z"])
    screen.stream.flush()

    # Up by the two rows of x and the one of y; this screen has cut x off, so `above` is the first of them.
    assert screen.lines() == ["z"]


def test_a_long_answer_is_not_drawn_again_for_each_piece(screen: Screen) -> None:
    """What is written grows with the answer: each piece costs as much at its end as at its beginning."""
    with AnswerView(screen.stream, colour=False) as view:
        costs = []
        for _ in range(4):
            before = screen.written
            for _ in range(20):
                view.write(f"- {LOREM}\n")
                view.draw()
                screen.lines()
            costs.append(screen.written - before)

    assert costs[3] < 1.2 * costs[0]


def test_odd_line_ends_are_none_on_a_terminal(screen: Screen) -> None:
    """What Unicode calls a line end takes no row there."""
    with AnswerView(screen.stream, colour=False) as view:
        for piece in ("a\u2028", "b\u2029", "c\x1e", "d\x85", "e"):
            view.write(piece)
            view.draw()

    assert len(screen.lines()) == 1


def test_while_nothing_arrives_that_is_said(screen: Screen) -> None:
    """With something that turns, which is gone when the answer begins."""
    with AnswerView(screen.stream, colour=False, waiting="thinking") as view:
        view.draw()
        assert screen.lines()[0].endswith(" thinking")
        view.write("Hi")

    assert screen.lines() == ["Hi"]


def test_thinking_stands_above_the_text(screen: Screen) -> None:
    """As a block of its own."""
    with AnswerView(screen.stream, colour=False) as view:
        view.write("hm", "thinking")
        view.write("Yes")
        view.write("hm", "thinking")

    assert screen.lines() == ["hm", "", "Yes", "", "hm"]
