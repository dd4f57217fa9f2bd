"""What relaying costs: streams a second, time to the first token, CPU per event, memory, start.

All relays are started and checked first; then they take turns in every round of every measure, so that a slow
moment of the machine meets all of them. The best round counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.playback import PREFIX
from bench.processes import allow_many_files, cpu_seconds, resident_megabytes
from bench.relay_processes import (
    AT_ONCE,
    DELTAS,
    FailedError,
    Load,
    Running,
    answering,
    free_port,
    recorded,
    release,
)
from bench.relays import PATHS, RELAYS, MissingError, Place
from bench.upstream import started, upstream

PACED, PACE, SLOW = 50, 20, 1000  # streams; ms between two deltas
CLOSES_WITHIN = 10.0  # seconds


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: in which all take turns.
        seconds: of one measurement.
        clients: how many at once are tried for short streams; the best counts.
        firsts: requests of which the median first token is taken.
        crowds: so many slow streams at once.
        patience: seconds until all of a crowd must have their first delta.
    """

    rounds: int = 2
    seconds: float = 1.0
    clients: tuple[int, ...] = (4, 16, 64)
    firsts: int = 100
    crowds: tuple[int, ...] = (200, 2_000)
    patience: float = 15.0


THOROUGH, QUICK = Effort(), Effort(rounds=1, seconds=0.7, firsts=50, crowds=(200,), patience=8.0)


@dataclass
class Spoken:
    """What was found of one dialect of one relay.

    Attributes:
        streams: short ones a second, in the best round.
        alone: median seconds to the first token of one stream, in the best round.
        among: the same while 50 paced streams are open.
        microseconds: of CPU per paced event, in the best round.
        late: whether it was slower than the pace.
    """

    streams: float = 0.0
    alone: float | None = None
    among: float | None = None
    microseconds: float | None = None
    late: bool = False


@dataclass
class Found:
    """What was found of one relay.

    Attributes:
        start: seconds from its start until it answered, at best.
        idle: MB resident after the first answers.
        crowds: MB resident, and the number of errors, with so many slow streams.
    """

    start: float = 0.0
    idle: float = 0.0
    spoken: dict[str, Spoken] = field(default_factory=dict)
    crowds: dict[int, tuple[float, int]] = field(default_factory=dict)


@dataclass
class Bench:
    """One run.

    Attributes:
        playback: the port of the upstream.
        direct: the upstream, as if it were a relay.
        running: the relays that take part, in the order of the tables.
        left_out: what is missing in the tables, and why.
    """

    effort: Effort
    load: Load
    playback: int
    direct: Running
    running: list[Running] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def speaking(self, dialect: str) -> list[Running]:
        """The relays that have it."""
        return [running for running in self.running if dialect in running.paths]

    def all_rounds(self) -> None:
        """Everything but memory."""
        for dialect in PATHS:
            self.short_streams(dialect)
            self.first_tokens(dialect)
            for _ in range(self.effort.rounds):
                for running in self.with_direct(dialect):
                    self.paced(running, dialect)

    def with_direct(self, dialect: str) -> list[Running]:
        """The relays that have a dialect, after the upstream itself."""
        return [self.direct, *self.speaking(dialect)]

    def failed(self, running: Running, dialect: str, words: str) -> None:
        """What went wrong, once; and let it come to rest, lest the next one suffer from it."""
        line = f"{running.label}, {running.paths[dialect]}: {words}"
        if line not in self.left_out:
            self.left_out.append(line)
        running.wait_until_idle()

    def short_streams(self, dialect: str) -> None:
        """As many a second as can be had."""
        best: dict[str, int] = {}
        for clients in self.effort.clients:
            for running in self.speaking(dialect):
                self.short_round(running, dialect, clients, self.effort.seconds / 2, best)
        for _ in range(self.effort.rounds):
            for running in self.speaking(dialect):
                if running.name in best:
                    self.short_round(running, dialect, best[running.name], self.effort.seconds, best)

    def short_round(
        self, running: Running, dialect: str, clients: int, seconds: float, best: dict[str, int]
    ) -> None:
        """With so many clients at once."""
        target = running.target(dialect, AT_ONCE)
        found = self.load.do("turns", seconds, target=target, clients=clients, count=0)
        if found["errors"]:
            self.failed(running, dialect, f"{clients} clients at once: {found['errors'][0]}")
            return
        rate = len(found["firsts"]) / found["seconds"]
        spoken = self.found[running.name].spoken[dialect]
        if rate > spoken.streams:
            spoken.streams, best[running.name] = rate, clients

    def first_tokens(self, dialect: str) -> None:
        """One stream after the other."""
        for _ in range(self.effort.rounds):
            for running in self.with_direct(dialect):
                spoken = self.found[running.name].spoken[dialect]
                spoken.alone = least(spoken.alone, self.median_first(running, dialect))

    def median_first(self, running: Running, dialect: str) -> float | None:
        """Of requests one after the other."""
        target, seconds = running.target(dialect, AT_ONCE), 2 * self.effort.seconds
        found = self.load.do("turns", seconds, target=target, clients=1, count=self.effort.firsts)
        if found["errors"]:
            self.failed(running, dialect, f"first token: {found['errors'][0]}")
            return None
        return statistics.median(found["firsts"])

    def paced(self, running: Running, dialect: str) -> None:
        """50 streams at the pace of a model: CPU per event; and the first token of one more."""
        spoken = self.found[running.name].spoken[dialect]
        apart = PACE * (1 + 1 / PACED) / 2000  # no two in step
        target = running.target(dialect, f"play every {PACE} ms")
        opened = self.load.do("open", self.effort.patience, target=target, clients=PACED, apart=apart)
        before = cpu_seconds(running.pid)
        heard = self.load.do("listen", 1.5 * self.effort.seconds)
        cost = cpu_seconds(running.pid) - before
        among = self.median_first(running, dialect)
        release(self.playback)
        errors = opened["errors"] + self.load.do("close", CLOSES_WITHIN)["errors"]
        if errors or not heard["deltas"]:
            self.failed(running, dialect, f"paced streams: {(errors or ['no delta came'])[0]}")
            return
        spoken.among = least(spoken.among, among)
        spoken.microseconds = least(spoken.microseconds, 1e6 * cost / heard["deltas"])
        spoken.late = heard["deltas"] < 0.9 * PACED * heard["seconds"] * 1000 / PACE

    def memory(self) -> None:
        """With a crowd of slow streams."""
        for clients in self.effort.crowds:
            for running in self.speaking("responses"):
                self.crowd(running, clients)

    def crowd(self, running: Running, clients: int) -> None:
        """With so many."""
        target = running.target("responses", f"play every {SLOW} ms")
        opened = self.load.do("open", self.effort.patience, target=target, clients=clients, apart=0.0005)
        if opened["live"] == clients:
            self.load.do("listen", SLOW / 1000)
        resident = resident_megabytes(running.pid)
        release(self.playback)
        closed = self.load.do("close", CLOSES_WITHIN)
        errors = max(clients - opened["live"], len(opened["errors"]), len(closed["errors"]))
        if errors:
            first = (opened["errors"] + closed["errors"] + ["no first delta in time"])[0]
            self.failed(running, "responses", f"{clients:,} slow streams: {first}")
        self.found[running.name].crowds[clients] = resident, errors


def least(known: float | None, new: float | None) -> float | None:
    """The smaller one of those that are there."""
    return min((value for value in (known, new) if value is not None), default=None)


def start(bench: Bench, name: str, place: Place, stack: ExitStack) -> None:
    """Start a relay a few times, and leave the last one running if its answers are right."""
    relay = RELAYS[name]
    label = relay.label.replace(" {}", "")
    try:
        command = relay.command(place)
        label = relay.label.format(command.version)
        times = []
        for _ in range(relay.starts - 1):
            with answering(command, place) as (_, seconds):
                times.append(seconds)
        pid, seconds = stack.enter_context(answering(command, place))
        times.append(seconds)
    except (MissingError, FailedError) as error:
        bench.left_out.append(f"{label}: {error}")
        return
    running = Running(name, label, place.port, command.key, dict(relay.paths), pid)
    for dialect in relay.paths:
        try:
            running.check(dialect)
        except FailedError as error:
            bench.failed(running, dialect, str(error))
            del running.paths[dialect]
    bench.running.append(running)
    spoken = {dialect: Spoken() for dialect in running.paths}
    bench.found[name] = Found(min(times), resident_megabytes(pid), spoken)


def measure(folder: Path, effort: Effort, names: Iterable[str] = RELAYS) -> Bench:
    """Everything, of the relays that are named."""
    allow_many_files()
    with ExitStack() as stack:
        target = stack.enter_context(upstream(folder, "relays", DELTAS))
        recording = recorded(target, folder)
        playback = stack.enter_context(started(folder, "-m", "bench.playback", str(recording)))
        port = playback["port"]
        load = Load()
        stack.callback(load.close)
        environment = target.environment
        token = environment["BENCH_ACCESS_TOKEN"]
        path = f"{PREFIX.decode()}/responses"
        # The upstream has one dialect: what comes first is the same in both.
        direct = Running(
            "direct", "the upstream itself", port, token, dict.fromkeys(PATHS, path), playback["pid"]
        )
        direct.marks = dict.fromkeys(PATHS, 0)
        bench = Bench(effort, load, port, direct)
        bench.found["direct"] = Found(spoken={dialect: Spoken() for dialect in PATHS})
        for name in names:
            place = Place(
                folder=folder / f"relay-{name}",
                port=free_port(),
                upstream=f"http://127.0.0.1:{port}",
                access_token=token,
                account_id=environment["BENCH_ACCOUNT_ID"],
                environment=environment,
            )
            place.folder.mkdir()
            start(bench, name, place, stack)
        bench.all_rounds()
        bench.memory()
        return bench
