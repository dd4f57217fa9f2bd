"""One reader in a process of its own: ``python -m bench.readers NAME``.

It opens the client, reads one stream and prints how long the first text took since the process was started;
then, for each line ``STREAMS CONCURRENT`` on stdin, it reads so many and prints what that cost. Nothing of
onplan is imported here: the peers' environment has none.
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

from bench.clients import CLIENTS, Read, Reading, SyncRead

Outcome = tuple[Reading, float] | Exception  # what was read, and the Unix seconds of the request
Run = Callable[[int, int], list[Outcome]]


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
    (outcome,) = run(1, 1)
    if isinstance(outcome, Exception):
        raise outcome
    answer(cold=outcome[0][1] - float(os.environ["BENCH_BEGAN"]), versions=versions)
    for line in sys.stdin:
        streams, concurrent = (int(word) for word in line.split())
        cpu, wall = time.process_time(), time.perf_counter()
        outcomes = run(streams, concurrent)
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

    async def worker(streams: int) -> list[Outcome]:
        return [await timed() for _ in range(streams)]

    async def run(streams: int, concurrent: int) -> list[Outcome]:
        found = await asyncio.gather(*(worker(streams // concurrent) for _ in range(concurrent)))
        return [outcome for outcomes in found for outcome in outcomes]

    return lambda streams, concurrent: runner.run(run(streams, concurrent))


def in_threads(read: SyncRead) -> Run:
    """Read in so many threads at once."""
    from concurrent.futures import ThreadPoolExecutor

    def timed(_: int) -> Outcome:
        began = time.time()
        try:
            return read(), began
        except Exception as error:  # noqa: BLE001 - reported
            return error

    def run(streams: int, concurrent: int) -> list[Outcome]:
        with ThreadPoolExecutor(concurrent) as pool:
            return list(pool.map(timed, range(streams)))

    return run


def new_loop(*, uvloop: bool) -> asyncio.AbstractEventLoop:
    """An event loop of the wanted kind."""
    if uvloop:
        import uvloop as library

        return library.new_event_loop()
    return asyncio.new_event_loop()


def main() -> None:
    """Read with the client that is named on the command line; say so if it is not installed."""
    client = CLIENTS[sys.argv[1]]
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
