"""TLS in front of an emulator: ``python -m bench.tls PORT FOLDER``.

Prints the port that it listens on and the file of the authority that signed its certificate, which is made
anew each time. In a process of its own, so that its CPU is nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from pathlib import Path

import trustme
import uvloop


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each piece as it came: one event stays one record."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main() -> None:
    """Listen until terminated."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, upstream_writer), copy(upstream_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context, backlog=1024)
    print(
        json.dumps({"port": server.sockets[0].getsockname()[1], "authority": str(folder / "authority.pem")}),
        flush=True,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
