"""A connection's transport that writes the beginning of a reply at once: its head, and what follows directly.

uvicorn writes a head, each piece of a body and its end one by one. A short answer would be three system
calls, and as many packets.
"""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "
_MOST = 64 * 1024  # bytes that are kept: the transport is to know when the client reads too slowly


class GatheredWrites:
    """What follows a head within the same turn of the event loop goes out together with it.

    Args:
        transport: what is written to; it does all else, too.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.unwrapped, self._loop = transport, loop
        self._gathered: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unwrapped, name)

    def write(self, data: bytes) -> None:
        """Write ``data``, or keep it until the loop has its turn."""
        if self._gathered:
            self._gathered.append(data)
            self._size += len(data)
            if self._size > _MOST:
                self._write_gathered()
        elif data.startswith(_HEAD):
            self._gathered.append(data)
            self._size = len(data)
            self._loop.call_soon(self._write_gathered)
        else:
            self.unwrapped.write(data)

    def close(self) -> None:
        """Write what is left, and close."""
        self._write_gathered()
        self.unwrapped.close()

    def _write_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered and not self.unwrapped.is_closing():
            self.unwrapped.write(b"".join(gathered))
