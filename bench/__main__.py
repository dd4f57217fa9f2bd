"""Print the tables. Every figure stands beside another of the same run: read the ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import credentials

DELTAS, STREAMS, ROUNDS = 2_000, 10, 3
STARTS = 15


@contextmanager
def emulator(folder: Path) -> Iterator[dict[str, str]]:
    """An emulator in a process of its own, so that its CPU is nobody else's, and a sign-in at it."""
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps({"answer": {"deltas": DELTAS}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", "emulator", "--scenario", str(scenario)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        urls = json.loads(process.stdout.readline())
        os.environ |= {
            "ONPLAN_HOME": str(folder),
            "ONPLAN_ISSUER": urls["issuer"],
            "ONPLAN_CODEX_BASE_URL": urls["codex_base_url"],
        }
        sign_in()
        yield urls
    finally:
        process.terminate()
        process.wait(20)


def sign_in() -> None:
    """As a person would, with a thread in the browser's place."""
    from onplan.login import sign_in_with_browser
    from onplan.settings import load_settings
    from onplan.stores import open_store

    def browse(url: str) -> None:
        threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=20).close(), daemon=True).start()

    settings = load_settings()
    sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)


def read(name: str) -> dict[str, Any]:
    """The best of some rounds of one reader."""
    rounds = [
        json.loads(subprocess.check_output([sys.executable, "-m", "bench.readers", name, str(STREAMS)]))
        for _ in range(ROUNDS)
    ]
    best: dict[str, Any] = min(rounds, key=lambda result: result["cpu"] / result["events"])
    return best


def streams() -> None:
    """CPU per event at full speed."""
    names = {
        "bytes": "receive only (floor)",
        "onplan": "onplan AsyncClient",
        "openai": "openai AsyncOpenAI.responses",
    }
    results = {name: read(name) for name in names}
    costs = {name: 1e6 * result["cpu"] / result["events"] for name, result in results.items()}
    print(
        f"\nReading streams of {DELTAS:,} deltas at full speed; {STREAMS} a round, best of {ROUNDS} rounds\n"
    )
    print(f"{'client':<32} {'µs of CPU per event':>20} {'against onplan':>16} {'MB':>6}")
    for name, label in names.items():
        ratio = costs[name] / costs["onplan"]
        print(f"{label:<32} {costs[name]:>20.1f} {ratio:>15.1f}x {results[name]['megabytes']:>6.0f}")


def starts() -> None:
    """Wall time of a start, beside that of bare Python."""
    script = str(Path(sys.executable).with_name("onplan"))
    commands = {
        "python -c pass": ["-c", "pass"],
        "import onplan": ["-c", "import onplan"],
        "import onplan; onplan.Client": ["-c", "import onplan; onplan.Client"],
        "import openai": ["-c", "import openai"],
        "import click": ["-c", "import click"],
        "onplan --help": [script, "--help"],
        "onplan status": [script, "status"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):  # in turn, so that a slow moment of the machine meets them all
        for name, arguments in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            times[name].append(1000 * (time.perf_counter() - began))
    bare = statistics.median(times["python -c pass"])
    print(f"\nStarting (median of {STARTS})\n")
    print(f"{'command':<32} {'ms':>8} {'more than bare Python':>24}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<32} {median:>8.0f} {median - bare:>21.0f} ms")


def main() -> None:
    """All tables."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, loopback")
    with tempfile.TemporaryDirectory() as folder, emulator(Path(folder)):
        streams()
        credentials.table()
        starts()


if __name__ == "__main__":
    main()
