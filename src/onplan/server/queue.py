"""Decides which requests are answered now, and which wait: a fair queue of the callers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class FullError(Exception):
    """Too many requests are waiting already."""


class FairQueue:
    """Lets a number of requests be answered at once; the callers that wait are served in turn.

    A caller with a thousand requests delays one with a single request by one request and no more.

    Args:
        most: how many are answered at once.
        waiting: how many more may wait.
    """

    def __init__(self, most: int, waiting: int) -> None:
        self._free, self._most_waiting = most, waiting
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._most = most
        self.waiting = 0

    @property
    def running(self) -> int:
        """How many turns are taken."""
        return self._most - self._free

    def enter_at_once(self) -> bool:
        """Take a turn if there is one; it is given back by ``leave``."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def enter(self, caller: str) -> None:
        """Wait for the caller's turn, which is given back by ``leave``. Raises FullError."""
        if not self.enter_at_once():
            await self._wait(caller)

    async def _wait(self, caller: str) -> None:
        if self.waiting >= self._most_waiting:
            raise FullError
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(mine)
        self.waiting += 1
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.leave()  # it got its turn and its cancellation at once
            else:
                self._forget(caller, mine)
            raise

    def _forget(self, caller: str, mine: asyncio.Future[None]) -> None:
        queue = self._waiting.get(caller)
        if queue is None or mine not in queue:
            return  # a turn came after it was cancelled, and went on to the next one
        self.waiting -= 1
        queue.remove(mine)
        if not queue:
            del self._waiting[caller]

    def leave(self) -> None:
        """Give the turn to the caller that has waited longest for one."""
        while self._waiting:
            caller, queue = self._waiting.popitem(last=False)
            first = queue.popleft()
            self.waiting -= 1
            if queue:
                self._waiting[caller] = queue  # at the end
            if not first.done():  # cancelled, and its task has not run since
                first.set_result(None)
                return
        self._free += 1
