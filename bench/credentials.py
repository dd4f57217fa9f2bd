"""What it costs to have a fresh token: looked up, refreshed alone, and refreshed while many want it.

`python -m bench.credentials` is one of the processes that want it: a round for each line on stdin.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

import onplan
from bench.tables import Table, ratio
from onplan.config.settings import load_settings
from onplan.stores import Record, open_store

LOOKUPS, ROUNDS, PROCESSES, TASKS = 200_000, 5, 16, 8


def expire() -> None:
    """Make the stored token look expired."""
    store = open_store(load_settings().store)
    with store.lock():
        loaded = store.load()
        assert loaded
        assert loaded.record.credentials
        credentials = msgspec.structs.replace(loaded.record.credentials, expires_at=time.time() - 60)
        store.save(Record(credentials=credentials), loaded.version)


def microseconds(call: Callable[[], object], times: int) -> float:
    """Of one call; the best of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times // 5):
            call()
        rounds.append(time.perf_counter() - began)
    return 1e6 * min(rounds) / (times // 5)


async def microseconds_async(client: onplan.AsyncClient, times: int) -> float:
    """Of one `await client.credentials()`."""
    await client.credentials()
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times // 5):
            await client.credentials()
        rounds.append(time.perf_counter() - began)
    return 1e6 * min(rounds) / (times // 5)


async def look_up() -> tuple[float, float, float]:
    """Microseconds of a fresh token: synchronous, asynchronous, and read from the store each time."""
    store = open_store(load_settings().store)
    with onplan.Client() as client:
        client.credentials()
        once = microseconds(client.credentials, LOOKUPS)
    async with onplan.AsyncClient() as asynchronous:
        awaited = await microseconds_async(asynchronous, LOOKUPS)
    return once, awaited, microseconds(store.load, LOOKUPS // 100)


def refresh_alone() -> float:
    """Milliseconds of a refresh that nobody else wants."""
    taken = []
    for _ in range(ROUNDS):
        expire()
        with onplan.Client() as client:
            began = time.perf_counter()
            client.credentials()
            taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def refresh_contended() -> float:
    """Milliseconds until every task of every process has the refreshed token."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.credentials"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    taken = []
    for _ in range(ROUNDS):
        expire()
        began = time.perf_counter()
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("now\n")
            worker.stdin.flush()
        tokens = {
            token for worker in workers if worker.stdout for token in json.loads(worker.stdout.readline())
        }
        taken.append(1000 * (time.perf_counter() - began))
        assert len(tokens) == 1
    for worker in workers:
        worker.communicate(timeout=60)
    return statistics.median(taken[1:])  # the first round waits for the interpreters


def table() -> Table:
    """Lookups and refreshes, each against the cheapest of its kind."""
    once, awaited, read = asyncio.run(look_up())
    alone = refresh_alone()
    contended = refresh_contended()
    many = f"the same, wanted by {PROCESSES} processes of {TASKS} tasks at once"
    rows = [
        ("Client.credentials(), cached", f"{once:.2f} µs", "1.0"),
        ("await AsyncClient.credentials(), cached", f"{awaited:.2f} µs", ratio(awaited, once)),
        ("reading the store each time instead", f"{read:.1f} µs", ratio(read, once)),
        ("a refresh, alone", f"{alone:.0f} ms", "1.0"),
        (many, f"{contended:.0f} ms", ratio(contended, alone)),
    ]
    note = f"Lookups: best of 5 rounds; refreshes: median of {ROUNDS}."
    return Table("Having a fresh token", ("what", "time", "ratio"), rows, [note])


async def worker() -> None:
    """One of the processes."""
    while sys.stdin.readline().strip():
        async with onplan.AsyncClient() as client:
            found = await asyncio.gather(*(client.credentials() for _ in range(TASKS)))
        print(json.dumps([credentials.access_token[-8:] for credentials in found]), flush=True)


if __name__ == "__main__":
    asyncio.run(worker())
