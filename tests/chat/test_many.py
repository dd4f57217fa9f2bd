"""Much of anything in a stream costs in proportion, and what cannot be is an error.

What is counted are the lines of the library that run, which does not depend on the machine.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import pytest

import onplan
from onplan.chat.stream import ChatStream
from onplan.errors import StreamCorruptError

OWN = str(Path(onplan.__file__).parent)


def chunk(finish=None, message="delta", **delta):
    return {"choices": [{"index": 0, message: delta, "finish_reason": finish}]}


def call(index, id_=None, name=None, arguments=None):
    return {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}


def calls(*pieces):
    return chunk(tool_calls=list(pieces))


def begun(first, piece):
    """One call: how it begins, and then many of the same piece."""
    return lambda count: [calls(call(0, "c", "f", first)), *[calls(piece)] * count]


MANY = {
    "calls": lambda count: [calls(call(number, f"c{number}", "f", "{}")) for number in range(count)],
    "calls in one chunk": lambda count: [
        calls(*(call(number, f"c{number}", "f", "{}") for number in range(count)))
    ],
    "calls without an index": lambda count: [
        calls(call(None, f"c{number}", "f", "{}")) for number in range(count)
    ],
    "calls under one id": lambda count: [
        calls(call(0, "c", "f", json.dumps({"p": number}))) for number in range(count)
    ],
    "one call many times": lambda count: [
        calls(call(number, "c", "f", '{"p":1}')) for number in range(count)
    ],
    "pieces": begun('{"p":"', call(0, None, None, "abc")),
    "pieces with the name in each": begun('{"p":"', call(0, "c", "f", "abc")),
    "pieces of braces": begun('{"p":', call(0, None, None, '{"p":')),
    "pieces that each begin": begun('{"p', call(0, None, None, '{"p')),
    "pieces that grow": lambda count: [
        calls(call(0, "c", "f", '{"p":"' + "a" * number)) for number in range(count)
    ],
    "pieces after the end": begun("{}", call(0, None, None, '{"p":1}')),
    "blanks after the end": begun("{}", call(0, None, None, " ")),
    "pieces of a number": begun("1", call(0, None, "f", "1")),
    "entries of thinking": lambda count: [
        chunk(reasoning_details=[{"type": "t", "text": "abc", "index": 0}]) for _ in range(count)
    ],
    "entries with ids": lambda count: [
        chunk(reasoning_details=[{"type": "t", "data": "abc", "id": str(number)}]) for number in range(count)
    ],
    "text and thinking in turns": lambda count: [
        chunk(**{("content", "reasoning")[number % 2]: "a"}) for number in range(count)
    ],
    "choices": lambda count: [
        {"choices": [{"index": number, "delta": {"content": "a"}} for number in range(count)]}
    ],
    "messages in place of deltas": lambda count: [chunk(None, "message", content="a")] * count,
    "messages that each end": lambda count: [chunk("stop", "message", content="a")] * count,
    "calls that each end": lambda count: [
        chunk("stop", tool_calls=[call(number, f"c{number}", "f", "")]) for number in range(count)
    ],
    "choices that each end": lambda count: [
        {"choices": [{**chunk("stop", tool_calls=[call(0, None, "f", "{}")])["choices"][0], "index": number}]}
        for number in range(count)
    ],
    "reasons": lambda count: [chunk("stop", content="a")] * count,
}


def work(events):
    """How many lines of the library run to read ``events``."""
    stream = ChatStream("m")
    payloads = [json.dumps(event).encode() for event in (*events, chunk("stop"))]
    lines = 0

    def count(frame, event, _):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(OWN):
            return None
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        stream.feed([*payloads, b"[DONE]"])
    finally:
        sys.settrace(before)
    assert stream.finished
    return lines


@pytest.mark.parametrize("make", MANY.values(), ids=MANY)
def test_ten_times_as_much_is_ten_times_the_work(make):
    """However much of one thing comes, each piece costs what the ones before it did."""
    assert work(make(1000)) < 14 * work(make(100))


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([chunk(content="a" * 50), *[chunk(None, "message", content="a" * 50)] * 200], "too often"),
        ([calls(call(0, None, f"{number} {'f' * 100}")) for number in range(100)], "too long"),
        ([calls(*(call(number, None, "f", "{}") for number in range(10_001)))], "10,000 tool calls"),
    ],
    ids=["the whole message", "a name", "calls"],
)
def test_what_would_cost_more_is_an_error(listen, events, says):
    """What must be compared with all that came before is allowed only so often."""
    failure = listen(*events, b"[DONE]").failure

    assert isinstance(failure, StreamCorruptError)
    assert says in str(failure)


def test_an_answer_that_has_ended_is_freed_at_once():
    """Nothing of it waits for the garbage collector."""
    events = [chunk(reasoning_content="so"), chunk(content="text"), *MANY["calls"](3), chunk("tool_calls")]
    gc.collect()
    gc.disable()
    try:
        stream = ChatStream("m")
        stream.feed([*(json.dumps(event).encode() for event in events), b"[DONE]"])
        assert stream.finished
        del stream
        assert gc.collect() == 0
    finally:
        gc.enable()
