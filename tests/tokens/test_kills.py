"""A process killed at any step of a refresh and started again is signed in, if the server permits it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator
from onplan.stores import open_store

from .conftest import EXTERNAL

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

# A remote store takes many more calls, and a killed holder's lease must pass on each time.
STRIDE = {"file": 1, "plan": 1, "codex": 3, "vault": 13, "external": 13}


@pytest.fixture
def mortal(sign_in: Callable[..., Any]) -> Iterator[Callable[[str], str]]:
    """Tell the process what to do; gives its answer."""
    sign_in()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "mortal.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n"

    def tell(command: str) -> str:
        process.stdin.write(f"{command}\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return process.stdout.readline().strip()  # type: ignore[union-attr]

    yield tell
    process.communicate(timeout=60)
    assert process.returncode == 0


SCHEMES = ["external"] if EXTERNAL else ["file", "plan", "codex", "vault"]


@pytest.mark.parametrize("spec", SCHEMES, indirect=True)
def test_killed_between_any_two_steps_of_a_refresh(
    request: pytest.FixtureRequest,
    spec: str,
    emulator: Emulator,
    mortal: Callable[[str], str],
    sign_in: Callable[..., Any],
    refreshes: Callable[[], list[int]],
) -> None:
    """Wherever it is killed, the next process is signed in; unless the rotated set died with it, unsaved.

    Then it is told in one sentence, with one command; and that is so between the answer of the server and the
    save, and nowhere else.
    """
    scheme = request.node.callspec.params["spec"]
    lost = []
    for step in count(0, STRIDE[scheme]):
        before = sign_in()
        if mortal(f"kill {step}") == "ok":
            break
        kept, _ = open_store(spec).load()  # type: ignore[misc]
        saved = kept.credentials and kept.credentials.refresh_token != before.refresh_token
        outcome = mortal("use")

        if outcome == "ok":
            assert refreshes() == [200], step
            continue
        lost.append(step)
        assert not saved, (step, outcome)
        assert refreshes()[0] == 200, (step, outcome)  # the server had rotated for the one that was killed
        assert outcome.startswith("SignInAgainError: The sign-in was refreshed by another program"), outcome
        assert "interrupted after it was sent" in outcome
        assert "Run `onplan login" in outcome
    assert step > 20
    assert lost == list(range(lost[0], lost[-1] + 1, STRIDE[scheme])), "one stretch of steps"
    assert len(lost) < step / STRIDE[scheme] / 2
