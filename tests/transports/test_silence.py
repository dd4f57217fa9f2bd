"""A stream on which nothing comes but comments: when it counts as silent, with times that are values."""

from __future__ import annotations

import pytest

from onplan.errors import IdleTimeoutError
from onplan.transports.silence import Silence

IDLE = 10.0


def is_silent(*reads: bytes, last: float = IDLE + 1) -> bool:
    """Whether the last of the reads, at `last`, ends a stream whose other reads came at 0."""
    silence = Silence(IDLE, "https://h.example")
    for data in reads[:-1]:
        silence.check(data, 0.0)
    try:
        silence.check(reads[-1], last)
    except IdleTimeoutError:
        return True
    return False


PING = b": keep-alive\n\n"


@pytest.mark.parametrize(
    ("last", "silent"), [(0.0, False), (IDLE, False), (IDLE + 0.1, True), (1000.0, True)], ids=str
)
def test_comments_may_come_for_as_long_as_a_silence(last: float, silent: bool) -> None:
    """The time counts from the first comment; at the limit itself it is not over."""
    assert is_silent(PING, PING, last=last) is silent


def test_the_first_read_is_the_beginning() -> None:
    """However late the first comes, the time counts from there; so it does after an event."""
    silence = Silence(IDLE, "https://h.example")
    silence.check(PING, 1000.0)
    silence.check(PING, 1000.0 + IDLE)
    silence.end()
    silence.check(PING, 2000.0)

    with pytest.raises(IdleTimeoutError, match=r"h\.example sent only keep-alive messages for 10 seconds"):
        silence.check(PING, 2000.0 + IDLE + 0.1)


NO_CONTENT = {
    "a comment": [b":\n"],
    "an empty line": [b"\n"],
    "nothing": [b""],
    "the event's name": [b"event: ping\n"],
    "an id": [b"id: 7\n"],
    "a wait": [b"retry: 1000\n"],
    "returns": [b": a\r\r\n"],
    "a comment that speaks of data": [b": data\n"],
    "its end": [b": da", b"ta: x"],
    "a line that ends like one": [b"metadata: x\n"],
    "the rest of another line": [b"event: d", b"data: x"],
    "a field that begins alike": [b"date: x\n"],
    "the end of a line of data": [b"data: x", b"\n: ping\n"],
    "spaces": [b"   \n"],
}
CONTENT = {
    "data": [b"data: x"],
    "data without a space": [b"data:x\n"],
    "a beginning of it": [b"d"],
    "more of a beginning": [b"dat"],
    "behind a comment": [b": ping\ndata: x"],
    "before a comment": [b"data: x\n: ping\n"],
    "in the midst": [b": a\ndata: x\n: b"],
    "behind a return": [b": ping\rdata: x"],
    "the rest of its line": [b": a\nda", b"ta: x"],
    "the rest of its line, and another": [b"data: ", b"x\n: ping\n"],
    "JSON": [b'{"error": "x"}'],
    "JSON further in": [b'  {"error": "x"}'],
    "JSON behind a mark": [b"\xef\xbb\xbf{"],
    "data after the end of another line": [b": a", b" comment\ndata: x"],
    "data after a line of its own": [b"data: x\n", b"data: y"],
}


@pytest.mark.parametrize("reads", NO_CONTENT.values(), ids=NO_CONTENT)
def test_what_leads_to_no_event(reads: list[bytes]) -> None:
    """Comments, other fields and empty lines are silence, however they are cut."""
    assert is_silent(PING, *reads)


@pytest.mark.parametrize("reads", CONTENT.values(), ids=CONTENT)
def test_what_belongs_to_an_event(reads: list[bytes]) -> None:
    """A `data:` line, or JSON instead of events, is none, however it is cut."""
    assert not is_silent(PING, *reads)


def test_the_rest_of_a_first_line() -> None:
    """A stream may begin in the midst of nothing: its first line is judged like any other."""
    assert is_silent(b": a", b" b")
    assert not is_silent(b"da", b"ta: x")


def test_after_an_end_of_line_another_line_begins() -> None:
    """What followed in the same line as data is data; in the next line it is judged anew."""
    assert is_silent(PING, b"data: x\n", b": ping")
    assert is_silent(PING, b"data: x\n", b"id: 7")
    assert not is_silent(PING, b"id: 7\n", b"data: x")
