"""Chat streams with anything wrong in them: chunks that amount to the answer, or an error of the library."""

from __future__ import annotations

import copy

from hypothesis import example, given, settings
from hypothesis import strategies as st

from onplan.errors import OnplanError
from onplan.types import Text, Thinking, ToolCall


def chunk(finish=None, **delta):
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c", "model": "m", "choices": choices}


def call(index, id_=None, name=None, arguments=None, **more):
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": id_, "function": function, **more}]}


WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {
                "content": "Let me look.",
                "reasoning_content": "Hm.",
                "tool_calls": call(0, "a", "f", '{"p":1}')["tool_calls"],
            },
            "finish_reason": "tool_calls",
        }
    ],
}
STREAMS = [
    [
        chunk(role="assistant", content=""),
        chunk(reasoning_content="Hm"),
        chunk(reasoning_content="."),
        chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "AAA=", "index": 0}]),
        chunk(content="Let me "),
        chunk(content="look."),
        chunk(**call(0, "a", "f", "")),
        chunk(**call(0, arguments='{"p":')),
        chunk(**call(0, arguments="1}", extra_content={"google": {"thought_signature": "S"}})),
        chunk(**call(1, "b", "g", '{"q":[2]}')),
        chunk("tool_calls"),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
    ],
    [
        chunk(content="Let me look.", **call(0, "a", "f", '{"p":1}')),
        chunk("tool_calls"),
        WHOLE,
    ],
    [
        chunk(
            content=[{"type": "text", "text": "Let me"}, {"type": "thinking", "thinking": [{"text": "Hm"}]}]
        ),
        chunk(refusal="No."),
        {**chunk("stop"), "x_groq": {"usage": {"completion_tokens": 5}}},
    ],
    [WHOLE],
]

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-1, 2),
        st.sampled_from(["", "a", "b", "f", "{}", '{"p":1}', "}", "null", "stop", "length", "error", "0"]),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["text", "type"]), inner)
    ),
    max_leaves=4,
)


def paths(value, path=()):
    """Every place in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from paths(part, (*path, name))


@st.composite
def damaged(draw):
    """A stream of which something was changed, lost, doubled, moved or torn."""
    events = copy.deepcopy(draw(st.sampled_from(STREAMS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(events) - 1))
        match draw(st.sampled_from(["set", "set", "set", "remove", "drop", "twice", "move"])):
            case "set":
                _put(events, at, draw(st.sampled_from([*paths(events[at])])), draw(JSON))
            case "remove":
                _put(events, at, draw(st.sampled_from([*paths(events[at])])), None)
            case "drop" if len(events) > 1:
                del events[at]
            case "twice":
                events.insert(at, copy.deepcopy(events[at]))
            case "move":
                events.insert(draw(st.integers(0, len(events))), events.pop(at))
    return events


def _put(events, at, path, value):
    if not path:
        events[at] = value
        return
    target = events[at]
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value


def outcome(listen, data, cuts=()):
    """The chunks, and what the stream failed of."""
    try:
        heard = listen.bytes(data, cuts)
    except OnplanError as error:
        return None, f"{type(error).__name__}: {error}"
    return heard, str(heard.failure)


def assert_whole(heard):
    """The deltas of each kind are the finished parts, and there is one end, last."""
    assert [one for one in heard.chunks if one.type == "done"] == heard.chunks[-1:]
    parts = heard.done.response.message.content
    assert heard.joined("text") == "".join(part.text for part in parts if isinstance(part, Text))
    assert heard.joined("thinking") == "".join(part.text for part in parts if isinstance(part, Thinking))
    assert parts == [one.part for one in heard.of("part_done")]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    ids = [called.id for called in calls]
    assert len(set(ids)) == len(ids)
    for called in calls:
        own = [one for one in heard.chunks if getattr(one, "id", None) == called.id]
        assert called.arguments == "".join(getattr(one, "arguments_delta", "") for one in own)
        assert called.name == own[0].name
        assert all((called.id, called.name))


@settings(max_examples=1000, deadline=None)
@given(events=damaged(), draw=st.data())
@example(events=[{"choices": [{"delta": {"content": "a"}}, {"index": "1e400"}]}], draw=None)
@example(events=[{**chunk("stop", content="a"), "id": {"a": [1]}, "model": {"b": 1}}], draw=None)
def test_any_damage_is_an_answer_or_an_error(listen, events, draw):
    """Whatever is wrong with the events: deltas that are the answer, or an error; the same for any cuts."""
    data = listen.wire(*events, b"[DONE]")
    heard, failure = outcome(listen, data)
    if heard is not None and heard.failure is None:
        assert_whole(heard)
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=6)) if draw else [len(data) // 2]
    again, same_failure = outcome(listen, data, cuts)
    assert failure == same_failure
    if heard and again:
        assert heard.chunks == again.chunks


@settings(max_examples=300, deadline=None)
@given(events=damaged(), damage=st.binary(min_size=1, max_size=6), place=st.floats(0, 1))
def test_torn_bytes_are_an_answer_or_an_error(listen, events, damage, place):
    """The same where bytes are others than they were."""
    data = listen.wire(*events, b"[DONE]")
    at = int(place * len(data))
    heard, _ = outcome(listen, data[:at] + damage + data[at + len(damage) :])
    if heard is not None and heard.failure is None:
        assert_whole(heard)
