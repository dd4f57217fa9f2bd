"""A fault: one row that says where it applies and what it does there. The tables are beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onplan.emulator.wire.replies import Reply, Request


def _any(request: Request) -> bool:
    return True


@dataclass(frozen=True)
class Fault:
    """One quirk: a name, a line, the endpoints it applies to, and what happens there.

    `instead` answers without the request being processed; `after` changes the answer of a request that was.
    `fits` says which of the requests are meant; the others do not use an armed fault up.
    """

    name: str
    line: str
    where: tuple[str, ...]
    instead: Callable[[], Reply] | None = None
    after: Callable[[Reply], Reply] | None = None
    delay: float = 0.0
    fits: Callable[[Request], bool] = _any
