"""Many clients of one server, in a process that costs far less than the server: ``python -m bench.load``.

For each line of JSON on stdin it does what ``do`` names, to the ``target`` there, and prints what came of it:

* ``turns``: ``clients`` clients ask again and again for ``seconds``, or until there were ``count`` streams;
* ``open``: ``clients`` streams are begun, ``apart`` seconds from one to the next, and stay open;
* ``listen``: for ``seconds``, counts the deltas that come in all of them;
* ``close``: waits until all of them have ended, at most ``seconds``.

Nothing is parsed but the head of a response. Deltas are counted by the mark in the text of each.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import uvloop

from bench.playback import MARK
from bench.processes import allow_many_files

_STATUS = re.compile(rb"HTTP/1\.[01] (\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]+)[^\r]*\r\n")
_MARK = MARK.encode()
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Target:
    """What is asked, and how a whole answer is known.

    Attributes:
        request: the bytes of the request.
        terminal: what the last event of a whole answer contains.
        marks: how often ``playback.MARK`` stands in a whole answer; 0 where its length is open.
    """

    port: int
    request: bytes
    terminal: bytes
    marks: int = 0

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Target:
        request, terminal = fields["request"].encode(), fields["terminal"].encode()
        return cls(fields["port"], request, terminal, fields["marks"])


def without_chunks(body: bytes) -> bytes:
    """The content of a chunked body."""
    pieces, position = [], 0
    while head := _CHUNK_HEAD.match(body, position):
        position = head.end() + int(head[1], 16)
        pieces.append(body[head.end() : position])
        position += 2
    return b"".join(pieces)


class Connection(asyncio.Protocol):
    """A client: one stream after the other.

    Attributes:
        ended: called with what is wrong with a stream that ended, or with None.
        deltas: how many came, all streams together.
        first: seconds, by perf_counter, when the first delta of the present stream came; else 0.
        reusable: whether the next request can go out here.
    """

    def __init__(self, target: Target, ended: Callable[[str | None], None]) -> None:
        self._target, self.ended = target, ended
        self.deltas, self.asked, self.first = 0, 0.0, 0.0  # uvloop's own clock counts milliseconds
        self.reusable = self._streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.ask()

    def ask(self) -> None:
        """Begin a stream."""
        self._pieces: list[bytes] = []
        self._tail, self._head_end, self._left = b"", 0, -1
        self._streaming, self.first, self.asked = True, 0.0, time.perf_counter()
        self.transport.write(self._target.request)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        if found := data.count(_MARK):
            self.deltas += found
            self.first = self.first or time.perf_counter()
        if not self._head_end:
            data = b"".join(self._pieces)
            if not self._read_head(data):
                return
            data = data[self._head_end :]
        if self._left >= 0:
            self._left -= len(data)
            if self._left <= 0:
                self._end()
        elif self._chunked:
            self._tail = (self._tail + data[-5:])[-5:]
            if self._tail == _LAST_CHUNK:
                self._end()

    def _read_head(self, data: bytes) -> bool:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = data[:end]
        length, self._chunked = _LENGTH.search(head), bool(_CHUNKED.search(head))
        self._head_end, self._left = end + 4, int(length[1]) if length else -1
        self.reusable = bool(length or self._chunked) and not _CLOSE.search(head)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._streaming:
            self._end()

    def _end(self) -> None:
        self._streaming = False
        self.ended(self._fault())

    def _fault(self) -> str | None:
        """What is wrong with the stream that has just ended."""
        data = b"".join(self._pieces)
        status = _STATUS.match(data)
        if not status:
            return "closed without an answer"
        if status[1] != b"200":
            return f"{status[1].decode()}: {data[self._head_end :][:200].decode(errors='replace')}"
        if self._target.terminal not in data[-8192:]:
            return "no end"
        if (wanted := self._target.marks) and data.count(_MARK) != wanted:
            found = without_chunks(data[self._head_end :]).count(_MARK)  # one was cut by a chunk's frame
            if found != wanted:
                return f"{found} marks, not {wanted}"
        return None


class Turns:
    """Clients that ask again and again, until a time has come or there were so many streams.

    Attributes:
        firsts: seconds to the first delta, of each stream that was whole.
        errors: what was wrong with the others; after the first nothing more is asked.
    """

    def __init__(self, target: Target, seconds: float, count: int) -> None:
        self._target, self._count = target, count
        self._until = time.perf_counter() + seconds
        self.firsts: list[float] = []
        self.errors: list[str] = []

    def _over(self) -> bool:
        enough = 0 < self._count <= len(self.firsts)
        return enough or bool(self.errors) or time.perf_counter() >= self._until

    async def client(self) -> None:
        """One of them, on a new connection where the server closed the last one."""
        while not self._over():
            await self._connection()

    async def _connection(self) -> None:
        loop = asyncio.get_running_loop()
        closed = loop.create_future()

        def ended(fault: str | None) -> None:
            if fault:
                self.errors.append(fault)
            else:
                self.firsts.append(connection.first - connection.asked)
            if connection.reusable and not self._over():
                connection.ask()
            elif not closed.done():
                closed.set_result(None)

        connection = Connection(self._target, ended)
        await loop.create_connection(lambda: connection, "127.0.0.1", self._target.port)
        await closed
        connection.transport.close()


async def take_turns(target: Target, clients: int, seconds: float, count: int) -> dict[str, Any]:
    """What so many clients found."""
    began = time.perf_counter()
    turns = Turns(target, seconds, count)
    outcomes = await asyncio.gather(*(guarded(turns.client(), seconds + 10) for _ in range(clients)))
    errors = [*turns.errors, *filter(None, outcomes)]
    return {"firsts": turns.firsts, "errors": errors, "seconds": time.perf_counter() - began}


async def guarded(work: Coroutine[Any, Any, None], seconds: float) -> str | None:
    """Why it did not come to its end."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return f"not answered within {seconds:.0f} s"
    except OSError as error:
        return error.strerror or repr(error)
    return None


class Crowd:
    """Streams that stay open."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.faults: list[str | None] = []

    async def open(self, target: Target, clients: int, apart: float, seconds: float) -> dict[str, Any]:
        """Begin them, and wait until each has its first delta, at most so many seconds."""
        loop = asyncio.get_running_loop()
        errors: list[str] = []
        began = loop.time()

        async def begin(number: int) -> None:
            await asyncio.sleep(number * apart)
            connection = Connection(target, self.faults.append)
            await loop.create_connection(lambda: connection, "127.0.0.1", target.port)
            self.connections.append(connection)

        outcomes = await asyncio.gather(*(guarded(begin(number), seconds) for number in range(clients)))
        errors += [outcome for outcome in outcomes if outcome]
        while self.live() + len(errors) + len(self.faults) < clients and loop.time() < began + seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # looked at from outside: nothing is added to what a delta costs
        return {
            "live": self.live(),
            "seconds": loop.time() - began,
            "errors": [*errors, *filter(None, self.faults)],
        }

    def live(self) -> int:
        """How many have had a delta."""
        return sum(1 for connection in self.connections if connection.first)

    def deltas(self) -> int:
        """How many came in all of them."""
        return sum(connection.deltas for connection in self.connections)

    async def listen(self, seconds: float) -> dict[str, Any]:
        """Count what comes."""
        loop = asyncio.get_running_loop()
        began, before = loop.time(), self.deltas()
        await asyncio.sleep(seconds)
        return {"deltas": self.deltas() - before, "seconds": loop.time() - began}

    async def close(self, seconds: float) -> dict[str, Any]:
        """Wait until all have ended; leave the others."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while len(self.faults) < len(self.connections) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # looked at from outside: nothing is added to what a delta costs
        errors = [fault for fault in self.faults if fault]
        errors += ["it did not end"] * (len(self.connections) - len(self.faults))
        for connection in self.connections:
            connection.ended = lambda fault: None
            connection.transport.abort()
        self.connections, self.faults = [], []
        return {"errors": errors}


async def main() -> None:
    """Do what each line says."""
    allow_many_files()
    loop, crowd = asyncio.get_running_loop(), Crowd()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        do, seconds = command["do"], command["seconds"]
        target = Target.from_fields(command["target"]) if "target" in command else None
        if do == "turns":
            assert target
            found = await take_turns(target, command["clients"], seconds, command["count"])
        elif do == "open":
            assert target
            found = await crowd.open(target, command["clients"], command["apart"], seconds)
        elif do == "listen":
            found = await crowd.listen(seconds)
        else:
            found = await crowd.close(seconds)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
