"""What does an adapter cost, beside the framework's own model class on the same server?"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.adapter_clients import ADAPTERS, JSON_ANSWER, READ, Adapter
from bench.entrants import FailedError, Reader
from bench.tables import Table, ratio
from bench.upstream import PADDING, ROOT, Upstream, upstream

_OF_THE_PLATFORM = (
    "The backend of a plan does not take what LlamaIndex, smolagents and Instructor send by themselves: "
    "their own classes read as many deltas from the platform, which the same process emulates."
)
DELTAS, STREAMS, ROUNDS, STARTS = 1_000, 2, 5, 3


def table(folder: Path, environments: Path | None = None) -> Table:
    """CPU per event, and CPU until it can be asked. ``environments``: those that `make frameworks` makes."""
    environments = environments or Path(sys.prefix, "frameworks")
    rows, notes = [], []
    with (
        upstream(folder, "adapters", DELTAS) as plain,
        upstream(folder, "objects", DELTAS, text=_object()) as objects,
    ):
        for name, adapter in ADAPTERS.items():
            python = environments / adapter.environment / "bin" / "python"
            if not python.exists():
                notes.append(f"— {name}: `make frameworks FRAMEWORKS={adapter.environment}` installs it.")
                continue
            try:
                rows.append(_row(name, adapter, objects if adapter.reads_json else plain, python))
            except FailedError as failed:
                notes.append(f"— {name}: {failed}.")
    columns = ("framework", "own µs", "onplan µs", "ratio", "own start, ms", "onplan start, ms", "more")
    meaning = [
        f"µs of CPU per event, best of {ROUNDS}: a stream of {DELTAS:,} deltas at full speed.",
        f"Start: CPU until a model can be asked, best of {STARTS}; the adapter's has the framework in it.",
        _OF_THE_PLATFORM,
    ]
    return Table("What adapters cost over the framework's own class", columns, rows, [*meaning, *notes])


def _object() -> str:
    """An object in JSON, as long as the other answer."""
    return JSON_ANSWER.format("w" * (DELTAS * PADDING - len(JSON_ANSWER.format(""))))


def _row(name: str, adapter: Adapter, target: Upstream, python: Path) -> tuple[str, ...]:
    label, best = _cost(name, adapter, _seeing_onplan(target), python)
    ours, own = best["ours"], best["own"]
    starts = [_start(code, target, python) for code in (adapter.own_start, adapter.our_start)]
    more = f"{starts[1] - starts[0]:+.0f}"
    cost = (f"{own:.0f}", f"{ours:.0f}", ratio(ours, own))
    return (label, *cost, *(f"{each:.0f}" for each in starts), more)


def _seeing_onplan(target: Upstream) -> Upstream:
    """For environments without onplan, and a LiteLLM that asks no server for prices."""
    known = {
        "PYTHONPATH": str(ROOT / "src"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "REPEATED_STREAMING_CHUNK_LIMIT": "1000000",  # of a model that repeats itself, as ours does
    }
    return replace(target, environment={**target.environment, **known})


def _cost(name: str, adapter: Adapter, target: Upstream, python: Path) -> tuple[str, dict[str, float]]:
    """The label, and the µs of CPU per event of each, in turn. Raises FailedError."""
    events = target.events() * STREAMS
    best: dict[str, float] = {}
    with ExitStack() as stack:
        whose = ("own", "ours")
        readers = {each: Reader(f"{name}-{each}", target, python, READ) for each in whose}
        for reader in readers.values():
            stack.callback(reader.close)
        versions = [reader.answer()["versions"] for reader in readers.values()]
        for _ in range(ROUNDS):
            for each, reader in readers.items():
                found = reader.round(STREAMS, 1)
                if found["errors"]:
                    raise FailedError(found["errors"][0])
                cost = 1e6 * found["cpu"] / events
                best[each] = min(cost, best.get(each, cost))
    return adapter.own.label.format(*versions[0]), best


def _start(code: str, target: Upstream, python: Path) -> float:
    """Milliseconds of CPU of a process that does this. Raises FailedError."""
    program = f"{code}\nimport time; print(time.process_time())"
    found = []
    for _ in range(STARTS):
        done = subprocess.run(
            [python, "-W", "ignore", "-c", program],
            cwd=ROOT,
            env=dict(_seeing_onplan(target).environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise FailedError(done.stderr.strip().splitlines()[-1][:200])
        found.append(1000 * float(done.stdout.split()[-1]))
    return min(found)
