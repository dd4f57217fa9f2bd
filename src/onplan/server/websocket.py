"""A WebSocket's connection: uvicorn's, which says 1001 when the server ends, and ends if it is not read."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GOING_AWAY = 1001


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A connection.

    Attributes:
        write_seconds: how long a client may read nothing while something waits to be sent to it.
    """

    write_seconds = 120.0
    _writing: asyncio.TimerHandle | None = None

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
