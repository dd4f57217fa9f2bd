"""The bodies of requests: bounded as they are sent, as they are decoded, and all of them together."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
import zstandard

from onplan.dialects.served import ServedReply
from onplan.server.bodies import ClientLeftError, Room, overloaded, read_body, too_many_large
from onplan.transports import decompression

SMALL = 256 * 1024
ROOM = 10 * SMALL


class Receiving:
    """A request that arrives in pieces; then the client leaves."""

    def __init__(self, pieces: Iterable[bytes], *, is_whole: bool = True) -> None:
        pieces = list(pieces)
        self.left: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": not is_whole or at + 1 < len(pieces)}
            for at, piece in enumerate(pieces)
        ]
        self.received = 0

    async def __call__(self) -> dict[str, Any]:
        self.received += 1
        return self.left.pop(0) if self.left else {"type": "http.disconnect"}


async def read(
    *pieces: bytes, largest: int = ROOM, room: Room | None = None, whole: bool = True, **headers: str
) -> bytes | ServedReply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await read_body(Receiving(pieces, is_whole=whole), named, largest, room or Room(ROOM))


def told(reply: bytes | ServedReply) -> tuple[int, str, dict[str, str]]:
    """The status, the code and the headers that are not of every reply."""
    assert isinstance(reply, ServedReply)
    assert isinstance(reply.body, bytes)
    error = msgspec.json.decode(reply.body)["error"]
    headers = {name: value for name, value in reply.headers.items() if name != "content-type"}
    return reply.status, error["code"], headers


NEVER = {"x-should-retry": "false"}


@pytest.mark.parametrize("pieces", [[b""], [b"abc"], [b"a", b"", b"bc"]])
async def test_a_body_is_all_of_its_pieces(pieces: list[bytes]) -> None:
    """In their order; an empty one is none to be decoded."""
    assert await read(*pieces) == b"".join(pieces)
    assert await read(*pieces, content_encoding=" Identity ") == b"".join(pieces)
    assert await read(b"", content_encoding="gzip") == b""


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
async def test_a_compressed_body_is_decoded(encoding: str) -> None:
    """In however many pieces it comes."""
    packed = gzip.compress(b"abc" * 1_000)
    assert await read(packed[:9], packed[9:], content_encoding=encoding) == b"abc" * 1_000


async def test_a_large_body_is_decoded_piece_by_piece() -> None:
    """Nothing stands between its pieces."""
    body = b"abc" * 1_000_000
    found = await read(gzip.compress(body), largest=4_000_000, room=Room(8_000_000), content_encoding="gzip")
    assert found == body


async def test_a_message_may_leave_out_what_is_empty() -> None:
    """As ASGI permits: no body, and no more of it."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    assert await read_body(receive, {}, ROOM, Room(ROOM)) == b""


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", ""])
async def test_another_encoding_is_refused_before_it_is_read(encoding: str) -> None:
    """The client is told which there are."""
    receiving = Receiving([b"abc"])
    reply = await read_body(receiving, {"content-encoding": encoding}, ROOM, Room(ROOM))
    assert told(reply) == (415, "unsupported_media_type", NEVER)
    assert receiving.received == 0


async def test_a_damaged_body_is_refused() -> None:
    """From its beginning, or in the middle."""
    packed = gzip.compress(b"abc" * 1_000)
    for body in (b"abc", packed[:12] + b"\xff\xff" + packed[14:]):
        assert told(await read(body, content_encoding="gzip")) == (400, "invalid_request", NEVER)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"abc" * 1_000)),
        ("gzip", gzip.compress(b"abc") + gzip.compress(b"def")),
        ("zstd", zstandard.ZstdCompressor(write_checksum=True).compress(b"abc" * 1_000)),
    ],
    ids=["gzip", "two members of gzip", "zstd"],
)
async def test_a_body_that_is_cut_off_is_refused(encoding: str, packed: bytes) -> None:
    """Also if only its checksum, or the length after that, is not all there."""
    for missing in (1, 4, 5, 8, len(packed) - 1):
        reply = await read(packed[:-missing], content_encoding=encoding)
        assert told(reply) == (400, "invalid_request", NEVER)
        assert isinstance(reply, ServedReply)
        assert isinstance(reply.body, bytes)
        assert b"cut off" in reply.body


async def test_an_encoding_that_no_library_decodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a library for zstd; the client is told which encoding that is, and not to ask again."""
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    decompression._zstandard.cache_clear()
    try:
        reply = await read(zstandard.compress(b"abc"), content_encoding="zstd")
    finally:
        decompression._zstandard.cache_clear()
    assert told(reply) == (415, "unsupported_media_type", NEVER)
    assert isinstance(reply, ServedReply)
    assert isinstance(reply.body, bytes)
    assert msgspec.json.decode(reply.body)["error"]["message"] == "zstd cannot be decoded here."


async def test_a_body_may_be_so_large() -> None:
    """One byte more is refused: by what the header says, by what comes, by what it decodes to."""
    assert await read(b"x" * 10, largest=10, content_length="10") == b"x" * 10
    packed = gzip.compress(b"x" * 1_000)
    assert await read(packed, largest=1_000, content_encoding="gzip") == b"x" * 1_000

    refused = (413, "request_too_large", NEVER)
    receiving = Receiving([b"x"])
    assert told(await read_body(receiving, {"content-length": "11"}, 10, Room(ROOM))) == refused
    assert receiving.received == 0
    assert told(await read(b"x" * 6, b"x" * 5, b"never read", largest=10)) == refused
    assert told(await read(packed, largest=999, content_encoding="gzip")) == refused
    assert told(await read(b"x" * 11, largest=10, content_encoding="gzip")) == refused
    assert await read(b"abc", largest=10, content_length="²") == b"abc"  # no number: what comes is counted


async def test_a_client_that_leaves_gets_no_reply() -> None:
    """What it had sent takes no room any more."""
    room = Room(ROOM)
    with pytest.raises(ClientLeftError):
        await read(b"abc", room=room, whole=False)
    assert room.left == ROOM


async def test_bodies_that_arrive_share_their_room() -> None:
    """Whoever comes when it is full is to ask again; afterwards there is as much as before."""
    room = Room(10)
    assert await read(b"x" * 10, room=room) == b"x" * 10
    reply = await read(b"x" * 6, b"x" * 5, room=room)
    assert told(reply) == (503, "server_overloaded", {"retry-after": "1"})
    assert room.left == 10


async def test_what_is_decoded_is_bounded_by_the_room_that_is_left() -> None:
    """Small bodies are not counted: the number of requests bounds them."""
    packed, room = gzip.compress(b"x" * (SMALL + 1)), Room(ROOM)
    with room.held(b"x" * (ROOM - SMALL)):
        reply = await read(packed, room=room, content_encoding="gzip")
        assert told(reply) == (503, "server_overloaded", {"retry-after": "1"})
        assert await read(gzip.compress(b"x" * SMALL), room=room, content_encoding="gzip") == b"x" * SMALL
    assert await read(packed, room=room, content_encoding="gzip") == b"x" * (SMALL + 1)


def test_large_bodies_are_held_while_they_are_answered() -> None:
    """As many as there is room for; a small one always is, and takes none."""
    room = Room(2 * SMALL + 2)
    large = b"x" * (SMALL + 1)
    assert (room.counts(large), room.counts(large[1:])) == (True, False)
    with room.held(large) as first, room.held(large) as second:
        assert (first, second, room.left_answered) == (True, True, 0)
        with room.held(large) as third, room.held(b"x" * SMALL) as small:
            assert (third, small) == (False, True)
    assert room.left_answered == 2 * SMALL + 2


def test_room_is_given_back_after_a_failure() -> None:
    """Whatever ends the answer."""
    room = Room(SMALL + 1)
    with pytest.raises(ValueError, match="x"), room.held(b"x" * (SMALL + 1)):
        raise ValueError("x")
    assert room.left_answered == room.left == SMALL + 1


def test_who_comes_at_a_bad_moment_may_come_again() -> None:
    """In a second, as with every overloaded server."""
    for reply in (overloaded("Too many."), too_many_large()):
        assert told(reply) == (503, "server_overloaded", {"retry-after": "1"})
        assert isinstance(reply.body, bytes)
        assert msgspec.json.decode(reply.body)["error"]["type"] == "server_error"
