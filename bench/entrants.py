"""Who takes part, each in a process of its own that is told what to read and says what that cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.clients import CLIENTS, Client
from bench.upstream import PADDING, ROOT, Upstream


class FailedError(Exception):
    """A client that is not installed, or that did not read everything. Its sentence stands in the tables."""


class Reader:
    """A process that reads with one client. Raises FailedError where there is no Python for it.

    Attributes:
        cold: seconds from its start to its first text, once it is warm.
    """

    def __init__(
        self, name: str, target: Upstream, python: Path, clients: Mapping[str, Client] = CLIENTS
    ) -> None:
        self.name, self.cold = name, 0.0
        self._silent = clients[name].silent
        self._target = target
        if not python.exists():
            raise FailedError(f"there is no {python}")
        self._log = Path(target.environment["BENCH_HOME"]) / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-m", "bench.readers", name],
                cwd=ROOT,
                env={**target.environment, "BENCH_BEGAN": repr(time.time())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def answer(self) -> dict[str, Any]:
        """Its next line; the first one once it is warm. Raises FailedError."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            last = (self._log.read_text().strip() or "nothing was said").splitlines()[-1]
            raise FailedError(f"its process ended: {last[:200]}")
        found: dict[str, Any] = json.loads(line)
        if "missing" in found:
            raise FailedError(f"no module named {found['missing']}")
        return found

    def round(self, streams: int, concurrent: int) -> dict[str, Any]:
        """Have it read, and check that it read everything. Raises FailedError if it did not."""
        assert self._process.stdin
        self._process.stdin.write(f"{streams} {concurrent} {self._target.seconds}\n")
        self._process.stdin.flush()
        found = self.answer()
        expected = (streams - len(found["errors"])) * self._target.deltas * PADDING
        if not self._silent and found["characters"] != expected:
            raise FailedError(f"it read {found['characters']:,} characters of {expected:,}")
        return found

    def close(self) -> None:
        """End it."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@dataclass
class Entrants:
    """The clients of bench/clients.py, as far as they are installed.

    Attributes:
        peers: the Python of the environment that the peers live in.
        labels: their names in the tables; with versions, once they were started.
        left_out: why a client is missing somewhere in the tables.
    """

    peers: Path
    labels: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = {name: client.label.replace(" {}", "") for name, client in CLIENTS.items()}

    def notes(self) -> list[str]:
        """A line for whoever is missing, with the reason."""
        return [f"— {self.labels[name]}: {why}." for name, why in self.left_out.items()]

    def python(self, name: str) -> Path:
        """The interpreter of a client."""
        return self.peers if CLIENTS[name].peer else Path(sys.executable)

    @contextmanager
    def started(self, names: Iterable[str], target: Upstream) -> Iterator[list[Reader]]:
        """Those that are installed: all are started before the first is waited for."""
        with ExitStack() as stack:
            readers = []
            for name in names:
                try:
                    reader = Reader(name, target, self.python(name))
                except FailedError as failed:
                    self.left_out[name] = str(failed)
                    continue
                stack.callback(reader.close)
                readers.append(reader)
            yield [reader for reader in readers if self._is_warm(reader)]

    def _is_warm(self, reader: Reader) -> bool:
        try:
            found = reader.answer()
        except FailedError as failed:
            self.left_out[reader.name] = str(failed)
            return False
        reader.cold = found["cold"]
        self.labels[reader.name] = CLIENTS[reader.name].label.format(*found["versions"])
        return True
