"""Reads the bodies of requests: bounded as they are sent and as they are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from onplan.dialects.openai_errors import NEVER_AGAIN, refusal
from onplan.dialects.served import ServedReply
from onplan.server.asgi import Receive
from onplan.transports.decompression import DamagedBodyError, decompressor_for

_SMALL = 256 * 1024  # bytes
_DECODED = frozenset({"gzip", "x-gzip", "zstd"})


class ClientLeftError(Exception):
    """The client left before its request was complete."""


class Room:
    """How many bytes of bodies may be held at once.

    Args:
        size: of bodies that arrive, and as many of those that are answered.

    Attributes:
        left, left_answered: how much there still is.
    """

    def __init__(self, size: int) -> None:
        self.left = self.left_answered = size

    def counts(self, body: bytes) -> bool:
        """Whether a body is to be held. Small ones are bounded by the number of requests at once."""
        return len(body) > _SMALL

    @contextmanager
    def held(self, body: bytes) -> Iterator[bool]:
        """Hold a body until the block ends, which answers it; False if there is no room for it."""
        size = len(body) if self.counts(body) else 0
        if size > self.left_answered:
            yield False
            return
        self.left_answered -= size
        try:
            yield True
        finally:
            self.left_answered += size


async def read_body(
    receive: Receive, headers: Mapping[str, str], largest: int, room: Room
) -> bytes | ServedReply:
    """The decoded body, or the refusal of one that is too large, damaged or in an encoding that is unknown.

    Raises ClientLeftError.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _DECODED and encoding != "identity":
        message = "The body may be compressed with gzip or zstd, and with nothing else."
        return refusal(415, "unsupported_media_type", message, headers=NEVER_AGAIN)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > largest:
        return _too_large(largest)
    body = await _received(receive, largest, room)
    if isinstance(body, ServedReply) or encoding == "identity" or not body:
        return body
    return _decoded(body, encoding, largest, room)


async def _received(receive: Receive, largest: int, room: Room) -> bytes | ServedReply:
    """The body as it was sent."""
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientLeftError
            piece, more = message.get("body", b""), message.get("more_body", False)
            size, room.left = size + len(piece), room.left - len(piece)
            if size > largest:
                return _too_large(largest)
            if room.left < 0:
                return overloaded("Too many large requests are arriving at once.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        room.left += size


def _decoded(body: bytes, encoding: str, largest: int, room: Room) -> bytes | ServedReply:
    decompressor = decompressor_for(encoding)
    if decompressor is None:
        return refusal(
            415, "unsupported_media_type", f"{encoding} cannot be decoded here.", headers=NEVER_AGAIN
        )
    pieces, size = [], 0
    try:
        for piece in decompressor.feed(body):
            size += len(piece)
            if size > largest:
                return _too_large(largest)
            if size > max(room.left_answered, _SMALL):
                return too_many_large()
            pieces.append(piece)
    except DamagedBodyError:
        return refusal(400, "invalid_request", f"The body is not valid {encoding}.", headers=NEVER_AGAIN)
    if not decompressor.is_whole():
        message = f"The body is cut off: its {encoding} data end too early."
        return refusal(400, "invalid_request", message, headers=NEVER_AGAIN)
    return b"".join(pieces)


def _too_large(largest: int) -> ServedReply:
    message = (
        f"The body is larger than {largest} bytes. `max_body` under [server] in config.toml changes that."
    )
    return refusal(413, "request_too_large", message, headers=NEVER_AGAIN)


def too_many_large() -> ServedReply:
    """The refusal of a large body while others are answered."""
    return overloaded("Too many large requests are answered at once.")


def overloaded(message: str) -> ServedReply:
    """The refusal of a request that may be sent again in a moment."""
    headers = {"retry-after": "1"}
    return refusal(503, "server_overloaded", message, type="server_error", headers=headers)
