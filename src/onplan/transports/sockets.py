"""Connects a socket to a server under an event loop, directly or through a proxy, and a protocol over it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from onplan.forking import no_fork
from onplan.transports.connection_errors import unreachable
from onplan.transports.happy_eyeballs import connect_async
from onplan.transports.route import Proxy, Route

READ_SIZE = 256 * 1024  # bytes that are read at once, into a buffer that the connections of a loop share
CLOSE_SECONDS = 1.0  # that closing a connection may take; after that it is aborted


async def open_socket(route: Route, url: str) -> socket.socket:
    """A non-blocking socket connected to the host of ``url``, directly or through a proxy, without TLS.

    The caller limits the time.

    Raises:
        ConnectError: there is no connection; a ProxyError or CertificateError where the proxy is the cause.
        ConfigurationError: the environment names a proxy or certificates that cannot be used.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    proxy = route.proxy_for(url)
    try:
        if proxy is None:
            return await connect_async(host, port)
        certificates = route.certificates() if proxy.scheme == "https" else None
        return await tunnelled(proxy, certificates, host, port)
    except OSError as error:
        raise unreachable(f"{parts.scheme}://{parts.netloc}", error) from None


async def start_protocol(
    route: Route, url: str, opened: socket.socket, protocol: asyncio.BaseProtocol, seconds: float
) -> None:
    """Connect ``protocol`` over ``opened``, with TLS for https. Without success the socket is closed.

    Args:
        route: of the trusted certificates.
        url: of the server.
        opened: what ``open_socket`` gave.
        protocol: what to connect.
        seconds: for the TLS handshake.

    Raises:
        OSError: TLS failed.
        ConfigurationError: the environment names certificates that cannot be used.
    """
    parts, options = urlsplit(url), dict[str, Any]()
    try:
        if parts.scheme == "https":
            with no_fork():  # OpenSSL holds locks meanwhile
                certificates = route.certificates()
            options = {
                "ssl": certificates,
                "server_hostname": (parts.hostname or "").rstrip("."),
                "ssl_handshake_timeout": seconds,
                "ssl_shutdown_timeout": CLOSE_SECONDS,
            }
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: protocol, sock=opened, **options)
    except BaseException:
        opened.close()
        raise


async def tunnelled(proxy: Proxy, certificates: ssl.SSLContext | None, host: str, port: int) -> socket.socket:
    """``open_tunnel`` of tunnel.py, which is imported where there is a proxy only, for it loads httpcore2."""
    with no_fork():  # the import system holds locks meanwhile
        from onplan.transports.tunnel import open_tunnel

    return await open_tunnel(proxy, certificates, host, port)
