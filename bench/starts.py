"""How long does it take to start? Wall time, beside that of bare Python in the same environment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.clients import CLIENTS
from bench.entrants import Entrants
from bench.tables import Table
from bench.upstream import ROOT, Upstream

ROUNDS = 3

OURS = {
    "import onplan": ("-c", "import onplan"),
    "import onplan; onplan.Client": ("-c", "import onplan; onplan.Client"),
    "onplan --help": ("-m", "onplan", "--help"),
    "onplan status": ("-m", "onplan", "status"),
    "import click": ("-c", "import click"),
}


def starts_table(target: Upstream, entrants: Entrants) -> Table:
    """Ours, and importing the others."""
    own = Path(sys.executable)
    commands = {label: (own, *arguments) for label, arguments in OURS.items()}
    for name, client in CLIENTS.items():
        if client.module:
            command = (entrants.python(name), "-c", f"import {client.module}")
            if _works(command, target):
                commands[f"import {client.module}"] = command
            else:
                entrants.left_out.setdefault(name, f"{client.module} cannot be imported")
    pythons = {command[0] for command in commands.values()}
    bare = {python: (python, "-c", "pass") for python in pythons}
    times: dict[tuple[Path | str, ...], list[float]] = {}
    for _ in range(ROUNDS):
        for command in (*bare.values(), *commands.values()):
            times.setdefault(command, []).append(_milliseconds(command, target))
    rows = []
    for label, command in commands.items():
        best, nothing = min(times[command]), min(times[bare[command[0]]])
        rows.append((label, f"{best:.0f}", f"{best - nothing:.0f}"))
    rows.insert(0, ("python -c pass", f"{min(times[bare[own]]):.0f}", "0"))
    return Table(
        "Starting, ms",
        ("command", "ms", "more than bare Python"),
        rows,
        [f"Best of {ROUNDS}.", *entrants.notes()],
    )


def _milliseconds(command: tuple[Path | str, ...], target: Upstream) -> float:
    began = time.perf_counter()
    _run(command, target)
    return 1000 * (time.perf_counter() - began)


def _works(command: tuple[Path | str, ...], target: Upstream) -> bool:
    return Path(command[0]).exists() and not _run(command, target, check=False)


def _run(command: tuple[Path | str, ...], target: Upstream, *, check: bool = True) -> int:
    environment = {**target.environment, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    quiet = subprocess.DEVNULL
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet, check=check)
    return done.returncode
