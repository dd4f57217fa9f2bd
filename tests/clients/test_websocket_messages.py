"""WebSocket frames as bytes, and the messages or the failure that they amount to."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.uri import parse_uri

from onplan import DisconnectError, OnplanError, StreamCorruptError
from onplan.emulator.wire import frames
from onplan.emulator.wire.frames import BINARY, CONTINUATION, PING, PONG, TEXT
from onplan.transports.websocket_messages import MessageReader

ORIGIN = "https://server.test"
MAXIMUM = 200_000


def reader(maximum: int = MAXIMUM) -> MessageReader:
    protocol = ClientProtocol(parse_uri("wss://server.test/"), state=State.OPEN)
    return MessageReader(protocol, ORIGIN, maximum)


def feed(read: MessageReader, data: bytes, size: int | None = None) -> list[bytes]:
    messages = []
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        read.feed(data[start : start + step])
        messages += read.take()
    return messages


def fragments(*parts: bytes, between: bytes = b"") -> bytes:
    """One message in so many frames, with other frames between them."""
    last = len(parts) - 1
    encoded = [
        frames.encode(CONTINUATION if number else TEXT, part, final=number == last)
        for number, part in enumerate(parts)
    ]
    return between.join(encoded)


# Every size around which the frame's head changes its form.
SIZES = (0, 1, 124, 125, 126, 127, 128, 250, 65_535, 65_536, 70_000)
TEXTS = {f"text of {size} bytes": (frames.encode(TEXT, b"x" * size), [b"x" * size]) for size in SIZES}
CONTROL = frames.encode(PING, b"?") + frames.encode(PONG, b"!" * 125) + frames.encode(PONG, b"")

WHOLE: dict[str, tuple[bytes, list[bytes]]] = {
    **TEXTS,
    "one after the other": (b"".join(data for data, _ in TEXTS.values()), [b"x" * size for size in SIZES]),
    "two fragments": (fragments(b"ab", b"cd"), [b"abcd"]),
    "fragments with control frames between": (fragments(b"ab", b"", b"cd", between=CONTROL), [b"abcd"]),
    "fragments of a byte each": (fragments(*[b"x"] * 1_000), [b"x" * 1_000]),
    "empty fragments": (fragments(*[b""] * 1_000), [b""]),
    "an empty beginning and an empty end": (fragments(b"", b"x", b""), [b"x"]),
    "large fragments": (fragments(b"x" * 70_000, b"y" * 200), [b"x" * 70_000 + b"y" * 200]),
    "a text before and after fragments": (
        frames.encode(TEXT, b"1") + fragments(b"2", b"3") + frames.encode(TEXT, b"4"),
        [b"1", b"23", b"4"],
    ),
    "control frames alone": (CONTROL * 5, []),
    "as large as a message may be": (frames.encode(TEXT, b"x" * MAXIMUM), [b"x" * MAXIMUM]),
    "fragments as large as a message may be": (
        fragments(b"x" * (MAXIMUM - 10), b"x" * 10),
        [b"x" * MAXIMUM],
    ),
    "a size that takes more bytes than it must": (
        b"\x81\x7e\x00\x01x\x81\x7f" + bytes(7) + b"\x01y",
        [b"x", b"y"],
    ),
    "nothing, with its size in two bytes": (b"\x81\x7e\x00\x00", [b""]),
    "nothing, with its size in eight bytes": (b"\x81\x7f" + bytes(8), [b""]),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 4_096, None])
@pytest.mark.parametrize("case", WHOLE)
def test_any_split_gives_the_same_messages(case: str, size: int | None) -> None:
    """Frames of every size, fragments and control frames among them, give their messages in any split."""
    data, expected = WHOLE[case]
    read = reader()

    assert feed(read, data, size) == expected
    assert (read.failure, read.unread, read.partial) == (None, 0, 0)


TOO_LARGE = (
    StreamCorruptError,
    "An event of the stream is larger than 200,000 bytes.",
    CloseCode.MESSAGE_TOO_BIG,
)
BROKEN = (DisconnectError, f"{ORIGIN} broke the protocol.", CloseCode.PROTOCOL_ERROR)
NOT_TEXT = (DisconnectError, f"{ORIGIN} sent a binary message.", CloseCode.PROTOCOL_ERROR)


def closed(said: str, code: int | None) -> tuple[type[OnplanError], str, int | None]:
    return DisconnectError, f"{ORIGIN} closed the connection{said}.", code


FAILURES: dict[str, tuple[bytes, tuple[type[OnplanError], str, int | None]]] = {
    "a message that is too large, announced": (b"\x81\x7f" + (MAXIMUM + 1).to_bytes(8, "big"), TOO_LARGE),
    "a message that is too large, whole": (
        b"\x81\x7f" + (MAXIMUM + 1).to_bytes(8, "big") + b"x" * (MAXIMUM + 1),
        TOO_LARGE,
    ),
    "the largest number": (b"\x81\x7f" + b"\xff" * 8, TOO_LARGE),
    "the largest number that has a sign": (b"\x81\x7f\x7f" + b"\xff" * 7, TOO_LARGE),
    "fragments that are too large together": (
        fragments(b"x" * MAXIMUM, b"x")[: MAXIMUM + 10] + b"\x00\x01",
        TOO_LARGE,
    ),
    "a fragment that is too large, announced": (b"\x01\x7f" + (MAXIMUM + 1).to_bytes(8, "big"), TOO_LARGE),
    "a masked text": (b"\x81\x82abcd", BROKEN),
    "a masked text of 126 bytes": (b"\x81\xfe", BROKEN),
    "a masked ping": (b"\x89\x80", BROKEN),
    "a ping of 126 bytes": (b"\x89\x7e\x00\x7e", BROKEN),
    "a pong whose size is very large": (b"\x8a\x7f" + b"\xff" * 8, BROKEN),
    "a close frame of 126 bytes": (b"\x88\x7e\x00\x7e", BROKEN),
    "a ping in fragments": (b"\x09\x01", BROKEN),
    "a close frame in fragments": (b"\x08\x00", BROKEN),
    "compressed, although nothing is": (b"\xc1\x02", BROKEN),
    "the second reserved bit": (b"\xa1\x00", BROKEN),
    "the third reserved bit": (b"\x91\x00", BROKEN),
    "a reserved opcode": (b"\x83\x00", BROKEN),
    "a reserved control opcode": (b"\x8b\x00", BROKEN),
    "a continuation of nothing": (b"\x00\x01", BROKEN),
    "an end of nothing": (b"\x80\x01", BROKEN),
    "a text within a fragmented one": (b"\x01\x01{\x81\x02{}", BROKEN),
    "a beginning within a fragmented one": (b"\x01\x01{\x01\x01{", BROKEN),
    "a binary message": (frames.encode(BINARY, b"{}"), NOT_TEXT),
    "a binary message that is announced": (b"\x82\x7f\x00\x00\x00\x00\xff\xff\xff\xff", NOT_TEXT),
    "a binary message in fragments": (b"\x02\x01", NOT_TEXT),
    "a close frame of one byte": (b"\x88\x01x", BROKEN),
    "a reason that is no text": (b"\x88\x04\x03\xe8\xff\xff", (*BROKEN[:2], CloseCode.INVALID_DATA)),
    **{
        f"closed with {code}": (frames.close(code), BROKEN)
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535)
    },
    "closed without a code": (b"\x88\x00", closed("", CloseCode.NO_STATUS_RCVD)),
    **{
        f"closed with {code}": (frames.close(code, "because"), closed(f" ({code}: because)", code))
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4000, 4999)
    },
    "closed without a reason": (frames.close(1000), closed(" (1000)", 1000)),
    "a reason that would not be printed": (frames.close(1000, "a\x1b[2J\nb"), closed(" (1000: a[2Jb)", 1000)),
    "closed in the middle of a message": (b"\x01\x01{" + frames.close(1001), closed(" (1001)", 1001)),
}


@pytest.mark.parametrize("size", [1, 3, None])
@pytest.mark.parametrize("case", FAILURES)
def test_what_ends_the_messages(case: str, size: int | None) -> None:
    """A frame that may not come is a failure as soon as its head says so; what came before it is kept."""
    data, (kind, sentence, answer) = FAILURES[case]
    read = reader()
    before = frames.encode(TEXT, b"before")

    messages = feed(read, before + data + frames.encode(TEXT, b"after"), size)

    assert messages == [b"before"]
    assert (type(read.failure), str(read.failure)) == (kind, sentence)
    sent = read._protocol.close_sent
    assert sent
    assert sent.code == answer


@pytest.mark.parametrize("code", [1000, 1008, 1009, 4000])
def test_the_close_code_is_part_of_the_failure(code: int) -> None:
    """The failure of a close frame with a code has it as ``close_code``; one without has none."""
    read, none = reader(), reader()
    feed(read, frames.close(code, "x"))
    feed(none, b"\x88\x00")

    assert isinstance(read.failure, DisconnectError)
    assert isinstance(none.failure, DisconnectError)
    assert (read.failure.close_code, none.failure.close_code) == (code, None)


def test_the_latest_ping_is_answered() -> None:
    """Of many pings the payload of the last one is kept; pongs are of no interest."""
    read = reader()
    feed(read, b"".join(frames.encode(PING, str(number).encode()) for number in range(1_000)))

    assert read.ping == b"999"


def test_only_what_can_be_delivered_is_unread() -> None:
    """Messages that wait count with their size; fragments and control frames do not count."""
    read = reader()
    assert read.unread == 0
    read.feed(frames.encode(TEXT, b"x" * 1_000) + CONTROL * 1_000)
    first = read.unread
    read.feed(frames.encode(TEXT, b"y" * 50_000, final=False))
    second, partial = read.unread, read.partial
    read.feed(frames.encode(CONTINUATION, b"z" * 10))

    assert 1_000 <= first == second < 1_100
    assert partial == 50_000
    assert 51_010 <= read.unread < 51_110
    assert (read.take(), read.unread) == ([b"x" * 1_000, b"y" * 50_000 + b"z" * 10], 0)


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["empty", "one byte"])
def test_many_fragments_are_no_more_work_each_than_few(piece: bytes) -> None:
    """A million fragments, which come byte by byte or together, are one message."""
    count = 1_000_000
    middle = frames.encode(CONTINUATION, piece, final=False)
    data = b"\x01\x00" + middle * count + b"\x80\x00"
    together, apart = reader(2 * count), reader(2 * count)

    assert feed(together, data, 65_536) == [piece * count]
    assert feed(apart, data, 1) == [piece * count]


def test_a_large_frame_may_come_byte_by_byte() -> None:
    """A frame of megabytes in reads of one byte is put together once."""
    payload = b"x" * 3_000_000

    assert feed(reader(len(payload)), frames.encode(TEXT, payload), 1) == [payload]


FRAMES = st.one_of(
    st.tuples(
        st.sampled_from([TEXT, CONTINUATION]), st.sampled_from([0, 1, 5, 125, 126, 300]), st.booleans()
    ),
    st.tuples(st.sampled_from([PING, PONG]), st.sampled_from([0, 3, 125]), st.just(True)),
).map(lambda frame: frames.encode(frame[0], b"x" * frame[1], final=frame[2]))
DAMAGE = st.tuples(st.integers(0, 2_000), st.integers(0, 255))


@given(
    st.lists(FRAMES, max_size=12),
    st.lists(DAMAGE, max_size=3),
    st.lists(st.integers(0, 2_000), max_size=6),
)
def test_damaged_bytes_are_messages_or_a_failure(
    encoded: list[bytes], damages: list[tuple[int, int]], cuts: list[int]
) -> None:
    """Whatever the bytes are, nothing is raised, and any split gives the same messages and failure."""
    data = bytearray(b"".join(encoded))
    for position, value in damages:
        if position < len(data):
            data[position] = value
    whole, split = reader(1_000), reader(1_000)
    messages = feed(whole, bytes(data))
    pieces = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    parts = [part for start, end in pairwise(pieces) for part in feed(split, bytes(data[start:end]))]

    assert parts == messages
    assert (repr(split.failure), split.ping) == (repr(whole.failure), whole.ping)
    assert all(len(message) <= 1_000 for message in messages)
