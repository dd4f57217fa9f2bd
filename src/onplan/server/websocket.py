"""A WebSocket's connection: uvicorn's, which says 1001 when the server ends."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GOING_AWAY = 1001


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A connection."""

    def shutdown(self) -> None:
        """Say that the server ends, and end the connection."""
        if self.handshake_complete and not self.close_sent:
            self.stop_keepalive()
            self.conn.send_close(GOING_AWAY)
            self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))
        super().shutdown()
