"""Two machines with one sign-in: processes that share nothing but the Vault server.

One of them is frozen with SIGSTOP in the middle of a refresh. The other goes on when the lease has passed on,
and the frozen one, once awake, takes what the other got, writes nothing, and sends nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator
from onplan.stores import open_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

SPEC = "vault:secret/onplan/person?lease=2"
# A refresh takes about a hundred calls to the system, and each freeze lasts as long as the lease: every
# seventh is tried, up to the last ones before the token request leaves. How many calls there are differs by
# one or two from run to run; and between the last look at the lease and the request nobody can be saved.
STRIDE, MARGIN = 7, 6


class Machine:
    """Has folders of its own, and of the environment only where things are.

    Args:
        launch: a command that runs the rest of its line elsewhere.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], launch: Sequence[str] = ()) -> None:
        own = {"HOME": "home", "ONPLAN_HOME": "onplan", "XDG_STATE_HOME": "state", "TMPDIR": "."}
        folder.mkdir()
        self._process = subprocess.Popen(
            [*launch, sys.executable, str(Path(__file__).parent / "machine.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={
                **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
                **{name: str(folder / below) for name, below in own.items()},
                **variables,
            },
        )
        assert self._line() == "ready"

    def tell(self, command: str) -> str:
        """Its answer."""
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """With whatever it froze."""
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate(timeout=60)


def surroundings(vault: Any, emulator: Emulator) -> dict[str, str]:
    """What a machine must know."""
    return {
        "VAULT_ADDR": vault.address,
        "VAULT_TOKEN": "root",
        "ONPLAN_STORE": SPEC,
        "ONPLAN_ISSUER": emulator.issuer,
        "ONPLAN_CODEX_BASE_URL": emulator.codex_base_url,
    }


def freeze_everywhere(
    machines: list[Machine], vault: Any, sign_in: Callable[..., Any], refreshes: Callable[[], list[int]]
) -> None:
    """Freeze the one at one step after the other, and let the other refresh meanwhile."""

    def version() -> int:
        return int(vault.api("GET", "secret/data/onplan/person")["data"]["metadata"]["version"])

    frozen, other = machines
    counts = []
    for _ in range(3):
        sign_in()
        counts.append(int(frozen.tell("count")))
    last = min(counts)
    assert last > 50
    for step in [*range(0, last - MARGIN, STRIDE), last - MARGIN]:
        before = sign_in()
        begun = frozen.tell(f"freeze {step}")
        if begun != "frozen":  # this time its token request left after fewer calls
            assert begun.startswith("ok "), (step, begun)
            continue

        refreshed = other.tell("use")
        assert refreshed.startswith("ok "), (step, refreshed)
        left = version()
        woken = frozen.tell("wake")

        assert woken == refreshed, step
        assert refreshes() == [200], step
        assert version() == left, step
        kept, _ = open_store(SPEC).load()  # type: ignore[misc]
        assert kept.credentials
        assert kept.credentials.refresh_token != before.refresh_token
        assert kept.pending_refresh is None


@pytest.fixture
def machines(vault: Any, emulator: Emulator, tmp_path: Path) -> Iterator[list[Machine]]:
    """Two of them."""
    with ExitStack() as stack:
        started = [Machine(tmp_path / name, surroundings(vault, emulator)) for name in ("one", "two")]
        for machine in started:
            stack.callback(machine.end)
        yield started


@pytest.mark.parametrize("spec", ["vault"], indirect=True)
def test_a_frozen_machine_holds_up_nobody_and_overwrites_nothing(
    machines: list[Machine],
    vault: Any,
    spec: str,
    sign_in: Callable[..., Any],
    refreshes: Callable[[], list[int]],
) -> None:
    """Wherever it freezes before its token request leaves: one refresh, by the other; nobody is signed out.

    The emulator signs the whole family out if a spent refresh token comes again.
    """
    freeze_everywhere(machines, vault, sign_in, refreshes)
