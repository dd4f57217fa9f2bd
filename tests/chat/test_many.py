"""Much of anything in a stream costs in proportion, and what cannot be is an error.

Lines that run and bytes that are allocated are counted, which does not depend on the machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from onplan.chat.arguments import Arguments
from onplan.chat.calls import Calls
from onplan.chat.events import CallDelta, Function
from onplan.chat.stream import ChatStream
from onplan.errors import StreamCorruptError

from ..amount_of_work import bytes_allocated, left_to_collector, lines_run

LONG = "abc" * 100  # copying all of what came, again and again, is seen


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
    "pieces": begun('{"p":"', call(0, None, None, LONG)),
    "pieces with escapes": begun('{"p":"', call(0, None, None, f"{LONG}\\n")),
    "pieces with the name in each": begun('{"p":"', call(0, "c", "f", LONG)),
    "pieces of braces": begun('{"p":', call(0, None, None, '{"p":')),
    "pieces that each begin": begun('{"p', call(0, None, None, '{"p')),
    "pieces that grow": lambda count: [
        calls(call(0, "c", "f", '{"p":"' + "a" * number)) for number in range(count)
    ],
    "pieces after the end": begun("{}", call(0, None, None, '{"p":1}')),
    "blanks after the end": begun("{}", call(0, None, None, " ")),
    "pieces of a number": begun("1", call(0, None, "f", "1")),
    "entries of thinking": lambda count: [
        chunk(reasoning_details=[{"type": "t", "text": LONG, "index": 0}]) for _ in range(count)
    ],
    "entries with ids": lambda count: [
        chunk(reasoning_details=[{"type": "t", "data": LONG, "id": str(number)}]) for number in range(count)
    ],
    "text": lambda count: [chunk(content=LONG)] * count,
    "thinking": lambda count: [chunk(reasoning_content=LONG)] * count,
    "refusals": lambda count: [chunk(refusal=LONG)] * count,
    "text and thinking in turns": lambda count: [
        chunk(**{("content", "reasoning")[number % 2]: "a"}) for number in range(count)
    ],
    "choices": lambda count: [
        {"choices": [{"index": number, "delta": {"content": "a"}} for number in range(count)]}
    ],
    "messages in place of deltas": lambda count: [chunk(None, "message", content=LONG)] * count,
    "messages that each end": lambda count: [chunk("stop", "message", content="a")] * count,
    "calls that each end": lambda count: [
        chunk("stop", tool_calls=[call(number, f"c{number}", "f", "")]) for number in range(count)
    ],
    "choices that each end": lambda count: [
        {"choices": [{**chunk("stop", tool_calls=[call(0, None, "f", "{}")])["choices"][0], "index": number}]}
        for number in range(count)
    ],
    "reasons": lambda count: [chunk("stop", content=LONG)] * count,
}


def work(measure: Callable[[Callable[[], object]], int], events) -> int:
    """How much work it is to read ``events``."""
    stream = ChatStream("m")
    payloads = [json.dumps(event).encode() for event in (*events, chunk("stop"))]
    amount = measure(lambda: stream.feed([*payloads, b"[DONE]"]))
    assert stream.finished
    return amount


@pytest.mark.parametrize("make", MANY.values(), ids=MANY)
def test_ten_times_as_much_is_ten_times_the_work(make):
    """However much of one thing comes, each piece costs what the ones before it did."""
    assert work(lines_run, make(400)) < 14 * work(lines_run, make(40))


# The bytes of those that grow are the square of their number themselves.
@pytest.mark.parametrize("name", sorted(MANY.keys() - {"pieces that grow"}))
def test_ten_times_as_much_is_ten_times_the_memory(name):
    """Nothing that came is copied again for each piece that follows."""
    make = MANY[name]
    assert work(bytes_allocated, make(250)) < 14 * work(bytes_allocated, make(25))


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
    payloads = [*(json.dumps(event).encode() for event in events), b"[DONE]"]

    def answer():
        stream = ChatStream("m")
        stream.feed(payloads)
        assert stream.finished

    assert left_to_collector(answer) == 0


def test_many_calls_are_kept_in_one_list():
    """It is not copied for each call."""
    deltas = [CallDelta(Function("f", "{}"), number, f"c{number}") for number in range(4000)]

    def allocated(count: int) -> int:
        return bytes_allocated(lambda: Calls().feed(deltas[:count], [], 0))

    assert allocated(4000) < 14 * allocated(400)


class _Counted(str):
    """A text that counts how often its length is asked for."""

    __slots__ = ()
    asked = 0

    def __len__(self) -> int:
        _Counted.asked += 1
        return super().__len__()


@pytest.mark.parametrize("piece", ['{"p', '{"p":', "abc", '"', "{"])
def test_the_pieces_that_came_are_not_measured_again_for_each_that_follows(piece):
    """How long all of them are is looked at only if the new one is at least as long as their number."""

    def asked(count: int) -> int:
        arguments, _Counted.asked = Arguments(), 0
        arguments.add('{"p":"a')
        for _ in range(count):
            arguments.add(_Counted(piece))
        return _Counted.asked

    assert asked(400) <= 14 * asked(40) + 100
