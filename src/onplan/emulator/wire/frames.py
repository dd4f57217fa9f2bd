"""WebSocket frames: messages to bytes and back, the server's side of RFC 6455. Touches no socket.

Half of RFC 7692 (permessage-deflate): compressed messages are read, and none are sent.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MESSAGES = (TEXT, BINARY)
LARGEST_MESSAGE = 16 * 1024 * 1024  # above it, the service closes with 1009
DEFLATE = "permessage-deflate"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_END_OF_BLOCK = b"\x00\x00\xff\xff"  # RFC 7692, section 7.2.1


class FrameError(Exception):
    """The client broke the protocol; `code` is the status to close with (RFC 6455, section 7.4.1)."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def accept_key(key: str) -> str:
    """The `sec-websocket-accept` that answers a `sec-websocket-key`."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324 - as the RFC says


def encode(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """One frame, unmasked as servers send it."""
    head = bytes([opcode | (0x80 if final else 0)])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + b"\x7e" + size.to_bytes(2, "big") + payload
    return head + b"\x7f" + size.to_bytes(8, "big") + payload


def close(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return encode(CLOSE, code.to_bytes(2, "big") + reason.encode())


@dataclass(frozen=True)
class Received:
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes


@dataclass(frozen=True)
class _Frame:
    opcode: int
    payload: bytes
    final: bool
    compressed: bool


class Decoder:
    """Decodes the bytes that a client sends into whole messages and control frames."""

    def __init__(self, *, deflate: bool = False) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if deflate else None
        self._pending = bytearray()
        self._fragments: list[_Frame] = []

    def feed(self, data: bytes) -> Iterator[Received]:
        """The messages and frames that `data` completes. After a FrameError, nothing more can be read."""
        self._pending += data
        while (frame := self._frame()) is not None:
            if frame.opcode >= CLOSE:
                if not frame.final or len(frame.payload) > 125:
                    raise FrameError(1002, "a control frame is short and whole")
                yield Received(frame.opcode, frame.payload)
                continue
            if (frame.opcode == CONTINUATION) != bool(self._fragments):
                raise FrameError(1002, "the fragments of a message come one after the other")
            self._fragments.append(frame)
            if sum(len(fragment.payload) for fragment in self._fragments) > LARGEST_MESSAGE:
                raise FrameError(1009, "the message is too big")
            if frame.final:
                yield self._message()

    def _frame(self) -> _Frame | None:
        data = self._pending
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            if len(data) < 2 + width:
                return None
            size, start = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        self._check(data[0], data[1], size)
        end = start + 4 + size
        if len(data) < end:
            return None
        mask, payload = bytes(data[start : start + 4]), bytes(data[start + 4 : end])
        frame = _Frame(data[0] & 0x0F, _unmasked(payload, mask), bool(data[0] & 0x80), bool(data[0] & 0x40))
        del data[:end]
        return frame

    def _check(self, first: int, second: int, size: int) -> None:
        reserved = first & (0x30 if self._inflater else 0x70)
        known = first & 0x0F in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        compressible = not first & 0x40 or first & 0x0F in MESSAGES
        if reserved or not known or not compressible:
            raise FrameError(1002, "reserved bits and opcodes are not used")
        if not second & 0x80:
            raise FrameError(1002, "a client masks its frames")
        if size > LARGEST_MESSAGE:
            raise FrameError(1009, "the message is too big")

    def _message(self) -> Received:
        first, payload = self._fragments[0], b"".join(fragment.payload for fragment in self._fragments)
        self._fragments.clear()
        if first.compressed and self._inflater:
            try:
                payload = self._inflater.decompress(payload + _END_OF_BLOCK, LARGEST_MESSAGE)
            except zlib.error:
                raise FrameError(1007, "what was compressed cannot be read") from None
            if self._inflater.unconsumed_tail:
                raise FrameError(1009, "the message is too big")
        return Received(first.opcode, payload)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
