"""Compresses answers as the client's Accept-Encoding allows (RFC 9110, section 12.5.3)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import zstandard

from onplan.emulator.wire.replies import Encode, Reply

_GZIP = 16 + zlib.MAX_WBITS


def compress(reply: Reply, accepted: str) -> Reply:
    """The reply in the first of CODINGS that is accepted; as it is if none is, or if there is no body."""
    coding = next((name for name in CODINGS if name in _accepted(accepted)), None)
    if coding is None or not (reply.body or reply.stream) or reply.ending != "complete":
        return reply
    headers = (*reply.headers, ("content-encoding", coding), ("vary", "accept-encoding"))
    return replace(reply, headers=headers, encode=CODINGS[coding]())


def _accepted(header: str) -> set[str]:
    """The codings that are named, but for those with a quality of nothing."""
    named: set[str] = set()
    for entry in header.lower().split(","):
        name, _, parameters = entry.partition(";")
        quality = parameters.replace(" ", "").removeprefix("q=")
        if not quality or quality.strip("0."):
            named.add(name.strip())
    return named


def _zstd() -> Encode:
    compressor = zstandard.ZstdCompressor().compressobj()

    def encode(data: bytes | None) -> bytes:
        if data is None:
            return compressor.flush()
        return compressor.compress(data) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    return encode


def _gzip() -> Encode:
    compressor = zlib.compressobj(wbits=_GZIP)

    def encode(data: bytes | None) -> bytes:
        if data is None:
            return compressor.flush()
        return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)

    return encode


# Every write is flushed: an event that was sent can be read.
CODINGS: dict[str, Callable[[], Encode]] = {"zstd": _zstd, "gzip": _gzip}
