"""Tables as data, and how they are shown: on a terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """The first column names, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def as_text(self) -> str:
        """Aligned."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]

        def row(line: Sequence[str]) -> str:
            figures = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
            return "  ".join([line[0].ljust(widths[0]), *figures])

        return "\n".join([self.title, "", *map(row, lines), *(["", *self.notes] if self.notes else [])])

    def as_markdown(self) -> str:
        """For the README."""
        head = (self.title, *self.columns[1:])
        rule = ("---", *["---:"] * (len(self.columns) - 1))
        lines = [f"| {' | '.join(line)} |" for line in (head, rule, *self.rows)]
        return "\n".join([*lines, *(["", " ".join(self.notes)] if self.notes else [])])


def ratio(figure: float, reference: float) -> str:
    """How many times the reference."""
    times = figure / reference
    return f"{times:.1f}" if times < 100 else f"{times:.0f}"
