"""Five hundred answers at once in one process, all of them left in the middle: nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import onplan
from onplan.emulator import Emulator

from ..conftest import use_http

MANY = 500

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open sockets in /proc")


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Each stream has two ends in this process, and more files may be needed than are usual."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MANY if hard == resource.RLIM_INFINITY else min(hard, 4 * MANY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sockets() -> int:
    """How many this process has open."""
    count = 0
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists the others
            count += Path(entry.path).readlink().name.startswith("socket:")
    return count


async def until(true: Callable[[], bool]) -> None:
    """The emulator notices on its own thread."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", ["sse", "sse-aiohttp", "sse-httpx2", "websocket"])
async def test_cancelling_leaves_no_connection_and_no_task(
    signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """Every stream is closed at once, on both ends, while the client itself goes on being usable."""
    use_http(transport, monkeypatch)
    signed_in.arm("stall", times=MANY)
    begun: set[int] = set()

    async def listen(number: int) -> None:
        request = onplan.CompletionRequest(messages=f"number {number}", model="gpt-5.5")
        async for _ in client.complete_stream(request):
            begun.add(number)

    async with onplan.AsyncClient(transport=transport.partition("-")[0]) as client:
        await client.credentials()
        before, tasks_before = sockets(), asyncio.all_tasks()
        tasks = [asyncio.create_task(listen(number)) for number in range(MANY)]
        await until(lambda: len(begun) == MANY or any(task.done() for task in tasks))
        assert len(begun) == MANY, next(task for task in tasks if task.done()).exception()

        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        await until(lambda: sockets() <= before and asyncio.all_tasks() == tasks_before)
        assert (await client.complete("hi")).text == "You said: hi"
