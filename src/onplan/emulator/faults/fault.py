"""A fault: one row that says where it applies and what it does there. The tables are beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onplan.emulator.wire.replies import Reply, Request


def _any(request: Request) -> bool:
    return True


@dataclass(frozen=True)
class Fault:
    """One fault.

    `line` describes it; `where` are the endpoints. `instead` makes the reply without processing the request;
    `after` changes the reply to a processed one; `delay` is in seconds. `fits`: to which requests it applies;
    the others do not count.
    """

    name: str
    line: str
    where: tuple[str, ...]
    instead: Callable[[], Reply] | None = None
    after: Callable[[Reply], Reply] | None = None
    delay: float = 0.0
    fits: Callable[[Request], bool] = _any

    @property
    def conditional(self) -> bool:
        """Whether it applies only to some of the requests to its endpoints."""
        return self.fits is not _any
