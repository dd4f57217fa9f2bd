"""What a stranger's program is expected to do, step by step, and whether it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

Step = dict[str, Any]
Steps = dict[str, Step]


class Raised(NamedTuple):
    """An error of the stranger's own."""

    kind: str
    words: str = ""


@dataclass(frozen=True)
class Row:
    """What a stranger does, its result or its error, and the requests that arrive meanwhile."""

    what: str
    result: Any
    requests: list[str]


def short_name(request: dict[str, Any]) -> str:
    """A row of the journal in two words: what was asked, and the status."""
    what = str(request["path"]).rpartition("/")[2]
    if request.get("transport") == "websocket":
        what = "message"
    elif (request["method"], what) == ("GET", "responses"):
        what = "upgrade"
    return f"{what} {request['status']}"


def check(step: Step, row: Row, name: Callable[[dict[str, Any]], str | None] = short_name) -> None:
    """The stranger's user got the result or the error, after exactly the requests, that the row expects.

    ``name`` names a request; None if it does not count.
    """
    result = step.get("result")
    if "raised" in step:
        as_expected = isinstance(row.result, Raised) and row.result.words in step["said"]
        result = Raised(step["raised"], row.result.words if as_expected else step["said"])
    assert result == row.result, step.get("traceback")
    assert [named for request in step["requests"] if (named := name(request))] == row.requests
