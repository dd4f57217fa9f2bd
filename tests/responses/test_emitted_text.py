"""What the program has seen of an answer while it arrived is in the finished answer."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.errors import OnplanError, ServerError, StreamFailedError
from onplan.responses.stream import ResponseStream
from onplan.types import FinishReason, Text, Thinking, ToolCall

SAID = "The answer is 42."
MESSAGE = {
    "type": "message",
    "id": "m1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": SAID}],
}


def without(item, *names):
    return {name: value for name, value in item.items() if name not in names}


def answer(*, added=None, done=None, output=None, deltas=(SAID,), **response):
    """The events of an answer of one message."""
    done = MESSAGE if done is None else done
    whole = {"id": "r", "status": "completed", "output": [done] if output is None else output, **response}
    return [
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**MESSAGE, "content": []} if added is None else added,
        },
        *(
            {
                "type": "response.output_text.delta",
                "item_id": "m1",
                "output_index": 0,
                "content_index": 0,
                "delta": delta,
            }
            for delta in deltas
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": whole},
    ]


def heard(events):
    stream = ResponseStream("m")
    chunks = stream.feed([json.dumps(event).encode() for event in events])
    return chunks, stream


ADDED = {**MESSAGE, "content": []}
TYPES = {
    "as it should be": MESSAGE,
    "no type": without(MESSAGE, "type"),
    "null": {**MESSAGE, "type": None},
    "another word": {**MESSAGE, "type": "output_message"},
    "no type, no content": without(MESSAGE, "type", "content"),
    "no type, no id": without(MESSAGE, "type", "id"),
    "nothing at all": {},
}


@pytest.mark.parametrize("done", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize(
    "added", [ADDED, without(ADDED, "type"), {"id": "m1"}, {}], ids=["", "untyped", "id", "{}"]
)
def test_text_that_was_streamed_is_in_the_answer(added, done):
    """Whatever an item is called when it is announced or finished, its text stays."""
    _, stream = heard(answer(added=added, done=done))

    assert stream.failure is None
    assert [Text(SAID)] == stream.response.message.content
    assert FinishReason.STOP is stream.response.finish_reason


@pytest.mark.parametrize(
    "name", [name for name in TYPES if name not in ("no type, no content", "nothing at all")]
)
def test_text_that_comes_only_in_the_end_is_in_the_answer(name):
    """The same for a message of which nothing was streamed."""
    _, stream = heard(answer(added=without(ADDED, "type"), done=TYPES[name], deltas=()))

    assert stream.failure is None
    assert [Text(SAID)] == stream.response.message.content


def test_two_items_with_one_id_are_two():
    """A call under the id of a message takes nothing of its text away."""
    call = {"type": "function_call", "id": "m1", "call_id": "c", "name": "f", "arguments": "{}"}
    events = answer(done=call, output=[call])
    _, stream = heard(events)

    assert stream.failure is None
    assert [Text(SAID), ToolCall("c", "f", "{}")] == stream.response.message.content


def test_thinking_in_a_message_is_thinking():
    """Both ways round: a message's reasoning is no text of the answer, and a reasoning item's text none."""
    message = {**MESSAGE, "content": [{"type": "reasoning_text", "text": "Hm"}, *MESSAGE["content"]]}
    reasoning = {"type": "reasoning", "id": "r1", "content": [{"type": "text", "text": "So"}]}
    chunks, stream = heard(answer(done=message, output=[reasoning, message], deltas=()))

    assert "HmSo" == "".join(chunk.text for chunk in chunks if chunk.type == "thinking")
    assert [Thinking("Hm"), Text(SAID), Thinking("So")] == stream.response.message.content


FAILURES = {
    "an error beside the response": (
        [*answer()[:-1], {**answer()[-1], "error": {"code": "server_error", "message": "upstream died"}}],
        ServerError,
        "upstream died",
    ),
    "an error in an item": (
        answer(done={**MESSAGE, "error": {"message": "upstream died"}}),
        StreamFailedError,
        "upstream died",
    ),
    "an item that failed": (answer(done={**MESSAGE, "status": "failed"}), StreamFailedError, "failed"),
}


@pytest.mark.parametrize(("events", "error", "says"), FAILURES.values(), ids=FAILURES)
def test_a_failure_beside_an_answer_is_one(events, error, says):
    """Wherever the error stands, the text beside it is not the whole answer."""
    chunks, stream = heard(events)

    assert type(stream.failure) is error
    assert says in str(stream.failure)
    assert [] == [chunk for chunk in chunks if chunk.type == "done"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("max_tokens", FinishReason.LENGTH),
        ("max_output_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
    ],
)
@pytest.mark.parametrize("status", ["incomplete", "completed"])
def test_an_answer_that_was_cut_says_why_in_any_word(reason, expected, status):
    """The details count whatever the status is, in the words of any server."""
    details = {"status": status, "incomplete_details": {"reason": reason}}
    _, stream = heard(answer(**details))

    assert expected is stream.response.finish_reason
    assert [Text(SAID)] == stream.response.message.content


@pytest.mark.parametrize("details", [None, {}, {"reason": None}])
def test_empty_details_are_none(details):
    """A server that always has the field has not cut the answer."""
    _, stream = heard(answer(incomplete_details=details))
    assert FinishReason.STOP is stream.response.finish_reason


# --- any damage --------------------------------------------------------------------------------------

THINKING = {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "abc"}]}
CALL = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "f", "arguments": '{"p":1}'}
LONG = [
    {"type": "response.created", "response": {"id": "r", "model": "m"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {**THINKING, "summary": []}},
    *(
        {
            "type": "response.reasoning_summary_text.delta",
            "item_id": "r1",
            "output_index": 0,
            "summary_index": 0,
            "delta": delta,
        }
        for delta in ("ab", "c")
    ),
    {"type": "response.output_item.done", "output_index": 0, "item": THINKING},
    {"type": "response.output_item.added", "output_index": 1, "item": {**MESSAGE, "content": []}},
    *(
        {
            "type": "response.output_text.delta",
            "item_id": "m1",
            "output_index": 1,
            "content_index": 0,
            "delta": delta,
        }
        for delta in ("The answer", " is 42.")
    ),
    {
        "type": "response.output_text.done",
        "item_id": "m1",
        "output_index": 1,
        "content_index": 0,
        "text": SAID,
    },
    {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE},
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALL, "arguments": ""}},
    *(
        {"type": "response.function_call_arguments.delta", "item_id": "f1", "output_index": 2, "delta": delta}
        for delta in ('{"p"', ":1}")
    ),
    {"type": "response.output_item.done", "output_index": 2, "item": CALL},
    {
        "type": "response.completed",
        "response": {"id": "r", "status": "completed", "output": [THINKING, MESSAGE, CALL]},
    },
]
NAMES = [
    "type",
    "id",
    "item_id",
    "output_index",
    "content_index",
    "summary_index",
    "status",
    "delta",
    "text",
    "name",
]
VALUES = st.sampled_from(
    [None, "", "m1", "r1", "f1", 0, 1, 2, "message", "reasoning", "function_call", "other", [], {}]
)
DAMAGE = st.one_of(
    st.tuples(st.just("drop"), st.integers(0, len(LONG) - 1)),
    st.tuples(st.just("twice"), st.integers(0, len(LONG) - 1)),
    st.tuples(st.just("swap"), st.integers(1, len(LONG) - 1)),
    st.tuples(st.just("set"), st.integers(1, len(LONG) - 1), st.booleans(), st.sampled_from(NAMES), VALUES),
    st.tuples(st.just("remove"), st.integers(1, len(LONG) - 1), st.booleans(), st.sampled_from(NAMES)),
)


def damaged(damages):
    events = copy.deepcopy(LONG)
    for kind, place, *how in damages:
        at = min(place, len(events) - 1)
        match kind, how:
            case "drop", _:
                del events[at]
            case "twice", _:
                events.insert(at, copy.deepcopy(events[at]))
            case "swap", _:
                events[at - 1], events[at] = events[at], events[at - 1]
            case "set", [inside, name, value]:
                target = events[at].get("item") if inside and events[at].get("item") else events[at]
                if isinstance(target, dict):
                    target[name] = value
            case "remove", [inside, name]:
                target = events[at].get("item") if inside and events[at].get("item") else events[at]
                if isinstance(target, dict):
                    target.pop(name, None)
    return events


def characters(texts):
    return sorted("".join(texts))


@settings(max_examples=600, deadline=None)
@given(damages=st.lists(DAMAGE, max_size=4))
def test_whatever_is_damaged_the_deltas_are_the_parts(damages):
    """Events lost, doubled, swapped or renamed: an error, or all that was seen is in the answer."""
    try:
        chunks, stream = heard(damaged(damages))
    except OnplanError:
        return
    if stream.failure or not stream.response:
        return
    parts = stream.response.message.content
    for kind, part in (("text", Text), ("thinking", Thinking)):
        seen = "".join(chunk.text for chunk in chunks if chunk.type == kind)
        assert seen == "".join(one.text for one in parts if isinstance(one, part))
    calls = [one for one in parts if isinstance(one, ToolCall)]
    seen = characters(chunk.arguments_delta for chunk in chunks if chunk.type == "tool_call_delta")
    assert seen == characters(call.arguments for call in calls)
    assert [one for one in chunks if one.type == "done"] == chunks[-1:]
