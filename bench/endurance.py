"""Does memory stay flat? One stream of a million events, and five hundred streams at once.

``python -m bench.endurance`` is the process that reads the long stream and prints what is resident.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.clients import MODEL, PROMPT, REFERENCE
from bench.entrants import Entrants, FailedError
from bench.readers import megabytes
from bench.tables import Table, ratio
from bench.upstream import ROOT, upstream

LONG, STOPS = 1_000_000, (1_000, 250_000, 500_000, 1_000_000)
MANY, MANY_DELTAS, MANY_SECONDS = 500, 6, 0.25
# httpx opens a hundred connections and lets the others wait: who is built on its defaults is not asked.
MANY_CLIENTS = ("bare", "onplan", "onplan-httpx2", "openai")


def long_table(folder: Path) -> Table:
    """Resident memory along a stream of a million deltas."""
    with upstream(folder, "long", LONG) as target:
        output = subprocess.check_output(
            [sys.executable, "-m", "bench.endurance"], cwd=ROOT, env=target.environment, text=True
        )
    found = json.loads(output)
    base = found["points"][0][1]
    rows = [
        (f"{deltas:,} deltas", f"{resident:.0f}", f"{resident - base:+.0f}", f"{text:.1f}")
        for deltas, resident, text in found["points"]
    ]
    most = found["most"]
    rows.append(("at most, as it ended", f"{most:.0f}", f"{most - base:+.0f}", rows[-1][3]))
    note = f"{found['microseconds']:.1f} µs of CPU per event, {found['wall']:.0f} s in all."
    columns = ("onplan AsyncClient, after", "MB resident", "more", "MB of text")
    return Table("One stream of 1,000,000 deltas", columns, rows, [note])


def many_table(folder: Path, entrants: Entrants) -> Table:
    """Five hundred slow streams in one process."""
    rows = []
    found: dict[str, dict[str, Any]] = {}
    with (
        upstream(folder, "many", MANY_DELTAS, MANY_SECONDS) as target,
        entrants.started(MANY_CLIENTS, target) as started,
    ):
        for reader in started:
            try:
                found[reader.name] = reader.round(MANY, MANY)
            except FailedError as failed:
                entrants.left_out[reader.name] = f"{MANY} streams: {failed}"
    reference = found[REFERENCE]["megabytes"]
    for name, outcome in found.items():
        most, errors = outcome["megabytes"], len(outcome["errors"])
        seconds = f"{outcome['wall']:.1f}"
        rows.append((entrants.labels[name], f"{most:.0f}", ratio(most, reference), str(errors), seconds))
    notes_below = [f"An event every {MANY_SECONDS} s in each: all of them are open at the same time."]
    columns = ("client", "MB resident at most", "ratio", "errors", "seconds")
    return Table(f"{MANY} slow streams at once in one process", columns, rows, notes_below)


async def read_long() -> None:
    """Note what is resident on the way."""
    import onplan

    points, deltas, text = [], 0, 0
    cpu, wall = time.process_time(), time.perf_counter()
    async with onplan.AsyncClient() as client:
        request = onplan.CompletionRequest(messages=PROMPT, model=MODEL)
        async for chunk in client.complete_stream(request):
            if chunk.type == "text":
                deltas += 1
                text += len(chunk.text)
                if deltas in STOPS:
                    points.append((deltas, megabytes("VmRSS"), text / 2**20))
    cost = 1e6 * (time.process_time() - cpu) / deltas
    wall = time.perf_counter() - wall
    print(json.dumps({"points": points, "most": megabytes("VmHWM"), "microseconds": cost, "wall": wall}))


if __name__ == "__main__":
    asyncio.run(read_long())
