"""What a stranger's program is expected to do, step by step, and whether it did."""

from __future__ import annotations

from collections.abc import Collection
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


def check(step: Step, row: Row, besides: Collection[str] = ()) -> None:
    """The stranger's user got the result or the error, after exactly the requests, that the row expects.

    Requests in ``besides``, by their short names, do not count.
    """
    result = step.get("result")
    if "raised" in step:
        as_expected = isinstance(row.result, Raised) and row.result.words in step["said"]
        result = Raised(step["raised"], row.result.words if as_expected else step["said"])
    assert result == row.result, step.get("traceback")
    requests = [short_name(request) for request in step["requests"]]
    assert [request for request in requests if request not in besides] == row.requests


def short_name(request: dict[str, Any]) -> str:
    """A row of the journal in two words: what was asked, and the status."""
    what = str(request["path"]).rpartition("/")[2]
    if request.get("transport") == "websocket":
        what = "message"
    elif (request["method"], what) == ("GET", "responses"):
        what = "upgrade"
    return f"{what} {request['status']}"
