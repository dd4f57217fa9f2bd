"""How workers share the connections that come."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from onplan.server.sharing import SharedListener, Shares


class Worker:
    """Keeps the connections that it gets."""

    def __init__(self, listener: socket.socket, shares: Shares, accepted: asyncio.Queue[None]) -> None:
        self._accepted = accepted
        self.connections: set[asyncio.BaseTransport] = set()
        self.share = shares.begin()
        self.listening = SharedListener(listener, self._make, lambda: len(self.connections), self.share)

    def _make(self) -> asyncio.Protocol:
        connections, accepted = self.connections, self._accepted

        class Kept(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connections.add(transport)
                accepted.put_nowait(None)

        return Kept()

    def end(self) -> None:
        self.listening.close()
        for connection in self.connections:
            connection.close()  # type: ignore[attr-defined]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as made:
        yield made


@pytest.fixture
def accepted() -> asyncio.Queue[None]:
    return asyncio.Queue()


async def connected(
    listener: socket.socket, count: int, accepted: asyncio.Queue[None]
) -> list[socket.socket]:
    """So many clients, one after another."""
    clients = []
    for _ in range(count):
        clients.append(socket.create_connection(listener.getsockname()))
        await accepted.get()
    return clients


async def test_each_worker_gets_as_many(listener: socket.socket, accepted: asyncio.Queue[None]) -> None:
    """Also if one of them is always asked first."""
    shares = Shares(3)
    workers = [Worker(listener.dup(), shares, accepted) for _ in range(3)]
    clients = await connected(listener, 12, accepted)

    assert [len(worker.connections) for worker in workers] == [4, 4, 4]
    for each in [*workers, *clients]:
        each.end() if isinstance(each, Worker) else each.close()


async def test_a_worker_that_does_nothing_keeps_nobody_waiting(
    listener: socket.socket, accepted: asyncio.Queue[None]
) -> None:
    """One that is stopped has fewest connections, and takes none."""
    shares = Shares(2)
    shares.begin()
    worker = Worker(listener.dup(), shares, accepted)
    clients = await connected(listener, 3, accepted)

    assert len(worker.connections) == 3
    worker.end()
    for client in clients:
        client.close()


async def test_one_that_has_ended_counts_no_more(
    listener: socket.socket, accepted: asyncio.Queue[None]
) -> None:
    """Its place is free for another one, which begins with none."""
    shares = Shares(2)
    first, second = (Worker(listener.dup(), shares, accepted) for _ in range(2))
    clients = await connected(listener, 2, accepted)
    first.end()
    assert second.share.note(1_000)
    third = Worker(listener.dup(), shares, accepted)
    assert not second.share.note(1)

    for each in (second, third):
        each.end()
    for client in clients:
        client.close()


class Full(socket.socket):
    """A listener of a process that has no descriptor left, once."""

    full = True

    def accept(self) -> Any:
        if self.full:
            self.full = False
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_no_descriptor_is_left(
    listener: socket.socket,
    accepted: asyncio.Queue[None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That is logged, and it is tried again after a while: the connection waits."""
    monkeypatch.setattr("onplan.server.sharing._UNTIL_THERE_IS_ROOM", 0.01)
    shares = Shares(1)
    worker = Worker(Full(fileno=listener.dup().detach()), shares, accepted)
    with caplog.at_level(logging.ERROR):
        clients = await connected(listener, 1, accepted)

    assert "Too many open files" in caplog.text
    worker.end()
    clients[0].close()
