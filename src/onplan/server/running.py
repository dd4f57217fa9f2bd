"""Runs the server: its sockets, the protocols of uvicorn, signals, and the end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from onplan.server.app import App


async def run(
    app: App, listeners: list[socket.socket], on_ready: Callable[[], object], stopping: asyncio.Event
) -> None:
    """Serve until ``stopping`` is set."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        app,
        http=HttpToolsProtocol,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )
    config.load()
    state = ServerState()

    def protocol() -> HttpToolsProtocol:
        return HttpToolsProtocol(config, state, {}, loop)

    servers = [await loop.create_server(protocol, sock=each, backlog=2048) for each in listeners]
    on_ready()
    ticking = asyncio.create_task(_tick(state))
    await stopping.wait()
    ticking.cancel()
    for server in servers:
        server.close()
    connections: list[Any] = list(state.connections)
    for connection in connections:
        connection.transport.abort()
    if state.tasks:
        await asyncio.wait(set(state.tasks), timeout=5)


async def _tick(state: ServerState) -> None:
    """Keep the time in the header Date."""
    while True:
        state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        await asyncio.sleep(1)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; to be called on the main thread."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping
