"""A WebSocket's connection: uvicorn's, which says 1001 when the server ends, and ends if it is not read."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from copy import copy
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request

GOING_AWAY = 1001
# The extension of the scope that says why a request does not open a WebSocket; the application refuses it.
REFUSED = "onplan.refused"
_LONGEST_LINE = 8_000  # bytes; the library reads little more
_BODIES = frozenset((b"content-length", b"transfer-encoding"))


def may_open(method: bytes, version: str, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the library can read a request that wants a WebSocket: a GET of HTTP/1.1 without a body."""
    return (
        method == b"GET"
        and version == "1.1"
        and len(url) <= _LONGEST_LINE
        and all(name not in _BODIES and len(name) + len(value) <= _LONGEST_LINE for name, value in headers)
    )


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A connection.

    Attributes:
        write_seconds: how long a client may read nothing while something waits to be sent to it.
    """

    write_seconds = 120.0
    _writing: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        """Have the application answer, also where the library would refuse: it looks at the key first."""
        try:
            self.conn.process_request(event)
        except InvalidHandshake as error:
            super().handle_connect(_mended(event))
            extensions: MutableMapping[str, Any] = self.scope["extensions"]
            extensions[REFUSED] = str(error)
        else:
            super().handle_connect(event)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        super().pause_writing()
        # Closing would wait until all that is written has been read, which may be never.
        self._writing = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._stop_writing_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_writing_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Say that the server ends, and end the connection."""
        if self.handshake_complete and not self.close_sent:
            self.stop_keepalive()
            self.conn.send_close(GOING_AWAY)
            self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))
        super().shutdown()

    def _stop_writing_timer(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def _mended(event: Request) -> Request:
    """The same with a handshake that is right (RFC 6455 §1.3 has the key), and what it says besides."""
    mended, headers = copy(event), Headers()
    for name, value in event.headers.raw_items():
        if not name.lower().startswith(("sec-websocket-", "connection", "upgrade")):
            headers[name] = value
    headers.update(
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
    )
    mended.headers = headers
    return mended
