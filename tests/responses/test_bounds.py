"""No work grows with the square of what a server sends, and what is too much of anything is an error."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from onplan.answers.sse import MAXIMUM_EVENT_LINES, EventDecoder
from onplan.errors import StreamCorruptError
from onplan.responses.arrival import MAXIMUM_SECTIONS
from onplan.responses.arrivals import MAXIMUM_ITEMS
from onplan.responses.stream import ResponseStream
from onplan.types import Text

from ..amount_of_work import bytes_allocated, left_to_collector, lines_run

LONG = "abc" * 100  # copying all of what came, again and again, is seen


def delta(kind, **where):
    return {"type": f"response.{kind}.delta", **where}


def message(text, **fields):
    return {"type": "message", "content": [{"type": "output_text", "text": text}], **fields}


def completed(output):
    return {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}}


STREAMS: dict[str, Callable[[int], list[dict]]] = {
    "arguments of unknown items": lambda n: [
        delta("function_call_arguments", item_id=f"x{i}", delta="{") for i in range(n)
    ],
    "text of unknown items": lambda n: [delta("output_text", item_id=f"x{i}", delta="a") for i in range(n)],
    "text of unknown indexes": lambda n: [delta("output_text", output_index=i, delta="a") for i in range(n)],
    "an output without ids": lambda n: [completed([message(f"t{i}") for i in range(n)])],
    "an output of equal items": lambda n: [completed([message("t") for i in range(n)])],
    "items, then an output without ids": lambda n: [
        *({"type": "response.output_item.done", "item": message(f"t{i}", id=f"x{i}")} for i in range(n)),
        completed([message(f"t{i}") for i in reversed(range(n))]),
    ],
    "items, then an output of other ids": lambda n: [
        *({"type": "response.output_item.done", "item": message(f"t{i}", id=f"x{i}")} for i in range(n)),
        completed([message(f"t{i}", id=f"y{i}") for i in range(n)]),
    ],
    "an item that is announced again and again": lambda n: [
        {"type": "response.output_item.added", "item": {"type": "message", "id": "m", f"field{i}": i}}
        for i in range(n)
    ],
    "parts of thinking that begin empty": lambda n: [
        delta("reasoning_summary_text", item_id="r", summary_index=i, delta=text)
        for text in ("", "a")
        for i in range(n)
    ],
    "text": lambda n: [delta("output_text", item_id="m", delta=LONG)] * n,
    "text and thinking in turns": lambda n: [
        delta(kind, item_id=kind, delta=LONG)
        for kind in ("output_text", "reasoning_summary_text")
        for _ in range(n)
    ],
    "text of two items in turns": lambda n: [
        delta("output_text", item_id=f"m{i % 2}", delta=LONG) for i in range(n)
    ],
    "arguments": lambda n: [
        {
            "type": "response.output_item.added",
            "item": {"type": "function_call", "id": "c", "call_id": "c", "name": "f"},
        },
        *[delta("function_call_arguments", item_id="c", delta=LONG)] * n,
    ],
    "refusals": lambda n: [delta("refusal", item_id="m", delta=LONG)] * n,
    "parts of a text": lambda n: [
        delta("output_text", item_id="m", content_index=i, delta="a") for i in range(n)
    ],
}


def work(measure: Callable[[Callable[[], object]], int], events: list[dict]) -> int:
    """How much work it takes to assemble ``events``."""
    payloads = [json.dumps(event).encode() for event in events]
    stream = ResponseStream("m")
    return measure(lambda: stream.feed(payloads))


@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS)
def test_four_times_as_much_is_at_most_five_times_the_work(make):
    """Assembling a stream takes work in proportion to its length, however it names its items."""
    assert work(lines_run, make(400)) < 5 * work(lines_run, make(100))


@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS)
def test_ten_times_as_much_takes_about_ten_times_the_memory(make):
    """Nothing that came is copied again for each event that follows."""
    assert work(bytes_allocated, make(250)) < 14 * work(bytes_allocated, make(25))


# Bytes of which the decoder is given one piece at a time.
READS: dict[str, Callable[[int], list[bytes]]] = {
    "a long event in pieces": lambda n: [b"data: ", *[LONG.encode()] * n, b"\n\n"],
    "a long comment in pieces": lambda n: [b":", *[LONG.encode()] * n, b"\n\n"],
    "a long document in pieces": lambda n: [b'{"a": "', *[LONG.encode()] * n, b'"}'],
    "lines": lambda n: [*[b"data: " + LONG.encode() + b"\n"] * n, b"\n"],
    "events": lambda n: [b"data: " + LONG.encode() + b"\n\n"] * n,
    "events with a carriage return": lambda n: [b"data: " + LONG.encode() + b"\r\n\r\n"] * n,
    "white space, then events": lambda n: [*[b" " * 300] * n, b"\ndata: {}\n\n"],
}


@pytest.mark.parametrize("make", READS.values(), ids=READS)
def test_an_event_in_ten_times_as_many_reads_takes_about_ten_times_the_memory(make):
    """A read costs its own length, whatever came before it."""

    def work(n: int) -> int:
        decoder, reads = EventDecoder(), make(n)
        return bytes_allocated(lambda: [*map(decoder.feed, reads), decoder.close()])

    assert work(250) < 14 * work(25)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (STREAMS["arguments of unknown items"](MAXIMUM_ITEMS + 1), "10,000 items"),
        (STREAMS["an output without ids"](MAXIMUM_ITEMS + 1), "10,000 items"),
        (STREAMS["parts of a text"](MAXIMUM_SECTIONS + 1), "10,000 parts"),
        (STREAMS["parts of thinking that begin empty"](MAXIMUM_SECTIONS + 1), "10,000 parts"),
    ],
    ids=["deltas", "output", "parts", "empty parts"],
)
def test_more_items_or_parts_than_any_answer_has_are_an_error(events, says):
    """The memory that one answer takes is bounded."""
    stream = ResponseStream("m")
    stream.feed(json.dumps(event).encode() for event in events)

    assert isinstance(stream.failure, StreamCorruptError)
    assert says in stream.failure.message


def test_as_many_items_as_are_allowed_are_an_answer():
    """The bound is not below what it says."""
    stream = ResponseStream("m")
    stream.feed([json.dumps(STREAMS["an output without ids"](MAXIMUM_ITEMS)[0]).encode()])

    assert stream.failure is None
    assert stream.parts[-1] == Text(f"t{MAXIMUM_ITEMS - 1}")


def read(decoder: EventDecoder, data: bytes, size: int = 65_536) -> list[bytes]:
    return [payload for at in range(0, len(data), size) for payload in decoder.feed(data[at : at + size])]


def test_an_event_of_too_many_lines_is_an_error_after_those_before_it():
    """Each line costs ten times what it holds, so an event may not have any number of them."""
    decoder = EventDecoder()
    assert read(decoder, b"data: {}\n\n") == [b"{}"]
    assert decoder.feed(b"data: 1\n\n" + b"data:\n" * (MAXIMUM_EVENT_LINES + 1) + b"\ndata: 2\n\n") == [b"1"]

    with pytest.raises(StreamCorruptError, match="100,000 lines"):
        decoder.feed(b"data: 3\n\n")


def test_an_event_of_many_lines_is_one():
    """JSON that is printed over many lines is read."""
    lines = [b"{", *[b'"a": 1,'] * 50_000, b'"b": 2}']

    (payload,) = EventDecoder().feed(b"".join(b"data: " + line + b"\n" for line in lines) + b"\n")

    assert json.loads(payload) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "nothing", [b": still here\n\n", b"\n\n", b"event: ping\n\n", b"id: 1\nretry: 5\n\n"]
)
def test_comments_without_end_are_an_error(nothing):
    """What says nothing may come as often as a patient server sends it, but not without bound."""
    decoder = EventDecoder(maximum_event_size=10_000)
    decoder.feed(b"data: {}\n\n")
    for _ in range(10_000 // len(nothing)):
        assert decoder.feed(nothing) == []

    with pytest.raises(StreamCorruptError, match="held no event"):
        read(decoder, nothing * 3, len(nothing))


def test_white_space_without_end_is_an_error():
    """It may be the beginning of a document, but not for ever."""
    decoder = EventDecoder(maximum_event_size=10_000)

    with pytest.raises(StreamCorruptError):
        read(decoder, b" " * 30_000, 1_000)


def test_a_line_that_looks_like_many_events_is_read_once():
    """Half a megabyte of beginnings of an event is data like any other."""
    said = b"event: " * 70_000

    assert EventDecoder().feed(b"event: x\ndata: " + said + b"\n\n") == [said]
    assert EventDecoder().feed(b"event: " + said + b"\ndata: 1\nid: 2\n\n") == [b"1"]


def test_an_event_that_comes_byte_by_byte_takes_the_room_of_its_bytes():
    """A piece of a long event is no object of its own."""
    import tracemalloc

    decoder = EventDecoder()
    decoder.feed(b"data: ")
    tracemalloc.start()
    try:
        for _ in range(100_000):
            decoder.feed(b"x")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 400_000
    assert decoder.feed(b"\n\n") == [b"x" * 100_000]


def test_an_answer_that_has_ended_is_freed_at_once():
    """Nothing of it waits for the garbage collector."""
    events = [
        delta("reasoning_summary_text", item_id="thought", delta="first"),
        delta("output_text", item_id="said", delta="then"),
        completed([]),
    ]
    payloads = [json.dumps(event).encode() for event in events]

    def answer():
        stream = ResponseStream("m")
        stream.feed(payloads)
        assert stream.finished

    assert left_to_collector(answer) == 0
