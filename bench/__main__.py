"""Print the tables. Every figure stands beside others of the same run: read the ratios."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import adapters, chart, endurance, prompts, reading, relay_tables, relaying, serving, starts
from bench.clients import CLIENTS, REFERENCE
from bench.entrants import Entrants
from bench.tables import Table, ratio
from bench.upstream import process_environment, upstream


@dataclass
class Bench:
    """One run.

    Attributes:
        folder: for whatever is needed while it runs.
        entrants: who takes part.
        markdown: whether the tables are shown as the README has them.
        picture: where the bars are drawn.
        quick: whether fewer rounds will do, where that can be chosen.
    """

    folder: Path
    entrants: Entrants
    markdown: bool
    picture: Path | None
    quick: bool

    def show(self, table: Table) -> None:
        """Print it at once: the next one takes its time."""
        print("\n" + (table.as_markdown() if self.markdown else table.as_text()), flush=True)

    def read(self, names: list[str]) -> None:
        """CPU per event, memory, and the bars."""
        results = reading.measure(names, self.folder, self.entrants)
        self.show(reading.cost_table(results, self.entrants))
        self.show(reading.memory_table(results, self.entrants))
        self.show(reading.limits_table(results, self.entrants))
        panels = [panel(name, results, self.entrants.labels) for name in names if name in DRAWN]
        if panels and not self.markdown:
            print(f"\n{chart.as_text(panels)}", flush=True)
        if self.picture and len(panels) == len(DRAWN):
            svg = chart.as_svg(panels, "What reading a stream costs", f"Ratios against onplan. {made()}")
            self.picture.write_text(svg, encoding="utf-8")

    def first(self) -> None:
        self.show(reading.first_table(self.folder, self.entrants))

    def start(self) -> None:
        with upstream(self.folder, "start", 1) as target:
            self.show(starts.starts_table(target, self.entrants))

    def long(self) -> None:
        self.show(endurance.long_table(self.folder))

    def many(self) -> None:
        self.show(endurance.many_table(self.folder, self.entrants))

    def serving(self) -> None:
        self.show(serving.table(self.folder, quick=self.quick))

    def credentials(self) -> None:
        self.in_process("bench.credentials")

    def sessions(self) -> None:
        self.in_process("bench.sessions")

    def caching(self) -> None:
        self.in_process("bench.caching")

    def prompts(self) -> None:
        with upstream(self.folder, "prompts", 20) as target:
            self.show(prompts.table(target))

    def runs(self) -> None:
        self.in_process("bench.runs")

    def adapters(self) -> None:
        self.show(adapters.table(self.folder))

    def relays(self) -> None:
        effort = relaying.QUICK if self.quick else relaying.THOROUGH
        for table in relay_tables.tables(relaying.measure(self.folder, effort)):
            self.show(table)

    def in_process(self, module: str) -> None:
        """A table that is measured in this process, against an emulator that the environment points at."""
        with upstream(self.folder, module, 20) as target, process_environment(target.environment):
            self.show(importlib.import_module(module).table())


DRAWN = {"full": "at full speed", "paced": "50 at once, 20 ms between deltas"}
TABLES = (
    *("first", "start", "long", "many", "serving", "credentials", "sessions", "caching", "prompts", "runs"),
    "adapters",
    "relays",
)


def panel(name: str, results: reading.Results, labels: dict[str, str]) -> chart.Panel:
    """The bars of one measure."""
    reference = results[REFERENCE].microseconds[name]
    bars = []
    for client, found in results.items():
        cost = found.microseconds.get(name)
        if cost is None:
            continue
        note = f"{cost:.1f} · {ratio(cost, reference)}"
        bars.append(chart.Bar(labels[client], cost, note, CLIENTS[client].kind))
    return chart.Panel(f"Reading a stream: {DRAWN[name]}", "µs of CPU per event", bars)


def made() -> str:
    """Where and when."""
    date = time.strftime("%d %B %Y").lstrip("0")
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, loopback, {date}"


# Above the tables in docs/speed.md.
_INTRODUCTION = """\
`make bench` reads the same emulated answers with onplan and with other clients, each used as its own
documentation advises, warm, in a process of its own whose CPU alone is counted. Machines differ, so read the
ratios. "fast" is `pip install 'onplan[fast]'`; uvloop is the program's own choice of event loop. `make speed`
writes this page. `make bench` also puts `onplan serve` and other servers in front of one upstream that costs
less than any of them, and lets them take turns: those tables are the last.

![Bars: the CPU that reading an event costs, client by client](speed.svg)
"""


def main() -> None:
    """All tables, or those that are named."""
    names = (*reading.MEASURES, *TABLES)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(names)}; without any, all")
    parser.add_argument(
        "--markdown", action="store_true", help="tables as README.md and docs/speed.md have them"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the bars there, as SVG")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="PYTHON",
        default=Path(sys.prefix, "bench-peers", "bin", "python"),
        help="the Python that has the libraries of requirements/bench-peers.in",
    )
    parser.add_argument(
        "--quick", action="store_true", help="relays: fewer rounds, and no 2,000 streams; serving: a tenth"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.name) - set(names):
        parser.error(f"no table is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    wanted = arguments.name or names
    if arguments.markdown:
        print(f"# Speed\n\n{_INTRODUCTION}")
    print(f"{made()}. Ratios are against {CLIENTS[REFERENCE].label}, in the same run.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        entrants = Entrants(arguments.peers)
        bench = Bench(Path(folder), entrants, arguments.markdown, arguments.picture, arguments.quick)
        if measures := [name for name in reading.MEASURES if name in wanted]:
            bench.read(measures)
        for name in TABLES:
            if name in wanted:
                getattr(bench, name)()


if __name__ == "__main__":
    main()
