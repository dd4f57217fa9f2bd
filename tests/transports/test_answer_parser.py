"""Answers over HTTP/1.1 as bytes: what belongs to one, where it ends, and what is none. Tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.transports import answer_parser
from onplan.transports.answer_parser import AnswerParser, BadAnswerError

from ..amount_of_work import bytes_allocated

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


@dataclass
class Case:
    """Bytes, and what they come to.

    Attributes:
        body: None where there is no answer.
        reason: why the answer is not whole, if the connection ends after these bytes.
        keeps_open: whether the connection can be used again, as long as it does not end.
    """

    said: bytes
    body: bytes | None = b""
    status: int = 200
    reason: str | None = None
    keeps_open: bool = False
    method: str = "POST"


CASES = {
    "with a length": Case(OK + b"content-length: 2\r\n\r\nab", b"ab", keeps_open=True),
    "empty": Case(OK + b"content-length: 0\r\n\r\n", keeps_open=True),
    "in chunks": Case(CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nt: u\r\n\r\n", b"abc", keeps_open=True),
    "until the end of the connection": Case(OK + b"\r\nab", b"ab"),
    "without a coding": Case(OK + b"transfer-encoding: identity\r\n\r\nab", b"ab"),
    "in chunks, said loudly": Case(
        OK + b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n", b"a", keeps_open=True
    ),
    "of HTTP/1.0": Case(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", b"a"),
    "of HTTP/1.0, kept open": Case(
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", b"a", keeps_open=True
    ),
    "the last one": Case(OK + b"connection: close\r\ncontent-length: 1\r\n\r\na", b"a"),
    "no content": Case(b"HTTP/1.1 204 No\r\n\r\n", status=204, keeps_open=True),
    "not modified": Case(b"HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n", status=304, keeps_open=True),
    "to HEAD": Case(OK + b"content-length: 5\r\n\r\n", method="HEAD"),
    "to HEAD, with a body": Case(OK + b"content-length: 5\r\n\r\nabcde", method="HEAD"),
    "after informational responses": Case(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"
        + OK
        + b"content-length: 1\r\n\r\na",
        b"a",
        keeps_open=True,
    ),
    "after an informational response with a body": Case(
        b"HTTP/1.1 104 X\r\ncontent-length: 1\r\n\r\nb" + OK + b"content-length: 1\r\n\r\na",
        b"a",
        keeps_open=True,
    ),
    "with line feeds alone": Case(b"HTTP/1.1 200 OK\ncontent-length: 1\n\na", b"a", keeps_open=True),
    "with a folded header": Case(OK + b"x: a\r\n b\r\ncontent-length: 1\r\n\r\na", b"a", keeps_open=True),
    "without a reason": Case(b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na", b"a", keeps_open=True),
    "that offers another protocol": Case(
        OK + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 1\r\n\r\na", b"a", keeps_open=True
    ),
    # What follows an answer takes nothing from it, but the connection is out of step.
    "with another one behind it": Case(OK + b"content-length: 1\r\n\r\na" + OK + b"\r\nb", b"a"),
    "with bytes behind it": Case(OK + b"content-length: 1\r\n\r\nabc", b"a"),
    "in chunks, with bytes behind it": Case(CHUNKED + b"1\r\na\r\n0\r\n\r\nxyz", b"a"),
    "the last one, with bytes behind it": Case(
        OK + b"connection: close\r\ncontent-length: 1\r\n\r\nabc", b"a"
    ),
    # What is cut off.
    "shorter than its length": Case(OK + b"content-length: 3\r\n\r\nab", b"ab", reason="in the middle of"),
    "cut in a chunk": Case(CHUNKED + b"3\r\nab", b"ab", reason="in the middle of"),
    "cut between chunks": Case(CHUNKED + b"2\r\nab\r\n", b"ab", reason="in the middle of"),
    "cut in the trailer section": Case(CHUNKED + b"2\r\nab\r\n0\r\n", b"ab", reason="in the middle of"),
    "cut in its head": Case(OK + b"content-le", None, reason="closed before the answer"),
    "not there": Case(b"", None, reason="closed before the answer"),
    "only informational": Case(b"HTTP/1.1 100 Continue\r\n\r\n", None, reason="closed before the answer"),
}

GARBAGE = {
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
    "another version": (b"HTTP/2 200\r\n\r\n", "not HTTP"),
    "no number": (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
    "too small a number": (b"HTTP/1.1 099 X\r\n\r\n", "not HTTP"),
    "no name of a header": (OK + b": x\r\n\r\n", "not HTTP"),
    "two lengths": (OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", "not HTTP"),
    "a length that is none": (OK + b"content-length: -1\r\n\r\n", "not HTTP"),
    "a length beyond all numbers": (OK + b"content-length: 99999999999999999999999\r\n\r\n", "not HTTP"),
    "a length and chunks": (OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n", "not HTTP"),
    "a size that is none": (CHUNKED + b"zz\r\n", "not HTTP"),
    "a chunk longer than its size": (CHUNKED + b"1\r\nabc\r\n", "not HTTP"),
    "another coding": (OK + b"transfer-encoding: gzip, chunked\r\n\r\n", "transfer encoding 'gzip, chunked'"),
    "two codings": (
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        "transfer encoding 'chunked, chunked'",
    ),
    "a change of protocol": (
        b"HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nab",
        "changed",
    ),
}


def fed(answer: AnswerParser, data: bytes, cuts: list[int]) -> AnswerParser:
    """``answer`` after ``data``, cut there."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        answer.feed(data[start:end])
    return answer


CUTS = st.lists(st.integers(0, 400), max_size=8)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@given(cuts=CUTS)
def test_what_bytes_come_to(case: Case, cuts: list[int]) -> None:
    """Wherever they are cut, the same answer, or the same lack of one when the connection ends."""
    answer = fed(AnswerParser(case.method), case.said, cuts)
    kept = answer.keeps_open and answer.is_complete
    if case.reason:
        with pytest.raises(BadAnswerError, match=case.reason):
            answer.close()
    else:
        answer.close()

    assert (answer.head.status if answer.head else None) == (None if case.body is None else case.status)
    assert answer.take() == (case.body or b"")
    assert kept == case.keeps_open
    assert answer.is_complete == (case.reason is None)


@pytest.mark.parametrize(("said", "reason"), GARBAGE.values(), ids=GARBAGE)
@given(cuts=CUTS)
def test_what_is_no_answer(said: bytes, reason: str, cuts: list[int]) -> None:
    """It is an error as soon as it can be seen, not at the end of the connection."""
    with pytest.raises(BadAnswerError, match=reason):
        fed(AnswerParser("POST"), said, cuts)


def test_what_precedes_the_damage_is_kept() -> None:
    """The body up to the damage is there, also if both come together."""
    answer = AnswerParser("POST")
    with pytest.raises(BadAnswerError):
        answer.feed(CHUNKED + b"2\r\nab\r\nzz")

    assert answer.take() == b"ab"


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_are_an_answer_or_an_error(data: bytes, cuts: list[int]) -> None:
    """Nothing else comes of them than a body or a BadAnswerError."""
    for before in (b"", OK, CHUNKED):
        answer = AnswerParser("GET")
        try:
            fed(answer, before + data, cuts)
            answer.close()
        except BadAnswerError:
            continue
        assert answer.is_complete
        assert answer.head


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK, b"x: y\r\n"),
        (OK + b"x: ", b"y"),
        (CHUNKED + b"5;", b"x"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"x: y\r\n"),
        (CHUNKED + b"1\r\na\r\n0\r\nx: ", b"y"),
    ],
)
def test_what_surrounds_a_body_has_an_end(first: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads, extensions and trailers that never end are given up, however they are cut."""
    monkeypatch.setattr(answer_parser, "MOST_AROUND_BODY", 10_000)
    answer = AnswerParser("POST")
    answer.feed(first)

    def go_on() -> None:
        for _ in range(10_000 // len(more) + 2):
            answer.feed(more)

    with pytest.raises(BadAnswerError, match="too long"):
        go_on()


def test_a_long_body_of_small_chunks_is_no_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what comes without a byte of the body counts."""
    monkeypatch.setattr(answer_parser, "MOST_AROUND_BODY", 100)
    answer = AnswerParser("POST")
    answer.feed(CHUNKED)
    for _ in range(200):
        answer.feed(b"1\r\na\r\n")
    answer.feed(b"0\r\n\r\n")

    assert answer.take() == b"a" * 200
    assert answer.is_complete


def test_many_headers_of_one_name_cost_no_more_than_others() -> None:
    """Four times as many take four times the work, not sixteen times."""

    def work(count: int) -> int:
        said = OK + b"x: y\r\n" * count + b"content-length: 0\r\n\r\n"
        return bytes_allocated(lambda: AnswerParser("POST").feed(said))

    assert work(8_000) < 6 * work(2_000)


def test_headers() -> None:
    """Names are in lower case; what is said twice is joined; the trailer section says nothing."""
    answer = AnswerParser("POST")
    answer.feed(CHUNKED.replace(b"\r\n\r\n", b"\r\nX-A: 1\r\nx-a: \xe9\r\n\r\n") + b"0\r\nx-b: 3\r\n\r\n")

    assert answer.head
    assert answer.head.headers == {"transfer-encoding": "chunked", "x-a": "1, \u00e9"}
