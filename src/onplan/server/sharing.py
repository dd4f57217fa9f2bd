"""Workers share the connections that come: one that has more than another leaves it the first try.

The system wakes all of them and gives a connection to the quickest, which may be the same one each time: a
few clients that keep their connections would then all be served by one worker, and the others would have
nothing to do.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import socket
from collections.abc import Callable

logger = logging.getLogger("onplan.server")

# Seconds that the others get for a connection. It is accepted then in any case: they may be busy, or stopped.
_FIRST_TRY = 0.001
# Seconds after which it is tried again where no descriptor, or no memory, was left for a connection.
_UNTIL_THERE_IS_ROOM = 1.0
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_WORKER = 2**62  # in place of a number of connections
_BYTES = 8


class Shares:
    """How many connections each worker has, in memory that the processes share.

    Args:
        workers: how many there may be.
    """

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, workers * _BYTES)).cast("q")
        for place in range(workers):
            self._counts[place] = _NO_WORKER

    def begin(self) -> Share:
        """That of another worker."""
        place = list(self._counts).index(_NO_WORKER)
        self._counts[place] = 0
        return Share(self._counts, place)


class Share:
    """What one worker has of the connections."""

    def __init__(self, counts: memoryview[int], place: int) -> None:
        self._counts, self._place = counts, place

    def note(self, connections: int) -> bool:
        """Note how many this worker has. Return whether no other has fewer."""
        self._counts[self._place] = connections
        return connections <= min(self._counts)

    def end(self) -> None:
        """The worker takes no more."""
        self._counts[self._place] = _NO_WORKER


class SharedListener:
    """Accepts connections for one worker.

    Args:
        listener: the socket, listening.
        make: makes what handles a connection.
        connections: how many there are.
        share: of this worker.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
        share: Share,
    ) -> None:
        self._listener, self._make, self._connections = listener, make, connections
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        listener.settimeout(0)
        self._loop.add_reader(listener, self._ready)

    def close(self) -> None:
        """Accept no more. The socket itself is closed, too; connections that wait are for the others."""
        self._share.end()
        self._stop_looking()
        if self._waiting:
            self._waiting.cancel()
        self._listener.close()

    def _ready(self) -> None:
        """A connection is there, unless another worker has been quicker."""
        count = self._connections() + len(self._beginning)
        if self._share.note(count):
            self._accept()
        else:
            self._wait(_FIRST_TRY)

    def _wait(self, seconds: float) -> None:
        self._stop_looking()
        self._waiting = self._loop.call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        self._waiting = None
        self._loop.add_reader(self._listener, self._ready)
        self._accept()

    def _stop_looking(self) -> None:
        self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        """Accept one. The event loop calls again for the next one, after what else there is to do."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            logger.error("no connection can be accepted: %s", error.strerror)  # noqa: TRY400 - it says all
            self._wait(_UNTIL_THERE_IS_ROOM)
            return
        connection.settimeout(0)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:  # the client is gone
            connection.close()
