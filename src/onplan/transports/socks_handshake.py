"""Asks a SOCKS 5 proxy (RFC 1928, 1929) to connect to a server, through python-socks.

Of python-socks only SOCKS 5 is used. Its CONNECT (3.2.1) reads the proxy's reply as if it came in one piece,
accepts no status but 200 and keeps nothing of a refusal, so an error could not say that the proxy wants NTLM.
It also gives each step the whole time and tries one address after the other, so tunnel.py connects to the
proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpcore2
from python_socks import ProxyError as SocksError
from python_socks import ProxyType
from python_socks.async_.asyncio.v2 import Proxy as AsyncSocks
from python_socks.sync.v2 import Proxy as Socks

from onplan.transports.connection_errors import no_answer, refusal
from onplan.transports.deadline import FOREVER, Deadline, Limit
from onplan.transports.httpcore2_streams import BROKEN, Countdown, Stream
from onplan.transports.route import Proxy
from onplan.transports.tracebacks import forget_frames

_REASONS: Mapping[int | None, str] = {
    1: "it failed",
    2: "its rules forbid it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the connection was refused",
    6: "it took too long",
    7: "it does not open connections",
    8: "it does not know this kind of address",
}
# python-socks 3.2.1 tells these apart by its words only. If they change, only the hint is lost.
_WORDS: Mapping[str, tuple[str, int | None]] = {
    "No acceptable authentication": ("it wants a user and a password, or more than that", 407),
    "authentication failure": ("it does not accept the user and the password", 407),
    "Unexpected SOCKS version": ("it does not speak SOCKS 5", None),
}


def _reason(error: SocksError) -> tuple[str, int | None]:
    for words, meaning in _WORDS.items():
        if words in str(error):
            return meaning
    return _REASONS.get(error.error_code, str(error).rstrip(".")), None


def _options(proxy: Proxy, host: str) -> dict[str, Any]:
    """The options of python-socks for ``proxy``, which looks up the names of hosts itself."""
    if not f"{proxy.username or ''}{proxy.password}".isascii():
        error = refusal(proxy, host, "SOCKS 5 has no user or password beyond ASCII")
        error.retryable = False
        error.hint = "Use a user and a password of ASCII characters only, or an HTTP proxy."
        raise error
    return {
        "proxy_type": ProxyType.SOCKS5,
        "host": proxy.host,
        "port": proxy.port,
        "username": proxy.username,
        "password": proxy.password,
        "rdns": True,
    }


class _SyncConnection(Socks):
    """A connection that exists already, in the form in which python-socks takes one: as another proxy."""

    def __init__(self, stream: Stream, limit: Limit) -> None:
        self._stream, self._limit = stream, limit

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Itself: it has the methods of a stream of python-socks."""
        return self

    def write(self, data: bytes) -> None:
        """Send all of it."""
        self._stream.write(data, self._limit)

    def read_exactly(self, n: int) -> bytes:
        """``n`` bytes. Raises EOFError if they do not come."""
        data = b""
        while len(data) < n:
            more = self._stream.read(n - len(data), self._limit)
            if not more:
                raise EOFError
            data += more
        return data

    def close(self) -> None:
        """Does nothing: the function that opened it closes it."""


def shake_hands(stream: Stream, proxy: Proxy, host: str, port: int, left: Countdown) -> None:
    """Have ``proxy`` connect ``stream`` to ``host``. Raises ProxyError, CertificateError."""
    limit = Limit.of(FOREVER, Deadline(left()))
    options = _options(proxy, host)
    with _explained(proxy, host):
        Socks(**options, forward=_SyncConnection(stream, limit)).connect(host, port, timeout=FOREVER)


class _AsyncConnection(AsyncSocks):
    """``_SyncConnection`` under an event loop."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """Itself: it has the methods of a stream of python-socks."""
        return self

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.write(data)

    async def read_exactly(self, n: int) -> bytes:
        """``n`` bytes. Raises EOFError if they do not come."""
        data = b""
        while len(data) < n:
            more = await self._stream.read(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    async def close(self) -> None:
        """Does nothing: the function that opened it closes it."""


async def shake_hands_async(stream: httpcore2.AsyncNetworkStream, proxy: Proxy, host: str, port: int) -> None:
    """``shake_hands`` under an event loop. The caller limits the time."""
    options = _options(proxy, host)
    with _explained(proxy, host):
        await AsyncSocks(**options, forward=_AsyncConnection(stream)).connect(host, port, timeout=FOREVER)


@contextmanager
def _explained(proxy: Proxy, host: str) -> Iterator[None]:
    """Turn python-socks's errors into ProxyError, without the frames that hold a password."""
    try:
        yield
    except SocksError as error:
        forget_frames(error)
        reason, status = _reason(error)
        raise refusal(proxy, host, reason, status=status) from None
    except EOFError as error:
        forget_frames(error)
        raise refusal(proxy, host, "it closed the connection") from None
    except (ValueError, OSError, *BROKEN) as error:
        forget_frames(error)
        raise no_answer(proxy, error) from None
