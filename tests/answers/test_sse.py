from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.answers.sse import MAXIMUM_EVENT_LINES, Body, EventDecoder
from onplan.errors import StreamCorruptError, StreamTruncatedError


@dataclass
class Case:
    id: str
    stream: bytes
    payloads: list[bytes]


CASES = [
    Case("nothing", b"", []),
    Case("LF", b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    Case("CR", b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    Case("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    Case("CRLF, several lines", b"event: x\r\ndata: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
    Case("mixed line ends", b"data: a\r\n\rdata: b\n\r\ndata: c\r\rdata: d\n\n", [b"a", b"b", b"c", b"d"]),
    Case("CR then a line that begins with LF's letter", b"data: a\rdata: n\r\r", [b"a\nn"]),
    Case("blank lines between", b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [b"a", b"b"]),
    Case("byte order mark", b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"a", b"b"]),
    Case("byte order mark, no end", b"\xef\xbb\xbfdata: a\n", [b"a"]),
    Case("byte order mark later on", b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", [b"a", b"c"]),
    Case("event line", b"event: response.created\ndata: {}\n\n", [b"{}"]),
    Case("event line that mentions data", b"event: data: x\n\nevent: data: x\ndata: y\n\n", [b"y"]),
    Case("id and retry", b"id: 1\nretry: 5\ndata: a\nid: 2\n\n", [b"a"]),
    Case("comments", b": hello\n\n:\ndata: a\n: in between\ndata: b\n\n: data: no\n\n", [b"a\nb"]),
    Case("several data lines", b"data: a\ndata: b\ndata:\ndata: c\n\n", [b"a\nb\n\nc"]),
    Case("no space", b"data:a\n\nevent:x\ndata:b\n\n", [b"a", b"b"]),
    Case("two spaces", b"data:  a\n\n", [b" a"]),
    Case("two spaces, several lines", b"data:  a\ndata:  b\n\n", [b" a\n b"]),
    Case("no colon", b"data\n\n", [b""]),
    Case("a longer name", b": hi\ndatabase: a\n\n data: b\n\nDATA: c\n\n", []),
    Case("data inside data", b"data: data: a\n\ndata: x data: y\n\n", [b"data: a", b"x data: y"]),
    Case("UTF-8", "data: é 鸟 🐦\n\n".encode(), ["é 鸟 🐦".encode()]),
    Case(
        "line ends of Unicode alone",
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei".encode()],
    ),
    Case("end of the chat protocol", b"data: {}\n\ndata: [DONE]\n\n", [b"{}", b"[DONE]"]),
    Case("no blank line at the end", b"data: a\n\ndata: b\n", [b"a", b"b"]),
    Case("no blank line at the end, CR", b"data: a\r\rdata: b\r", [b"a", b"b"]),
    Case("no blank line at the end, CRLF", b"data: a\r\n\r\ndata: b\r\n", [b"a", b"b"]),
    Case("ends in a comment", b"data: a\n\n: keep-al", [b"a"]),
]


def decoded(pieces):
    decoder = EventDecoder()
    return feed_all(decoder, pieces) + decoder.close()


def feed_all(decoder, pieces):
    return [payload for piece in pieces for payload in decoder.feed(piece)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
class TestDecoding:
    def test_whole(self, case):
        """A stream that comes in one piece gives its payloads."""
        assert case.payloads == decoded([case.stream])

    def test_byte_by_byte(self, case):
        """A stream that comes byte by byte, with empty reads between, gives the same payloads."""
        pieces = [piece for byte in case.stream for piece in (bytes([byte]), b"")]

        assert case.payloads == decoded(pieces)


@settings(max_examples=300, deadline=None)
@given(case=st.sampled_from(CASES), data=st.data())
def test_any_cuts(case, data):
    """A stream that is cut anywhere gives the same payloads."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(case.stream)), max_size=8)))
    pieces = [case.stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(case.stream)], strict=True)]

    assert case.payloads == decoded(pieces)


def by_the_book(text):
    """The payloads as WHATWG HTML §9.2.6 has them: line by line."""
    payloads, data = [], []
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        if not line:
            payloads += [b"\n".join(data)] if data else []
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return payloads


LINES = st.sampled_from(
    [
        b"event: a\ndata: {1}",
        b"event: a\ndata: {2}",
        b"data: {3}",
        b"event: a",
        b"xevent: a\ndata: {4}",
        b"data: 5",
        b"data: the event: 9\ndata: 10",
        b": data: 6",
        b"",
        b"id: 7",
        b"data:",
        b"event:a\ndata:8",
    ]
)


@given(lines=st.lists(LINES, max_size=12))
def test_whatever_the_lines_are(lines):
    """However usual and unusual events are mixed, their data is what the standard says, line by line."""
    text = b"".join(line + b"\n" for line in lines) + b"\n"

    assert by_the_book(text) == EventDecoder().feed(text)


LONG = st.sampled_from([9, 9, 9, 1])  # lines of a block that are there; the last one is blank
LINE_ENDS = st.sampled_from([b"\n", b"\n", b"\r", b"\r\n"])
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@given(lines=st.lists(LINES, max_size=8), mark=st.sampled_from([b"", BYTE_ORDER_MARK]), data=st.data())
def test_whatever_ends_the_lines(lines, mark, data):
    """Each line may end in its own way, and a read anywhere; some reads bring nothing."""
    ended = [
        line + data.draw(LINE_ENDS)
        for block in lines
        for line in [*block.split(b"\n"), b""][: data.draw(LONG)]
    ]
    cuts = data.draw(st.lists(st.integers(0, len(ended)), max_size=4).map(sorted))
    reads = [b"".join(ended[a:b]) for a, b in zip([0, *cuts], [*cuts, len(ended)], strict=True)]
    text = b"".join(ended).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    reads[0] = mark + b": a stream\n" + reads[0]  # whatever else its lines are

    assert by_the_book(text + b"\n") == decoded([b"", *reads, b"\n\n"])


def test_an_event_is_handed_over_as_soon_as_its_blank_line_is_there():
    """The last byte of an event's blank line hands the event over, whichever line ends are used."""
    for end in (b"\n\n", b"\r\r", b"\r\n\r"):  # the LF of a last CRLF is not waited for
        assert [b"a"] == EventDecoder().feed(b"data: a" + end)
    for end, rest in ((b"\n", b""), (b"", b"\ndata: b")):
        decoder = EventDecoder()
        assert feed_all(decoder, [b"data: a" + end, b"\n" * (2 - len(end)) + rest]) == [b"a"]


def test_line_ends_may_change_between_reads():
    """A read of whole events after another one is no quicker than its line ends permit."""
    decoder = EventDecoder()

    assert feed_all(decoder, [b"data: 1\n\n", b"data: a\r\ndata: b\n\n", b"data: c\rdata: d\n\n"]) == [
        b"1",
        b"a\nb",
        b"c\nd",
    ]


def test_what_was_handed_over_is_not_handed_over_again():
    """The end of a stream may be told twice: the second time nothing is left."""
    decoder = EventDecoder()
    decoder.feed(b"data: [DONE]\n")

    assert (decoder.close(), decoder.close()) == ([b"[DONE]"], [])


@pytest.mark.parametrize(
    "cut",
    [
        b"data: a",
        b"data: a\n\ndata: {",
        b"dat",
        b"event: response.comp",
        b"event: x\ndata: a",
        b"data: a\ndata: b",
        b": keep-alive\ndata: {",
        b"\xef\xbb\xbfdata: a",
        b"data: a\n\nOllama is running",
    ],
    ids=repr,
)
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte by byte"])
def test_a_stream_cut_in_the_middle_of_a_line_is_an_error(cut, bytewise):
    """What was cut off in the middle of a line is never handed over as an event."""
    decoder = EventDecoder()
    for piece in [bytes([byte]) for byte in cut] if bytewise else [cut]:
        decoder.feed(piece)

    with pytest.raises(StreamTruncatedError):
        decoder.close()


class TestSize:
    def test_an_event_that_grows_beyond_the_maximum_is_an_error(self):
        """A line that never ends is refused, instead of filling the memory."""
        decoder = EventDecoder(maximum_event_size=100)

        with pytest.raises(StreamCorruptError, match="larger than 100 bytes"):
            feed_all(decoder, [b"x" * 10] * 20)

    def test_the_largest_event_is_none(self):
        """The limit itself is permitted, one byte more is not."""
        decoder = EventDecoder(maximum_event_size=100)

        assert feed_all(decoder, [b"data: " + b"x" * 94, b"\n\n"]) == [b"x" * 94]
        decoder.feed(b"data: " + b"x" * 95)
        with pytest.raises(StreamCorruptError, match="larger than 100 bytes"):
            decoder.feed(b"\n\n")

    def test_lines_without_a_blank_line_count_together(self):
        """Many short lines of one event are refused like one long line."""
        decoder = EventDecoder(maximum_event_size=100)

        with pytest.raises(StreamCorruptError):
            feed_all(decoder, [b"data: x\n"] * 20)

    def test_events_before_it_are_handed_over_first(self):
        """What was complete before the event that is too large is not lost with it."""
        decoder = EventDecoder(maximum_event_size=10)

        assert [b"a"] == decoder.feed(b"data: a\n\ndata: " + b"x" * 50)
        with pytest.raises(StreamCorruptError):
            decoder.close()

    def test_a_long_stream_of_short_events_is_no_long_event(self):
        """The limit is an event's, not the stream's."""
        decoder = EventDecoder(maximum_event_size=100)

        assert 1000 == sum(len(decoder.feed(b"data: x\n\n")) for _ in range(1000))

    def test_comments_without_end_are_an_error(self):
        """Bytes that hold no event are counted together, however they are cut into reads."""
        decoder = EventDecoder(maximum_event_size=100)

        with pytest.raises(StreamCorruptError, match="held no event"):
            feed_all(decoder, [b": wait\n\n"] * 20)

    def test_as_many_of_them_as_an_event_may_have_are_none(self):
        """The limit itself is permitted, one byte more is not; an event in between does not change that."""
        decoder = EventDecoder(maximum_event_size=100)
        feed_all(decoder, [b":" * 48 + b"\n\n", b"data: x\n\n", b":" * 48 + b"\n\n", b"data: y\n\n"])
        decoder.feed(b"\n\n")

        with pytest.raises(StreamCorruptError, match="held no event"):
            decoder.feed(b"data: z\n\n")

    def test_many_lines_of_short_events_are_no_long_event(self):
        """The limit of lines is an event's: a read of many whole events gives them all."""
        events = MAXIMUM_EVENT_LINES // 2 + 1

        assert [b"x"] * events == EventDecoder().feed(b"data: x\n\n" * events + b"data: y\n")

    @pytest.mark.parametrize("earlier", [b"", b"data: 0\n\n"], ids=["first read", "later read"])
    def test_an_event_of_too_many_lines_is_an_error_after_those_before_it(self, earlier):
        """The events before it in the same read are returned, and the next call raises."""
        decoder = EventDecoder()
        decoder.feed(earlier)

        assert [b"1"] == decoder.feed(b"data: 1\n\n" + b"data:\n" * (MAXIMUM_EVENT_LINES + 1) + b"\n")
        with pytest.raises(StreamCorruptError, match="100,000 lines"):
            decoder.close()

    def test_so_is_one_without_its_end(self):
        """The last event counts, too, when no blank line follows it."""
        decoder = EventDecoder()
        decoder.feed(b"data:\n" * MAXIMUM_EVENT_LINES)

        with pytest.raises(StreamCorruptError, match="100,000 lines"):
            decoder.close()
        assert len(EventDecoder().feed(b"data:\n" * MAXIMUM_EVENT_LINES + b"\n")) == 1


# --- what servers say outside the data of an event ------------------------------------------------------

FAILED = b'{"type":"error","error":{"message":"no","code":7}}'
ERRORS = [
    Case("llama.cpp's own field", b'error: {"message":"no","code":7}\n\n', [FAILED]),
    Case(
        "the same, then the end", b'error: {"message":"no","code":7}\n\ndata: [DONE]\n\n', [FAILED, b"[DONE]"]
    ),
    Case("the same beside data", b'data: 1\nerror: {"message":"no","code":7}\n\n', [FAILED, b"1"]),
    Case("the same in words", b"error: no\n\n", [b'{"type":"error","error":"no"}']),
    Case("an event named error", b'event: error\ndata: {"message":"no","code":7}\n\n', [FAILED]),
    Case("the same without a space", b'event:error\ndata:{"message":"no","code":7}\n\n', [FAILED]),
    Case(
        "the same in words",
        b"event: error\ndata: it\ndata: broke\n\n",
        [b'{"type":"error","error":"it\\nbroke"}'],
    ),
    Case(
        "an error event that is one",
        b'event: error\ndata: {"type":"error","code":7}\n\n',
        [b'{"type":"error","code":7}'],
    ),
    Case(
        "an error that is called so",
        b'event: error\ndata: {"error":{"code":7}}\n\n',
        [b'{"error":{"code":7}}'],
    ),
    Case(
        "an error and the end without a blank line",
        b'event: error\ndata: {"error":{}}\ndata: [DONE]\n\n',
        [b'{"error":{}}', b"[DONE]"],
    ),
    Case(
        "an error without its object, and the end without a blank line",
        b'event: error\ndata: {"message":"no","code":7}\ndata: [DONE]\n\n',
        [FAILED, b"[DONE]"],
    ),
    Case("an event of that name without data", b"event: error\n\ndata: 1\n\n", [b"1"]),
    Case("bytes that are no text", b"error: \xff\n\n", ['{"type":"error","error":"\ufffd"}'.encode()]),
    Case("the end of a body", b"error: no", [b'{"type":"error","error":"no"}']),
    Case(
        "among usual events",
        b'event: a\ndata: 1\n\nevent: error\ndata: {"message":"no","code":7}\n\nevent: a\ndata: 2\n\n',
        [b"1", FAILED, b"2"],
    ),
    Case("a name that begins so", b"event: error.x\ndata: 1\n\nevent: errors\ndata: 2\n\n", [b"1", b"2"]),
    Case(
        "JSON without a field name", b'data: 1\n\n{"error":{}}\n\ndata: 2\n\n', [b"1", b'{"error":{}}', b"2"]
    ),
    Case("the same, indented", b'data: 1\n\n {"error":{}}\n\n', [b"1", b' {"error":{}}']),
    Case("the same at the end", b'data: 1\n\n{"error":{}}', [b"1", b'{"error":{}}']),
    Case("the same, no JSON", b"data: 1\n\n{oops}\n\n", [b"1"]),
    Case(
        "blank lines that are missing",
        b'data: {"a":1}\ndata: {"a":2}\ndata: [DONE]\n\n',
        [b'{"a":1}', b'{"a":2}', b"[DONE]"],
    ),
    Case("a line of JSON each", b'data: 1\n\n{"a":1}\n{"a":2}\n\n', [b"1", b'{"a":1}', b'{"a":2}']),
    Case("JSON without a field name, printed", b'data: 1\n\n{\n"a":1\n}\n\n', [b"1", b'{\n"a":1\n}']),
    Case("JSON over several lines", b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.id)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_failure_told_beside_the_data_is_handed_over(case, end):
    """Whole or byte by byte, whatever ends its lines: as the payload of an error event."""
    stream = case.stream.replace(b"\n", end)

    assert case.payloads == decoded([stream])
    assert case.payloads == decoded([bytes([byte]) for byte in stream])


# --- bodies that are not streams ------------------------------------------------------------------------

BODIES = [
    b'{"a": 1}',
    b' \r\n {"a":\n\n 1}\n',
    b"\xef\xbb\xbf{}",
    b'[{"error": {}}]',
    b"[ \n [1]]",
    b'\xef\xbb\xbf{"a": "' + b"x" * 3_000 + b'"}',
    b' [{"a": "' + b"x" * 3_000 + b'"}]',
    b"\xef\xbb\xbf \n [ {} ]",
    b"Ollama is running",
    b"no healthy upstream\n",
    b"Error: no\n\nSee the log.\n\n",
    b"<html>\n\n</html>\n\n",
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:40])
def test_a_body_that_is_no_stream_is_handed_over_whole(body):
    """One JSON object or list, or a text, is one payload, and says that it is a body."""
    later = [] if BYTE_ORDER_MARK in body else [[b"\n\n", body + b"\n\n"]]
    for pieces in ([body], [bytes([byte]) for byte in body], *later):
        (payload,) = decoded(pieces)

        assert isinstance(payload, Body)
        assert payload.strip() == body.removeprefix(BYTE_ORDER_MARK).strip()


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b'{"error": 1}\ndata: [DONE]\n\n', [b'{"error": 1}', b"[DONE]"]),
        (b'{"error": 1}\n\ndata: [DONE]\n\n', [b'{"error": 1}', b"[DONE]"]),
        (b'{"error": 1}\ndata: {}\n\ndata: [DONE]\n\n', [b'{"error": 1}', b"{}", b"[DONE]"]),
    ],
)
def test_json_before_the_events_is_an_event(stream, payloads, end):
    """A line of JSON that a stream begins with is handed over, and so are the events after it."""
    for pieces in ([stream], [bytes([byte]) for byte in stream]):
        found = decoded([piece.replace(b"\n", end) for piece in pieces])

        assert payloads == found
        assert not any(isinstance(payload, Body) for payload in found)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\n\n",
        b": hi\n",
        b"event: x\n\n",
        b"id: 1\n",
        b"retry: 5\n\n",
        b"foo: 1\n: hi\n\n",
        b"  \n \t\n",
        b"\xef\xbb\xbf",
    ],
)
def test_a_stream_without_data_is_no_body(stream):
    """A comment or a field, and nothing at all, may be the beginning of a stream."""
    assert decoded([stream]) == []


@pytest.mark.parametrize("cut", [b'{"a": ', b'[{"a": 1}', b'{"a": 1}}', b"[ \n [1]", b"\xef\xbb\xbf [{}"])
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte by byte"])
def test_a_document_that_is_not_whole_is_an_error(cut, bytewise):
    """What was cut is never read as what it might have been."""
    decoder = EventDecoder()
    feed_all(decoder, [bytes([byte]) for byte in cut] if bytewise else [cut])

    with pytest.raises(StreamTruncatedError):
        decoder.close()


@pytest.mark.parametrize(
    ("stream", "salvaged"),
    [
        (b'data: {"a": 1}', [b'{"a": 1}']),
        (b'{"a": 1}', [b'{"a": 1}']),
        (b"Ollama is", []),
        (b'data: {"a": ', []),
        (b"", []),
    ],
)
def test_what_is_left_of_a_broken_connection(stream, salvaged):
    """JSON that is whole counts; whether a text is whole cannot be known."""
    decoder = EventDecoder()
    decoder.feed(stream)

    assert decoder.salvage() == salvaged
