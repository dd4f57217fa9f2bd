"""Why a text or a JSON value is not what was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Misfit(Exception):  # noqa: N818 - it never leaves this room, which turns it into an OutputError
    """A value that does not fit.

    Attributes:
        problem: what is wrong, as the end of a sentence, without the value itself.
        path: where, as a JSON path such as ``$.birds[0].age``; ``$`` is the whole value.
    """

    def __init__(self, problem: str, path: str = "$") -> None:
        super().__init__(problem)
        self.problem, self.path = problem, path


def json_path(steps: Iterable[object]) -> str:
    """The JSON path of ``steps``: names of properties, and positions in lists."""
    return "$" + "".join(map(_step, steps))


def _step(step: object) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    name = str(step)
    return f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{name!r}]"
