"""Conversations of both clients, driven by one suite of tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import onplan


class Side:
    """One client over one transport. ``do`` awaits what the asynchronous one returns."""

    def __init__(self, name: str) -> None:
        self.is_async = name != "sync"
        self._runner = asyncio.Runner()
        self._transport: Any = "websocket" if name == "async-websocket" else "sse"
        self._clients: list[Any] = []

    def client(self, **options: Any) -> Any:
        """A client, which is closed after the test."""
        options = {"model": "gpt-5.5", "retry": 1, "transport": self._transport, **options}
        kind: Any = onplan.AsyncClient if self.is_async else onplan.Client
        self._clients.append(kind(**options))
        return self._clients[-1]

    def do(self, outcome: Any) -> Any:
        """What a call has returned, or an awaitable of it does."""

        async def wait() -> Any:
            return await outcome

        return self._runner.run(wait()) if inspect.isawaitable(outcome) else outcome

    def read(self, stream: Any, until: str = "done") -> list[Any]:
        """The chunks of a stream up to the first of this type; it is left then."""

        async def read() -> list[onplan.StreamChunk]:
            chunks: list[onplan.StreamChunk] = []
            async with stream:
                async for chunk in stream:
                    chunks.append(chunk)
                    if chunk.type == until:
                        break
            return chunks

        if self.is_async:
            return self._runner.run(read())
        chunks: list[onplan.StreamChunk] = []
        with stream:
            for chunk in stream:
                chunks.append(chunk)
                if chunk.type == until:
                    break
        return chunks

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            self.do(client.close())
        self._runner.close()


@pytest.fixture(params=["sync", "async", "async-websocket"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """Both clients, the asynchronous one over each transport."""
    running = Side(request.param)
    yield running
    running.close()
