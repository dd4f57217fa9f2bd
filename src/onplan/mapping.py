"""Carries out the schedule of many requests with threads; mapping_async.py does it with tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar, assert_never

from onplan.batches.schedule import End, HandOut, MapResult, Reset, Schedule, Start, Take, Wait
from onplan.errors import OnplanError
from onplan.forking import wait_until_gone
from onplan.interruption import Interrupted, Interruption
from onplan.turn.steps import Flow
from onplan.types import CompletionResponse

P = TypeVar("P")
Requests: TypeAlias = Iterable[P]
_Report = Callable[[], None]


def map_requests(
    requests: Requests[P],
    schedule: Schedule[P],
    ask: Callable[[Flow[CompletionResponse]], CompletionResponse],
    wait: Callable[[Flow[None]], None],
) -> Generator[MapResult[P]]:
    """Hand out the results of ``schedule``. Threads are started as they are needed, and end with it.

    Args:
        requests: taken by the thread that wants the results.
        schedule: decides.
        ask: carries out a flow that ends with an answer.
        wait: carries out one that waits, for as long as it takes.
    """
    source, threads = iter(requests), _Threads()
    work = _Work(schedule, ask, wait)
    try:
        while not isinstance(action := schedule.next(), End):
            match action:
                case HandOut(result):
                    yield result
                case Take():
                    _take(source, schedule)
                case Start(index, flow):
                    threads.begin(partial(work.ask, index, flow))
                case Reset(flow):
                    threads.begin(partial(work.wait_for_reset, flow))
                case Wait():
                    threads.wait()()
                case _:
                    assert_never(action)
    finally:
        threads.close()


def _take(source: Iterator[P], schedule: Schedule[P]) -> None:
    try:
        request = next(source)
    except StopIteration:
        schedule.exhausted()
    else:
        schedule.took(request)


@dataclass(frozen=True)
class _Work(Generic[P]):
    """What threads do. Each method returns a report, to be called by the thread that wants the results."""

    schedule: Schedule[P]
    carry_out: Callable[[Flow[CompletionResponse]], CompletionResponse]
    carry_out_wait: Callable[[Flow[None]], None]

    def ask(self, index: int, flow: Flow[CompletionResponse]) -> _Report:
        try:
            response = self.carry_out(flow)
        except OnplanError as error:
            return partial(self.schedule.failed, index, error)
        return partial(self.schedule.answered, index, response)

    def wait_for_reset(self, flow: Flow[None]) -> _Report:
        try:
            self.carry_out_wait(flow)
        except OnplanError as error:
            return partial(self.schedule.not_reset, error)
        return self.schedule.reset


class _Threads:
    """Threads that do work, as many as there is work at once."""

    def __init__(self) -> None:
        self.interruption = Interruption()
        self._work: SimpleQueue[Callable[[], _Report] | None] = SimpleQueue()
        self._reports: SimpleQueue[_Report] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def begin(self, work: Callable[[], _Report]) -> None:
        """Have a thread do ``work``."""
        self._busy += 1
        if self._busy > len(self._threads):
            thread = threading.Thread(target=self._run, name="onplan map", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put(work)

    def wait(self) -> _Report:
        """What the next work to end reports; to be called, which raises what broke it."""
        report = self._reports.get()
        self._busy -= 1
        return report

    def close(self) -> None:
        """Stop all work, and wait until the threads have ended."""
        self.interruption.stop()
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            wait_until_gone(thread)

    def _run(self) -> None:
        with self.interruption.applies():
            while (work := self._work.get()) is not None:
                try:
                    report = work()
                except Interrupted:
                    continue
                except BaseException as error:  # noqa: BLE001 - raised where the results are wanted
                    report = partial(_raise, error)
                self._reports.put(report)


def _raise(error: BaseException) -> None:
    raise error
