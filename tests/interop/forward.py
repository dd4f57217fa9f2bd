"""Hands connections on: ``forward.py FROM TO PORT...`` listens on FROM and connects to TO, port by port."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def hand_on(host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        there, back = await asyncio.open_connection(host, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, back), copy(there, writer))


async def main(listen: str, connect: str, *ports: str) -> None:
    for port in map(int, ports):
        await asyncio.start_server(partial(hand_on, connect, port), listen, port)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
