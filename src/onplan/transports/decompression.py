"""Decodes compressed bodies of answers, without losing what precedes a damaged end.

zlib and the zstd libraries raise on a wrong checksum and drop what they had decoded of the same read, which
may be the end of a complete answer. Here that is returned first; the error comes with the next read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import chain
from typing import Any, Protocol

_PIECE = 1024 * 1024  # bytes that are decoded at once, for a small body may decode to gigabytes
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_CHECKSUM = 8  # bytes at the end that hold no content; they are decoded one by one
# Bytes of zstd that are decoded at once, because the libraries cannot limit what comes out: a block of four
# bytes may decode to 128 KiB (RFC 8878 §3.1.1.2), so 512 may decode to 16 MiB.
_SLICE = 512


class DamagedBodyError(Exception):
    """A compressed body cannot be decoded any further."""


class Decompressor(Protocol):
    """Decodes one body as its bytes come."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to, in pieces. Raises DamagedBodyError after the last good one."""
        ...

    def is_whole(self) -> bool:
        """Whether the body has come to its end, the checksum included."""
        ...


class Deflate:
    """``gzip`` and ``deflate``, which may lack the zlib header (RFC 9110 §8.4.1.2 knows such servers)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._decoder = zlib.decompressobj(window)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to. What follows the end is ignored, unless it is another gzip member."""
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

    def is_whole(self) -> bool:
        """Whether the body, or the last of its gzip members, has come to its end."""
        return self._decoder.eof

    def _goes_on(self, data: bytes) -> bool:
        """Whether ``data``, after the end of a gzip member, begins another one (RFC 1952 §2.2)."""
        another = self._window == _GZIP and data[:2] in (b"\x1f\x8b", b"\x1f")
        if another:
            self._decoder = zlib.decompressobj(_GZIP)
        return another


class _Decoder(Protocol):
    """What the libraries for zstd have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """What these bytes decode to."""
        ...


class Zstandard:
    """``zstd``."""

    def __init__(self, decoder: _Decoder, error: type[Exception]) -> None:
        self._decoder, self._error = decoder, error

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to."""
        content, last = data[:-_CHECKSUM], data[-_CHECKSUM:]
        slices = (content[start : start + _SLICE] for start in range(0, len(content), _SLICE))
        try:
            pieces = chain(slices, (bytes([byte]) for byte in last))
            yield from filter(None, map(self._decoder.decompress, pieces))
        except (self._error, EOFError) as error:  # EOFError: there is more after the end
            raise DamagedBodyError(str(error)) from None

    def is_whole(self) -> bool:
        """Whether the body has come to its end."""
        return self._decoder.eof


class Unknown:
    """An encoding that was not accepted and that cannot be decoded here."""

    def __init__(self, name: str) -> None:
        self._name = name

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises DamagedBodyError."""
        raise DamagedBodyError(f"its body is encoded as {self._name!r}, which was not accepted")

    def is_whole(self) -> bool:
        """False: nothing of it can be decoded."""
        return False


def _one_by_one(decompress: Callable[[bytes], bytes], data: bytes, error: type[Exception]) -> Iterator[bytes]:
    """What ``data`` decodes to before the damaged byte."""
    with suppress(error):
        yield from filter(None, (decompress(bytes([byte])) for byte in data))


@cache
def _zstandard() -> Callable[[], Zstandard] | None:
    """Makes zstd decoders: of the standard library (Python 3.14) or the extra ``fast``; None without both."""
    with suppress(ModuleNotFoundError):
        library: Any = import_module("compression.zstd")
        return lambda: Zstandard(library.ZstdDecompressor(), library.ZstdError)
    with suppress(ModuleNotFoundError):
        other: Any = import_module("zstandard")
        return lambda: Zstandard(other.ZstdDecompressor().decompressobj(), other.ZstdError)
    return None


_DECOMPRESSORS: Mapping[str, Callable[[], Decompressor]] = {
    "gzip": lambda: Deflate(_GZIP),
    "x-gzip": lambda: Deflate(_GZIP),
    "deflate": lambda: Deflate(_ZLIB),
}


def decompressor_for(content_encoding: str) -> Decompressor | None:
    """A decoder for a body with this Content-Encoding; None if there is none."""
    name = content_encoding.strip().lower()
    make = _zstandard() if name == "zstd" else _DECOMPRESSORS.get(name)
    return make() if make else None


def decompressor_of(content_encoding: str, status: int) -> Decompressor | None:
    """What decodes the body of an answer; None for one that is read as it is.

    An encoding that is not known makes an ``Unknown``; but of a refusal it is the status that counts.
    """
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return None
    return decompressor_for(name) or (None if status >= 400 else Unknown(name))


def accepted() -> str:
    """The value of Accept-Encoding: what can be decoded here."""
    return "gzip, deflate, zstd" if _zstandard() else "gzip, deflate"
