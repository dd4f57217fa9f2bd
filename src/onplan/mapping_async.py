"""Carries out the schedule of many requests with tasks; mapping.py does it with threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar, assert_never

from onplan.batches.schedule import End, HandOut, MapResult, Reset, Schedule, Start, Take, Wait
from onplan.errors import OnplanError
from onplan.turn.steps import Flow
from onplan.types import CompletionResponse

P = TypeVar("P")
AsyncRequests: TypeAlias = Iterable[P] | AsyncIterable[P]
_Report = Callable[[], None]


async def map_requests(
    requests: AsyncRequests[P],
    schedule: Schedule[P],
    ask: Callable[[Flow[CompletionResponse]], Awaitable[CompletionResponse]],
    wait: Callable[[Flow[None]], Awaitable[None]],
) -> AsyncGenerator[MapResult[P]]:
    """Hand out the results of ``schedule``. The tasks end with it.

    Args:
        requests: taken by one task at a time.
        schedule: decides.
        ask: carries out a flow that ends with an answer.
        wait: carries out one that waits, for as long as it takes.
    """
    source, tasks = _iterated(requests), _Tasks()
    work = _Work(source, schedule, ask, wait)
    try:
        while not isinstance(action := schedule.next(), End):
            match action:
                case HandOut(result):
                    yield result
                case Take():
                    tasks.begin(work.take)
                case Start(index, flow):
                    tasks.begin(partial(work.ask, index, flow))
                case Reset(flow):
                    tasks.begin(partial(work.wait_for_reset, flow))
                case Wait():
                    (await tasks.wait())()
                case _:
                    assert_never(action)
    finally:
        await tasks.close()
        await source.aclose()


async def _iterated(requests: AsyncRequests[P]) -> AsyncGenerator[P]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
        return
    for request in requests:
        yield request


@dataclass(frozen=True)
class _Work(Generic[P]):
    """What tasks do. Each method returns a report, to be called by the task that wants the results."""

    source: AsyncGenerator[P]
    schedule: Schedule[P]
    carry_out: Callable[[Flow[CompletionResponse]], Awaitable[CompletionResponse]]
    carry_out_wait: Callable[[Flow[None]], Awaitable[None]]

    async def take(self) -> _Report:
        try:
            return partial(self.schedule.took, await anext(self.source))
        except StopAsyncIteration:
            return self.schedule.exhausted

    async def ask(self, index: int, flow: Flow[CompletionResponse]) -> _Report:
        try:
            response = await self.carry_out(flow)
        except OnplanError as error:
            return partial(self.schedule.failed, index, error)
        return partial(self.schedule.answered, index, response)

    async def wait_for_reset(self, flow: Flow[None]) -> _Report:
        try:
            await self.carry_out_wait(flow)
        except OnplanError as error:
            return partial(self.schedule.not_reset, error)
        return self.schedule.reset


class _Tasks:
    """The tasks that are running, and what those that have ended report."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._reports: asyncio.Queue[_Report] = asyncio.Queue()

    def begin(self, work: Callable[[], Awaitable[_Report]]) -> None:
        """Have a task do ``work``."""
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> _Report:
        """What the next work to end reports; to be called, which raises what broke it."""
        return await self._reports.get()

    async def close(self) -> None:
        """Cancel all work, and wait until it has ended."""
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, work: Callable[[], Awaitable[_Report]]) -> None:
        try:
            report = await work()
        except Exception as error:  # noqa: BLE001 - raised where the results are wanted
            report = partial(_raise, error)
        self._reports.put_nowait(report)


def _raise(error: Exception) -> None:
    raise error
