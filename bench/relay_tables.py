"""The tables of bench/relaying.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bench.relay_processes import DELTAS
from bench.relaying import PACE, PACED, Bench, Found
from bench.relays import PATHS, RELAYS
from bench.tables import Table, ratio

REFERENCE = "onplan"
NONE = "—"

# What was asked for of ours: streams a second as a multiple of the best peer's, milliseconds added to the
# first token with one stream and with fifty, microseconds per paced event, megabytes by slow streams.
STREAMS = {"responses": 3.0, "chat": 2.0}
FIRST_ALONE, FIRST_AMONG = 1.0, 2.0
EVENT = {"responses": 60.0, "chat": 80.0}
MEGABYTES = {0: 50.0, 200: 70.0, 2_000: 250.0}
START = 0.5  # seconds


def tables(bench: Bench) -> Iterator[Table]:
    """All of them; the last one says what was left out, and why."""
    for dialect in PATHS:
        yield speed_table(bench, dialect)
    yield memory_table(bench)
    yield limits_table(bench)


def cell(value: float | None, form: Callable[[float], str]) -> str:
    """A figure, if there is one."""
    return NONE if value is None else form(value)


def times(value: float | None, reference: float | None) -> str:
    """A ratio, if there are both."""
    if not value or not reference:
        return NONE
    return ratio(value, reference) if value >= reference else f"{value / reference:.2f}"


def added(bench: Bench, name: str, dialect: str, field: str) -> float | None:
    """Milliseconds that a relay adds to the first token."""
    through = getattr(bench.found[name].spoken[dialect], field)
    direct = getattr(bench.found["direct"].spoken[dialect], field)
    return None if through is None or direct is None else 1000 * (through - direct)


def speed_table(bench: Bench, dialect: str) -> Table:
    """Streams a second, the first token, the CPU of an event."""
    ours = bench.found.get(REFERENCE, Found()).spoken.get(dialect)
    rows = []
    for running in bench.speaking(dialect):
        spoken = bench.found[running.name].spoken[dialect]
        mark = "*" if spoken.late else ""
        rows.append(
            (
                running.label,
                cell(spoken.streams or None, "{:,.0f}".format),
                times(spoken.streams, ours.streams if ours else None),
                *(
                    cell(added(bench, running.name, dialect, field), "{:.2f}".format)
                    for field in ("alone", "among")
                ),
                cell(spoken.microseconds, lambda cost, mark=mark: f"{cost:.0f}{mark}"),
                times(spoken.microseconds, ours.microseconds if ours else None),
            )
        )
    clients, crowd = listed(bench.effort.clients), f"{PACED} streams at once, {PACE} ms between two deltas"
    notes = [
        f"Streams: of {DELTAS} deltas, as many a second as can be had with {clients} clients at once.",
        f"First token: the median of what is added to the upstream's, alone and beside {PACED} open streams.",
        f"CPU: of the relay and all its processes per delta, {crowd}.",
        f"Ratios are against {RELAYS[REFERENCE].label}.",
    ]
    if any(bench.found[running.name].spoken[dialect].late for running in bench.speaking(dialect)):
        notes.append("* could not keep the pace.")
    columns = ("relay", "streams/s", "ratio", "first, ms", f"of {PACED}", "µs per event", "ratio")
    return Table(f"`{PATHS[dialect]}`", columns, rows, notes)


def listed(numbers: Iterable[int]) -> str:
    """4, 16 or 64."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last


def memory_table(bench: Bench) -> Table:
    """Resident memory, and the start."""
    rows = []
    for running in bench.running:
        found = bench.found[running.name]
        cells = []
        for clients in bench.effort.crowds:
            megabytes, errors = found.crowds.get(clients, (None, 0))
            cells.append(cell(megabytes, "{:.0f}".format) + (f", {errors:,} errors" if errors else ""))
        rows.append((running.label, f"{found.idle:.0f}", *cells, f"{1000 * found.start:.0f}"))
    notes = [
        "Idle: after an answer in each dialect. Slow streams: a delta a second in each.",
        "Start: until it answers anything at all, the shortest of a few.",
        *(f"{NONE} {words}." for words in bench.left_out),
    ]
    columns = (
        "relay",
        "idle",
        *(f"{clients:,} slow streams" for clients in bench.effort.crowds),
        "start, ms",
    )
    return Table("MB resident", columns, rows, notes)


def limits_table(bench: Bench) -> Table:
    """Ours, against what was asked for."""
    rows = []
    for words, found, limit, least in limits(bench):
        kept = found >= limit if least else found <= limit
        rows.append((words, f"{found:.3g}", f"{'≥' if least else '≤'} {limit:g}", "yes" if kept else "NO"))
    return Table("onplan serve, limits", ("figure", "found", "limit", "kept"), rows)


def limits(bench: Bench) -> Iterator[tuple[str, float, float, bool]]:
    """What, how much, the limit, and whether that is the least."""
    ours = bench.found.get(REFERENCE)
    if ours is None:
        return
    peers = [name for name in bench.found if name in RELAYS and RELAYS[name].kind == "peer"]
    for dialect, spoken in ours.spoken.items():
        path = PATHS[dialect]
        theirs = [
            bench.found[name].spoken[dialect].streams for name in peers if dialect in bench.found[name].spoken
        ]
        if any(theirs):
            yield (
                f"{path}: streams/s, against the best peer's",
                spoken.streams / max(theirs),
                STREAMS[dialect],
                True,
            )
        for field, limit in (("alone", FIRST_ALONE), ("among", FIRST_AMONG)):
            milliseconds = added(bench, REFERENCE, dialect, field)
            if milliseconds is not None:
                streams = "one stream" if field == "alone" else f"{PACED} streams"
                yield f"{path}: ms added to the first token, {streams}", milliseconds, limit, False
        if spoken.microseconds is not None:
            yield f"{path}: µs per paced event", spoken.microseconds, EVENT[dialect], False
    yield "MB idle", ours.idle, MEGABYTES[0], False
    for clients, (megabytes, errors) in ours.crowds.items():
        yield f"MB with {clients:,} slow streams", megabytes, MEGABYTES[clients], False
        yield f"errors with {clients:,} slow streams", errors, 0, False
    yield "seconds until it answers", ours.start, START, False
