"""A small real PNG (ISO/IEC 15948) in one colour, which a text decides: the same text, the same image."""

from __future__ import annotations

import hashlib
import struct
import zlib


def png_of(text: str, width: int, height: int, *, transparent: bool = False) -> bytes:
    """An image of `width` x `height` pixels in the colour of `text`, with a palette of this one colour."""
    colour = hashlib.sha256(text.encode("utf-8", "replace")).digest()[:3]
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    row = bytes(1 + (width + 7) // 8)  # a filter of none, then one bit for each pixel
    chunks = [(b"IHDR", header), (b"PLTE", colour)]
    if transparent:
        chunks.append((b"tRNS", b"\0"))
    chunks += [(b"IDAT", zlib.compress(row * height, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
