"""``onplan serve`` and ``onplan run`` before an emulator, and other people's programs as their clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from onplan.emulator import Emulator, Options, Scenario

from ..conftest import eventually
from .strangers import Steps

PEERS = Path(__file__).with_name("peers")
# So that every answer's usage is known: the words of the answer and 32 tokens of thinking come back for it.
INPUT_TOKENS = 11
ONPLAN = (sys.executable, "-m", "onplan")


@dataclass(frozen=True)
class Plan:
    """A plan to use: the emulator, a folder, and the settings by which onplan is signed in there."""

    emulator: Emulator
    folder: Path
    settings: Mapping[str, str]

    def run(self, command: Sequence[str], **variables: str) -> str:
        """What a program prints that ends well, run by ``onplan run``."""
        return _printed([*ONPLAN, "run", "--", *command], self.folder, {**self.settings, **variables})


@dataclass(frozen=True)
class Served:
    """A running server: what it asks, where it listens, and its key."""

    emulator: Emulator
    folder: Path
    base_url: str
    key: str = field(repr=False)

    def steps(self, *command: str | Path, **variables: str) -> Steps:
        """All that a peer does. It knows the two variables that every SDK reads, and a folder of its own."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self.key,
            **variables,
        }
        printed = _printed([*command, self.emulator.issuer], self.folder, environment)
        return dict(json.loads(printed.rstrip("\n").rpartition("\n")[2]))


def _printed(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def plan(folder: Path, scenario: Scenario | None = None) -> Iterator[Plan]:
    """A plan at an emulator of its own."""
    credentials = folder / "codex"
    scenario = scenario or Scenario(input_tokens=INPUT_TOKENS)
    with Emulator(Options(codex_home=credentials, codex_auth=True, scenario=scenario)) as emulator:
        settings = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "ONPLAN_HOME": str(folder / "onplan"),
            "ONPLAN_ISSUER": emulator.issuer,
            "ONPLAN_CODEX_BASE_URL": emulator.codex_base_url,
            "ONPLAN_STORE": f"codex:{credentials}",
        }
        yield Plan(emulator, folder, settings)


@contextmanager
def served(folder: Path, scenario: Scenario | None = None) -> Iterator[Served]:
    """A server on such a plan, on a free port."""
    ready, log = folder / "ready.json", folder / "serve.log"
    with plan(folder, scenario) as used, log.open("wb") as file:
        server = subprocess.Popen(
            [*ONPLAN, "serve", "--port", "0", "--ready-file", str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=used.settings,
        )
        try:
            eventually(lambda: ready.exists() or server.poll() is not None)
            assert ready.exists(), log.read_text()
            url = json.loads(ready.read_text())["url"]
            key = (folder / "onplan" / "server-key").read_text().strip()
            yield Served(used.emulator, folder, f"{url}/v1", key)
        finally:
            server.terminate()
            server.wait(30)
