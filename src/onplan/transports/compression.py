"""Compresses request bodies with zstd, where the server takes it and a library for it is installed.

A conversation with its history becomes half to a twelfth of its size, for 0.1 to 0.6 ms of CPU per 100 kB.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from typing import TypeVar

from msgspec import structs

from onplan.flow import Request
from onplan.transports.base import AsyncPeekable, Peekable

A = TypeVar("A", bound=Peekable)
B = TypeVar("B", bound=AsyncPeekable)

# What is smaller travels with the first packets of a connection anyway.
SMALLEST = 16 * 1024
# Compressing what is larger would hold up an event loop for more than half a millisecond.
LARGEST_AT_ONCE = 64 * 1024
_LEVEL = 1  # twice as fast as the default, 3, for bodies a tenth larger
_PATIENCE = 30.0  # seconds for the body of a refusal

_REFUSALS = frozenset({400, 415, 422})
_COMPLAINT = re.compile(rb"content.?encoding|zstd|compress", re.IGNORECASE)


class Compression:
    """Compresses the bodies of one client's requests, until a server refuses one because it is compressed."""

    def __init__(self) -> None:
        self._refused = False

    def leaves(self, request: Request) -> bool:
        """Whether ``request`` is sent as it is, for certain: most are small."""
        return request.encoding is None or request.body is None or len(request.body) < SMALLEST

    def compress(self, request: Request) -> Request:
        """``request`` with a compressed body, or as it is if that is not worthwhile or was refused."""
        return _compressed(request) if self._is_worthwhile(request) else request

    async def compress_async(self, request: Request) -> Request:
        """The same; a large body on another thread, so that the event loop is not held up."""
        if request.body and len(request.body) > LARGEST_AT_ONCE and self._is_worthwhile(request):
            import asyncio

            return await asyncio.to_thread(_compressed, request)
        return self.compress(request)

    def is_refused(self, status: int, body: bytes) -> bool:
        """Whether an answer refuses the request because it is compressed; if so, no more are compressed."""
        refused = status == 415 or bool(_COMPLAINT.search(body))
        self._refused = self._refused or refused
        return refused

    def _is_worthwhile(self, request: Request) -> bool:
        return (
            request.encoding == "zstd"
            and not self._refused
            and len(request.body or b"") >= SMALLEST
            and _compressor() is not None
        )


def _compressed(request: Request) -> Request:
    compress = _compressor()
    if compress is None or request.body is None:
        return request
    headers = {**request.headers, "content-encoding": "zstd"}
    return structs.replace(request, headers=headers, body=compress(request.body), encoding=None)


@cache
def _compressor() -> Callable[[bytes], bytes] | None:
    """The standard library's from Python 3.14 on, else that of the extra ``fast``; None without either."""
    with suppress(ModuleNotFoundError):
        return partial(import_module("compression.zstd").compress, level=_LEVEL)
    with suppress(ModuleNotFoundError):
        zstandard = import_module("zstandard")
        return lambda body: bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(body))
    return None


def open_compressed(compression: Compression, request: Request, send: Callable[[Request], A]) -> A:
    """Send ``request`` compressed; then as it is, if that is refused. Raises TransportError."""
    compressed = compression.compress(request)
    answer = send(compressed)
    if compressed is request or answer.head.status not in _REFUSALS:
        return answer
    try:
        refused = compression.is_refused(answer.head.status, answer.peek_body(_PATIENCE))
    except BaseException:
        answer.close()
        raise
    if not refused:
        return answer
    answer.close()
    return send(request)


async def open_compressed_async(
    compression: Compression, request: Request, send: Callable[[Request], Awaitable[B]]
) -> B:
    """``open_compressed`` under an event loop."""
    compressed = await compression.compress_async(request)
    answer = await send(compressed)
    if compressed is request or answer.head.status not in _REFUSALS:
        return answer
    try:
        refused = compression.is_refused(answer.head.status, await answer.peek_body(_PATIENCE))
    except BaseException:
        await answer.close()
        raise
    if not refused:
        return answer
    await answer.close()
    return await send(request)
