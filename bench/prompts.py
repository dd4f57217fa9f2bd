"""What many prompts cost: `map` against the openai SDK, as its users write it. `python -m bench prompts`.

Each way runs in a process of its own, which is warm before it begins; its CPU alone is counted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import onplan
from bench.clients import MODEL, Target
from bench.entrants import FailedError
from bench.tables import Table, ratio
from bench.upstream import PADDING, ROOT, Upstream

PROMPTS, WARM, CONCURRENCY = 2_000, 40, 20


def map_threads() -> Callable[[list[str]], int]:
    """`client.map`."""
    client = onplan.Client(model=MODEL)

    def ask(prompts: list[str]) -> int:
        results = client.map(prompts, concurrency=CONCURRENCY)
        return sum(len(result.response.text) for result in results if result.response)

    return ask


def map_tasks() -> Callable[[list[str]], Awaitable[int]]:
    """`async for … in client.map`."""
    client = onplan.AsyncClient(model=MODEL)

    async def ask(prompts: list[str]) -> int:
        results = client.map(prompts, concurrency=CONCURRENCY)
        return sum([len(result.response.text) async for result in results if result.response])

    return ask


def sdk_threads() -> Callable[[list[str]], int]:
    """A pool of threads over one `OpenAI`."""
    from openai import OpenAI

    client, pool = OpenAI(**_options()), ThreadPoolExecutor(CONCURRENCY)

    def ask_one(prompt: str) -> int:
        with client.responses.create(model=MODEL, input=_input(prompt), store=False, stream=True) as events:
            (last,) = [event.response for event in events if event.type == "response.completed"]
        return len(last.output_text)

    return lambda prompts: sum(pool.map(ask_one, prompts))


def sdk_tasks() -> Callable[[list[str]], Awaitable[int]]:
    """`asyncio.gather` over one `AsyncOpenAI`, with a semaphore."""
    from openai import AsyncOpenAI

    client, room = AsyncOpenAI(**_options()), asyncio.Semaphore(CONCURRENCY)

    async def ask_one(prompt: str) -> int:
        async with room:
            events = await client.responses.create(
                model=MODEL, input=_input(prompt), store=False, stream=True
            )
            (last,) = [event.response async for event in events if event.type == "response.completed"]
            return len(last.output_text)

    async def ask(prompts: list[str]) -> int:
        return sum(await asyncio.gather(*map(ask_one, prompts)))

    return ask


def _options() -> dict[str, Any]:
    target = Target.from_environment()
    headers = {"chatgpt-account-id": target.account_id}
    return {"api_key": target.access_token, "base_url": target.base_url, "default_headers": headers}


def _input(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


@dataclass(frozen=True)
class Way:
    """A row. ``make`` opens its client."""

    label: str
    make: Callable[[], Callable[[list[str]], Any]]


WAYS = {
    "map_tasks": Way("onplan AsyncClient.map", map_tasks),
    "sdk_tasks": Way("openai AsyncOpenAI, a semaphore", sdk_tasks),
    "map_threads": Way("onplan Client.map", map_threads),
    "sdk_threads": Way("openai OpenAI, a pool of threads", sdk_threads),
}
REFERENCE = "map_tasks"


async def _measured(name: str) -> dict[str, float]:
    ask = WAYS[name].make()

    async def asked(count: int) -> int:
        outcome = ask([f"number {number}" for number in range(count)])
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    await asked(WARM)
    wall, cpu = time.perf_counter(), time.process_time()
    characters = await asked(PROMPTS)
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "characters": characters,
    }


def _found(name: str, target: Upstream) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.prompts", name]
    ran = subprocess.run(
        command, cwd=ROOT, env=dict(target.environment), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise FailedError(f"{name}: {ran.stderr.strip()[-500:]}")
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    if found["characters"] != PROMPTS * target.deltas * PADDING:
        raise FailedError(f"{name} read {found['characters']:,.0f} characters")
    return found


def table(target: Upstream) -> Table:
    """CPU and time of all prompts."""
    found = {name: _found(name, target) for name in WAYS}
    first = found[REFERENCE]
    rows = [
        (
            WAYS[name].label,
            f"{1000 * one['cpu'] / PROMPTS:.2f}",
            ratio(one["cpu"], first["cpu"]),
            f"{one['wall']:.1f}",
            ratio(one["wall"], first["wall"]),
        )
        for name, one in found.items()
    ]
    columns = ("way", "ms of CPU per prompt", "ratio", "seconds", "ratio")
    note = (
        f"{CONCURRENCY} at once, answers of {target.deltas} deltas, each way in a process of its own. Its "
        "CPU alone is counted. The emulator takes its share of the seconds: about the same for all."
    )
    return Table(f"{PROMPTS:,} prompts", columns, rows, [note])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measured(sys.argv[1]))))
