"""Runs one process of the server: its connections, its clock, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from onplan.server.app import App
from onplan.server.connection import Bounds, Connection
from onplan.server.options import ServerOptions
from onplan.server.sharing import Share, SharedListener
from onplan.server.websocket import WebSocketConnection

logger = logging.getLogger("onplan.server")

# Seconds that what was written gets to reach its clients, and that cancelled requests get to end.
_LAST_BYTES, _LAST_STEPS = 1.0, 5.0
_BACKLOG = 2048  # connections that wait to be accepted
# Seconds that a connection may be idle. Clients that keep theirs for a minute must not find it closed.
_IDLE = 75


class Stop:
    """Asks a running server to end."""

    def __init__(self) -> None:
        self._asked, self._at_once = asyncio.Event(), asyncio.Event()

    def ask(self) -> None:
        """End when what is running has ended, or its time is up; asked again, at once."""
        (self._at_once if self._asked.is_set() else self._asked).set()

    async def asked(self) -> None:
        """Wait until it has been asked."""
        await self._asked.wait()

    async def at_once(self) -> None:
        """Wait until it has been asked twice."""
        await self._at_once.wait()


async def run(
    app: App,
    listeners: list[socket.socket],
    options: ServerOptions,
    stop: Stop,
    *,
    on_ready: Callable[[], object],
    bounds: Bounds | None = None,
    share: Share | None = None,
) -> None:
    """Serve until ``stop`` is asked, and what is running then has ended. ``share``: of a worker."""
    loop = asyncio.get_running_loop()
    config = _config(app, options)
    state = ServerState()
    # Each may take another one to the backend; where none are left, connections are closed without a word.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    bounds = bounds or Bounds(connections=min(options.max_connections, most))

    def make() -> Connection:
        return Connection(config, state, bounds, loop)

    servers = [
        SharedListener(each, make, state.connections.__len__, share)
        if share
        else await loop.create_server(make, sock=each, backlog=_BACKLOG)
        for each in listeners
    ]
    ticking = asyncio.create_task(_tick(state, app))
    try:
        on_ready()
        await stop.asked()
        app.drain()
        if state.tasks:
            logger.info("waiting for what is being answered (%d); Ctrl-C ends it at once", len(state.tasks))
        await _drained(state, options.drain_seconds, stop)
    finally:
        ticking.cancel()
        for server in servers:
            server.close()
        await _end(state)
        app.tick()


def _config(app: App, options: ServerOptions) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=Connection,
        ws=WebSocketConnection,
        ws_max_size=options.max_body,
        ws_ping_interval=20.0,
        ws_ping_timeout=60.0,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
    )
    config.load()
    return config


async def _tick(state: ServerState, app: App) -> None:
    """Keep the time in the header Date, and the gauges."""
    while True:
        state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        try:
            app.tick()
        except Exception:  # what cannot be counted now must not end the counting
            logger.exception("what was used could not be counted")
        await asyncio.sleep(1)


async def _drained(state: ServerState, seconds: float, stop: Stop) -> None:
    """Wait until nothing is running, ``seconds`` are over, or the end is asked for again."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    hurrying = asyncio.create_task(stop.at_once())
    try:
        while state.tasks and not hurrying.done() and loop.time() < deadline:
            waiting = {*state.tasks, hurrying}
            await asyncio.wait(waiting, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurrying.cancel()


async def _end(state: ServerState) -> None:
    """End what is still running, and close the connections when what was written has reached the clients."""
    connections: list[Any] = sorted(state.connections, key=lambda each: isinstance(each, Connection))
    running = tuple(state.tasks)
    for connection in connections:  # WebSockets first: they say 1001 before what runs on them is cancelled
        connection.shutdown()
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_LAST_STEPS)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LAST_BYTES
    while state.connections and loop.time() < deadline:  # noqa: ASYNC110 - uvicorn does not tell
        await asyncio.sleep(0.01)
    for connection in tuple(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)
