"""Compressed bodies of answers, decoded so that nothing is lost of one whose end is damaged.

The libraries raise on a wrong checksum, and what they had decoded of the same read is gone: it may be the end
of a whole answer. Here it comes first, and the error with the next read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import chain
from typing import Any, Protocol

_PIECE = 1024 * 1024  # bytes decoded at once: a small body may stand for very many
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_CHECKSUM = 8  # bytes after which no more content comes: decoded one by one
# Bytes of zstd that are decoded at once, for which the libraries have no limit of their own: a block of four
# bytes may stand for 128 KiB (RFC 8878 §3.1.1.2), so these may for 16 MiB.
_SLICE = 512


class DamagedBodyError(Exception):
    """A compressed body cannot be decoded any further."""


class Decompressor(Protocol):
    """Feed it bytes as they come; it gives back what they decode to."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to, in pieces. Raises DamagedBodyError after the last good one."""
        ...


class Deflate:
    """``gzip`` and ``deflate``, which some servers send without its header (RFC 9110 §8.4.1.2)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._decoder = zlib.decompressobj(window)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to. What follows the end is left unread, unless it is another member."""
        if data and not self._begun:
            self._begun = True
            if self._window == _ZLIB and data[0] & 0x0F != zlib.DEFLATED:
                self._decoder = zlib.decompressobj(_RAW)
        is_more = bool(data)
        while is_more and not (self._decoder.eof and not self._goes_on(data)):
            before = self._decoder.copy()
            try:
                piece = self._decoder.decompress(data, _PIECE)
            except zlib.error as error:
                yield from _one_by_one(before.decompress, data, zlib.error)
                raise DamagedBodyError(str(error)) from None
            if piece:
                yield piece
            data = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            is_more = bool(data) or len(piece) == _PIECE

    def _goes_on(self, data: bytes) -> bool:
        """Whether ``data``, after the end of one member, begins another (RFC 1952 §2.2)."""
        another = self._window == _GZIP and data[:2] in (b"\x1f\x8b", b"\x1f")
        if another:
            self._decoder = zlib.decompressobj(_GZIP)
        return another


class Zstandard:
    """``zstd``."""

    def __init__(self, decompress: Callable[[bytes], bytes], error: type[Exception]) -> None:
        self._decompress, self._error = decompress, error

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to."""
        content, last = data[:-_CHECKSUM], data[-_CHECKSUM:]
        slices = (content[start : start + _SLICE] for start in range(0, len(content), _SLICE))
        try:
            yield from filter(None, map(self._decompress, chain(slices, (bytes([byte]) for byte in last))))
        except (self._error, EOFError) as error:  # EOFError: there is more after the end
            raise DamagedBodyError(str(error)) from None


class Unknown:
    """An encoding that nothing here decodes, and that was not accepted."""

    def __init__(self, name: str) -> None:
        self._name = name

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises DamagedBodyError."""
        raise DamagedBodyError(f"its body is encoded as {self._name!r}, which was not accepted")


def _one_by_one(decompress: Callable[[bytes], bytes], data: bytes, error: type[Exception]) -> Iterator[bytes]:
    """What ``data`` decodes to until it fails."""
    with suppress(error):
        yield from filter(None, (decompress(bytes([byte])) for byte in data))


@cache
def _zstandard() -> Callable[[], Zstandard] | None:
    """Of the standard library from Python 3.14 on, else of the extra ``fast``."""
    with suppress(ModuleNotFoundError):
        library: Any = import_module("compression.zstd")
        return lambda: Zstandard(library.ZstdDecompressor().decompress, library.ZstdError)
    with suppress(ModuleNotFoundError):
        other: Any = import_module("zstandard")
        return lambda: Zstandard(other.ZstdDecompressor().decompressobj().decompress, other.ZstdError)
    return None


_DECOMPRESSORS: Mapping[str, Callable[[], Decompressor]] = {
    "gzip": lambda: Deflate(_GZIP),
    "x-gzip": lambda: Deflate(_GZIP),
    "deflate": lambda: Deflate(_ZLIB),
}


def decompressor_for(content_encoding: str) -> Decompressor | None:
    """What decodes a body with this Content-Encoding; None if nothing here does."""
    name = content_encoding.strip().lower()
    make = _zstandard() if name == "zstd" else _DECOMPRESSORS.get(name)
    return make() if make else None


def accepted() -> str:
    """What is decoded here, for Accept-Encoding."""
    return "gzip, deflate, zstd" if _zstandard() else "gzip, deflate"
