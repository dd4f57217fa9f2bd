"""What all peers share: the emulator's control paths, and a record of each step.

The first argument of a peer is the emulator's address. A peer prints JSON: of each step its result, or the
error it ended in, and the requests that arrived at the emulator meanwhile.
"""

from __future__ import annotations

import json
import sys
import traceback
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ISSUER = sys.argv[1]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
steps: dict[str, Any] = {}


def control(path: str, body: Any = None, method: str | None = None) -> Any:
    """A request to the emulator's control paths."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{ISSUER}/_emulator/{path}", data, headers, method=method)
    with opener.open(request, timeout=20) as reply:
        return json.loads(reply.read() or b"null")


def arm(fault: str, times: int = 1) -> None:
    """Let a fault happen."""
    control("faults", {"name": fault, "times": times})


@contextmanager
def step(name: str) -> Iterator[dict[str, Any]]:
    """One thing that a user does; an error is noted like an answer, and the next step is tried."""
    control("journal", method="DELETE")
    row: dict[str, Any] = {}
    steps[name] = row
    try:
        yield row
    except Exception as error:  # noqa: BLE001 - whatever the stranger raises is what is to be known
        row["raised"] = type(error).__name__
        row["said"] = str(error)
        row["traceback"] = traceback.format_exc()
    control("faults", method="DELETE")
    row["requests"] = control("journal")["requests"]


def report() -> None:
    """Print every step."""
    sys.stdout.write(f"\n{json.dumps(steps, default=str)}\n")
