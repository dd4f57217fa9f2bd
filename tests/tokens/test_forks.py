"""Programs that fork right after a refresh, or beside a first request: nothing hangs, nothing is signed out.

ONPLAN_TEST_FORKS sets how many forks of each kind are tried: a few by default, 100 for the full proof.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

FORKS = int(os.environ.get("ONPLAN_TEST_FORKS", "12"))
# A cold process takes about 60 ms from its first request to the answer: forks are spread over that time.
STEP = 0.08 / FORKS


def run(*arguments: object) -> dict[str, int]:
    """How the children of one program ended."""
    result = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "forker.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200 + 10 * FORKS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    ended: dict[str, int] = json.loads(result.stdout)
    return ended


@pytest.mark.parametrize("mode", ["new", "same", "close"])
def test_refreshing_and_forking_at_once(
    sign_in: Callable[..., Any], refreshes: Callable[[], list[int]], mode: str
) -> None:
    """A program without threads of its own refreshes and forks: the child refreshes as well, every time.

    On Python 3.12 and newer the fork would warn, and here fail, if a thread were left. The emulator signs the
    whole family out if a spent refresh token comes again.
    """
    sign_in(expired=False)

    assert run("after", mode, FORKS) == {"0": FORKS}
    assert refreshes() == [200] * (2 * FORKS)


def test_forking_beside_a_first_request(sign_in: Callable[..., Any]) -> None:
    """While a thread makes the first request of a process, the main thread forks: the child can ask, too."""
    sign_in(expired=False)

    assert [run("beside", number * STEP) for number in range(FORKS)] == [{"0": 1}] * FORKS
