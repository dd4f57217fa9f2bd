"""Sends the few requests of a sign-in or sign-out, each on a connection of its own."""

from __future__ import annotations

from onplan.flow import Request, Response
from onplan.transports.httpx2_sync import HTTPTransport


def send(request: Request) -> Response:
    """The whole response to ``request``. Raises TransportError."""
    transport = HTTPTransport()
    try:
        return transport.fetch(request)
    finally:
        transport.close()
