"""One reader in a process of its own: ``python -m bench.readers NAME``.

It opens the client, reads one stream and prints how long the first text took since the process was started;
then, for each line ``STREAMS CONCURRENT SECONDS`` on stdin, it reads so many, of so many seconds between two
deltas, and prints what that cost. Nothing of onplan is imported here: the peers' environment has none.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from bench.adapter_clients import READ
from bench.clients import CLIENTS, Read, Reading, SyncRead

Outcome = tuple[Reading, float] | Exception  # what was read, and the Unix seconds of the request
Run = Callable[[int, int, float], list[Outcome]]


def offset(number: int, concurrent: int, seconds: float) -> float:
    """Seconds until a stream is begun, so that the deltas of no two come together, as with a model's streams.

    Whoever's streams happened to keep step would read many at once, which costs half as much.
    """
    return number * seconds * (1 + 1 / concurrent) / 2


def megabytes(field: str) -> float:
    """``VmRSS``: what is resident now; ``VmHWM``: the most that ever was. Only the latter outside Linux."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))
    except OSError:
        import resource  # where it counts, on Linux, what the parent had when it started us

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def answer(**fields: Any) -> None:
    """One line to whoever started us."""
    print(json.dumps({**fields, "megabytes": megabytes("VmHWM")}), flush=True)


def serve(run: Run, versions: list[str]) -> None:
    """Answer until stdin ends."""
    (outcome,) = run(1, 1, 0.0)
    if isinstance(outcome, Exception):
        raise outcome
    answer(cold=outcome[0][1] - float(os.environ["BENCH_BEGAN"]), versions=versions)
    for line in sys.stdin:
        streams, concurrent, seconds = line.split()
        cpu, wall = time.process_time(), time.perf_counter()
        outcomes = run(int(streams), int(concurrent), float(seconds))
        cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        whole = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        answer(
            **cost,
            characters=sum(characters for (characters, _), _ in whole),
            firsts=[first - began for (_, first), began in whole],
            errors=[repr(outcome) for outcome in outcomes if isinstance(outcome, Exception)],
        )


def in_tasks(read: Read, runner: asyncio.Runner) -> Run:
    """Read in so many tasks at once."""

    async def timed() -> Outcome:
        began = time.time()
        try:
            return await read(), began
        except Exception as error:  # noqa: BLE001 - reported
            return error

    async def worker(streams: int, delay: float) -> list[Outcome]:
        await asyncio.sleep(delay)
        return [await timed() for _ in range(streams)]

    async def run(streams: int, concurrent: int, seconds: float) -> list[Outcome]:
        each = streams // concurrent
        workers = (worker(each, offset(number, concurrent, seconds)) for number in range(concurrent))
        return [outcome for outcomes in await asyncio.gather(*workers) for outcome in outcomes]

    return lambda streams, concurrent, seconds: runner.run(run(streams, concurrent, seconds))


def in_threads(read: SyncRead) -> Run:
    """Read in so many threads at once."""
    from concurrent.futures import ThreadPoolExecutor

    def timed(delay: float) -> Outcome:
        time.sleep(delay)
        began = time.time()
        try:
            return read(), began
        except Exception as error:  # noqa: BLE001 - reported
            return error

    def run(streams: int, concurrent: int, seconds: float) -> list[Outcome]:
        delays = [offset(number, concurrent, seconds) for number in range(concurrent)]
        delays += [0.0] * (streams - concurrent)
        with ThreadPoolExecutor(concurrent) as pool:
            return list(pool.map(timed, delays))

    return run


def new_loop(*, uvloop: bool) -> asyncio.AbstractEventLoop:
    """An event loop of the wanted kind."""
    if uvloop:
        import uvloop as library

        return library.new_event_loop()
    return asyncio.new_event_loop()


def main() -> None:
    """Read with the client that is named on the command line; say so if it is not installed."""
    client = {**CLIENTS, **READ}[sys.argv[1]]
    try:
        from importlib.metadata import version

        versions = [version(name) for name in client.distributions]
        opened = client.open()
        if not isinstance(opened, AbstractAsyncContextManager):
            with opened as read:
                serve(in_threads(read), versions)
            return
        with asyncio.Runner(loop_factory=lambda: new_loop(uvloop=client.uvloop)) as runner:
            read = runner.run(opened.__aenter__())
            serve(in_tasks(read, runner), versions)
            runner.run(opened.__aexit__(None, None, None))
    except ModuleNotFoundError as error:
        answer(missing=error.name)


if __name__ == "__main__":
    main()
