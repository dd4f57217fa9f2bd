"""A server of tools, as people write one with the mcp package: ``mcp_server.py FOLDER [http]``.

Over HTTP it prints its port. What happens to the slow tool is noted by files in FOLDER.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

FOLDER = Path(sys.argv[1])
PIXEL = Path(__file__).parent.parent / "pixel.png"

server = MCPServer("birds", log_level="CRITICAL")


@server.tool()
def count(species: str, wings: int = 2) -> str:
    """How many there are."""
    return f"seven {species} with {wings} wings"


@server.tool()
def fail(species: str) -> str:
    """It never works."""
    raise ToolError(f"{species} are not counted")


@server.tool()
def picture() -> list[str | Image]:
    """A picture of one."""
    return ["a wren", Image(data=PIXEL.read_bytes(), format="png")]


@server.tool()
async def slow() -> str:
    """It takes too long."""
    (FOLDER / "begun").touch()
    try:
        await anyio.sleep_forever()
    finally:
        (FOLDER / "ended").touch()


@server.tool()
def die() -> str:
    """The end of the server."""
    os._exit(3)


if sys.argv[2:] == ["http"]:
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # before its port is told
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(server.streamable_http_app(), log_level="error")
        uvicorn.Server(config).run(sockets=[listening])
else:
    server.run()
