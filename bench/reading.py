"""What reading costs: at full speed, at the pace of a model, through TLS, and until the first text.

All clients of one measure are started, and warm, before the first round; then they take turns, so that a
slow moment of the machine meets all of them. The best round counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.clients import CLIENTS, REFERENCE
from bench.entrants import Entrants, FailedError, Reader
from bench.tables import Table, ratio
from bench.upstream import behind_tls, upstream


@dataclass(frozen=True)
class Measure:
    """One way to read, and how often.

    Attributes:
        title: of its column.
        meaning: what stands below the table.
        deltas: pieces of text in a stream.
        seconds: between two of them.
        streams: in a round.
        concurrent: at once.
    """

    title: str
    meaning: str
    deltas: int
    streams: int
    concurrent: int
    rounds: int
    seconds: float = 0.0
    tls: bool = False


FULL = "Full speed: one stream after the other, of 2,000 deltas."
PACED = "Paced: 50 streams at once, 20 ms between the deltas of each, no two of them in step."
TLS = "The same through TLS."

MEASURES = {
    "full": Measure("full speed", FULL, 2_000, streams=2, concurrent=1, rounds=10),
    "paced": Measure("paced", PACED, 100, streams=50, concurrent=50, rounds=2, seconds=0.02),
    "tls": Measure("paced, TLS", TLS, 100, streams=50, concurrent=50, rounds=2, seconds=0.02, tls=True),
}


@dataclass
class Found:
    """What was measured of one client.

    Attributes:
        microseconds: of CPU per event, by measure.
        megabytes: resident at most, by measure.
        walls: seconds of the shortest round, by measure.
    """

    microseconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    walls: dict[str, float] = field(default_factory=dict)


Results = dict[str, Found]


def measure(names: Iterable[str], folder: Path, entrants: Entrants) -> Results:
    """Read in the ways that are named."""
    results: Results = {}
    for name in names:
        wanted = MEASURES[name]
        with ExitStack() as stack:
            plain = stack.enter_context(upstream(folder, name, wanted.deltas, wanted.seconds))
            target = stack.enter_context(behind_tls(plain, folder / name)) if wanted.tls else plain
            started = stack.enter_context(entrants.started(CLIENTS, target))
            events = plain.events() * wanted.streams
            for _ in range(wanted.rounds):
                for reader in list(started):
                    try:
                        _note(results.setdefault(reader.name, Found()), name, reader, events)
                    except FailedError as failed:
                        entrants.left_out[reader.name] = f"{wanted.title}: {failed}"
                        started.remove(reader)
    if REFERENCE in entrants.left_out:
        raise RuntimeError(f"{REFERENCE}: {entrants.left_out[REFERENCE]}")
    return {name: results.get(name, Found()) for name in CLIENTS}


def _note(found: Found, name: str, reader: Reader, events: int) -> None:
    wanted = MEASURES[name]
    outcome = reader.round(wanted.streams, wanted.concurrent)
    if outcome["errors"]:
        raise FailedError(outcome["errors"][0])
    cost = 1e6 * outcome["cpu"] / events
    found.microseconds[name] = min(cost, found.microseconds.get(name, cost))
    found.megabytes[name] = outcome["megabytes"]
    found.walls[name] = min(outcome["wall"], found.walls.get(name, outcome["wall"]))


def is_late(name: str, found: Found, results: Results) -> bool:
    """Whether a client could not keep the pace that the shortest round of all kept."""
    shortest = min(other.walls[name] for other in results.values() if name in other.walls)
    return bool(MEASURES[name].seconds) and found.walls[name] > 1.2 * shortest


def cost_table(results: Results, entrants: Entrants) -> Table:
    """CPU per event, by measure."""
    names = list(results[REFERENCE].microseconds)
    late = {
        (client, name)
        for client, found in results.items()
        for name in found.walls
        if is_late(name, found, results)
    }
    rows = []
    for client, found in results.items():
        cells: list[str] = []
        for name in names:
            cost = found.microseconds.get(name)
            mark = "*" if (client, name) in late else ""
            reference = results[REFERENCE].microseconds[name]
            cells += ["—", "—"] if cost is None else [f"{cost:.1f}{mark}", ratio(cost, reference)]
        rows.append((entrants.labels[client], *cells))
    notes = [MEASURES[name].meaning for name in names]
    if late:
        notes.append("* could not keep the pace: it read several deltas at once, which costs less.")
    columns = [column for name in names for column in (MEASURES[name].title, "ratio")]
    return Table("µs of CPU per event, reading", ("client", *columns), rows, [*notes, *entrants.notes()])


def memory_table(results: Results, entrants: Entrants) -> Table:
    """Resident memory, by measure."""
    names = list(results[REFERENCE].megabytes)
    rows = []
    for client, found in results.items():
        cells: list[str] = []
        for name in names:
            most = found.megabytes.get(name)
            reference = results[REFERENCE].megabytes[name]
            cells += ["—", "—"] if most is None else [f"{most:.0f}", ratio(most, reference)]
        rows.append((entrants.labels[client], *cells))
    columns = [column for name in names for column in (MEASURES[name].title, "ratio")]
    return Table("MB resident at most, in the same runs", ("client", *columns), rows)


# What was asked for: whose measure, at most how many times whose.
LIMITS = (
    ("full", "onplan", 1.6, "bare"),
    ("paced", "onplan", 1.6, "bare"),
    ("tls", "onplan", 1.6, "bare"),
    ("full", "onplan-uvloop", 1.6, "bare-uvloop"),
    ("paced", "onplan-uvloop", 1.6, "bare-uvloop"),
    ("tls", "onplan-uvloop", 1.6, "bare-uvloop"),
    ("full", "onplan", 1 / 20, "openai"),
    ("full", "onplan-httpx2", 1 / 5, "openai"),
)


def limits_table(results: Results, entrants: Entrants) -> Table:
    """What was measured, against what was asked for."""
    rows = []
    for name, ours, most, theirs in LIMITS:
        costs = [results[client].microseconds.get(name) for client in (ours, theirs)]
        if costs[0] and costs[1]:
            found = costs[0] / costs[1]
            words = f"{entrants.labels[ours]}: {MEASURES[name].title}, against {entrants.labels[theirs]}"
            rows.append((words, f"{found:.3g}", f"{most:.3g}", "yes" if found <= most else "NO"))
    return Table("CPU per event, limits", ("ratio", "found", "at most", "kept"), rows)


# --- until the first text ---------------------------------------------------------------------------

STARTS, REQUESTS = 1, 20


def first_table(folder: Path, entrants: Entrants) -> Table:
    """How long until the first text: from the start of the process, and from a request of a warm one."""
    cold: dict[str, float] = {}
    warm: dict[str, float] = {}
    names = [name for name, client in CLIENTS.items() if not client.silent]
    with upstream(folder, "first", 20) as target:
        for name in names * STARTS:
            if name in entrants.left_out:
                continue
            with entrants.started([name], target) as started:
                for reader in started:
                    try:
                        firsts = reader.round(REQUESTS, 1)["firsts"]
                    except FailedError as failed:
                        entrants.left_out[name] = f"first text: {failed}"
                        continue
                    cold[name] = min(reader.cold, cold.get(name, reader.cold))
                    warm[name] = min(statistics.median(firsts), warm.get(name, firsts[0]))
    rows = [
        (
            entrants.labels[name],
            f"{1000 * cold[name]:.0f}",
            ratio(cold[name], cold[REFERENCE]),
            f"{1000 * warm[name]:.1f}",
            ratio(warm[name], warm[REFERENCE]),
        )
        for name in cold
    ]
    notes = [
        "Cold: from the start of the process, once.",
        f"Warm: a request of the same process, median of {REQUESTS}.",
    ]
    columns = ("client", "cold", "ratio", "warm", "ratio")
    return Table("ms until the first text", columns, rows, [*notes, *entrants.notes()])
