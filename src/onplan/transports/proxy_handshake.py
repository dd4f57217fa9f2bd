"""Asks a proxy to connect to a server: by CONNECT through httpcore2, or by ``socks_handshake.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import httpcore2

from onplan.backends import USER_AGENT
from onplan.forking import no_fork
from onplan.transports.connection_errors import no_answer, refusal, refused_connect
from onplan.transports.deadline import FOREVER, Deadline, Limit
from onplan.transports.httpcore2_streams import BROKEN, Countdown, Stream
from onplan.transports.route import Proxy, netloc
from onplan.transports.tracebacks import forget_frames

_LONGEST_PAGE = 64 * 1024
_PATIENCE = 2.0  # seconds for the page of a refusal, of which the status alone is enough


def shake_hands(stream: Stream, proxy: Proxy, host: str, port: int, left: Countdown) -> None:
    """Have ``proxy`` connect ``stream`` to ``host``. Raises ProxyError, CertificateError."""
    if proxy.scheme == "socks5":
        with no_fork():  # the import system holds locks meanwhile
            from onplan.transports import socks_handshake

        socks_handshake.shake_hands(stream, proxy, host, port, left)
    else:
        _connect(stream, proxy, host, port, left)


async def shake_hands_async(stream: httpcore2.AsyncNetworkStream, proxy: Proxy, host: str, port: int) -> None:
    """``shake_hands`` under an event loop. The caller limits the time."""
    if proxy.scheme == "socks5":
        with no_fork():
            from onplan.transports import socks_handshake

        await socks_handshake.shake_hands_async(stream, proxy, host, port)
    else:
        await _connect_async(stream, proxy, host, port)


@contextmanager
def _explained(proxy: Proxy, host: str) -> Iterator[None]:
    """Turn httpcore2's errors into ProxyError, CertificateError, without the frames that hold a password."""
    try:
        yield
    except httpcore2.ProtocolError as error:
        closed = "disconnected" in str(error)
        forget_frames(error)
        raise refusal(
            proxy, host, "it closed the connection" if closed else "it does not speak HTTP"
        ) from None
    except (ValueError, OSError, *BROKEN) as error:
        forget_frames(error)
        raise no_answer(proxy, error) from None


def _connect_request(
    proxy: Proxy, host: str, port: int, limits: Mapping[str, float | None]
) -> httpcore2.Request:
    target = netloc(host, port)
    headers = [("Host", target), ("User-Agent", USER_AGENT)]
    if proxy.authorization:
        headers.append(("Proxy-Authorization", proxy.authorization))
    url = httpcore2.URL(scheme=b"http", host=proxy.host.encode(), port=proxy.port, target=target.encode())
    return httpcore2.Request("CONNECT", url, headers=headers, extensions={"timeout": limits})


def _connect(stream: Stream, proxy: Proxy, host: str, port: int, left: Countdown) -> None:
    deadline = Deadline(left())
    limit = Limit.of(FOREVER, deadline)
    speaking = httpcore2.HTTP11Connection(httpcore2.Origin(b"http", proxy.host.encode(), proxy.port), stream)
    request = _connect_request(proxy, host, port, {"read": limit, "write": limit})
    with _explained(proxy, host):
        response = speaking.handle_request(request)
        if 200 <= response.status < 300:
            return
        page = bytearray()
        deadline.begin_step(_PATIENCE)
        with suppress(*BROKEN):
            for data in response.iter_stream():
                page += data
                if len(page) > _LONGEST_PAGE:
                    break
    raise _refused(proxy, host, response, bytes(page))


async def _connect_async(stream: httpcore2.AsyncNetworkStream, proxy: Proxy, host: str, port: int) -> None:
    origin = httpcore2.Origin(b"http", proxy.host.encode(), proxy.port)
    speaking = httpcore2.AsyncHTTP11Connection(origin, stream)
    with _explained(proxy, host):
        response = await speaking.handle_async_request(_connect_request(proxy, host, port, {}))
        if 200 <= response.status < 300:
            return
        page = bytearray()
        with suppress(*BROKEN, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                async for data in response.aiter_stream():
                    page += data
                    if len(page) > _LONGEST_PAGE:
                        break
    raise _refused(proxy, host, response, bytes(page))


def _refused(proxy: Proxy, host: str, response: httpcore2.Response, page: bytes) -> Exception:
    reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
    schemes = ", ".join(
        value.decode("latin-1") for name, value in response.headers if name.lower() == b"proxy-authenticate"
    )
    return refused_connect(proxy, host, response.status, reason=reason, schemes=schemes, page=page)
