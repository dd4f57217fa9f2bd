"""Good Responses streams, damaged at random: chunks that agree with the answer, or an OnplanError."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.answers.sse import EventDecoder
from onplan.errors import OnplanError
from onplan.responses.stream import ResponseStream


def added(index, item):
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index, item):
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def deltas(kind, index, item_id, pieces, **where):
    for piece in pieces:
        yield {
            "type": f"response.{kind}.delta",
            "item_id": item_id,
            "output_index": index,
            "delta": piece,
            **where,
        }


SUMMARY = [{"type": "summary_text", "text": "Hm, so."}, {"type": "summary_text", "text": "Well."}]
REASONING = {"type": "reasoning", "id": "rs_1", "summary": SUMMARY, "encrypted_content": "gAAA"}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "content": [{"type": "output_text", "text": "Let me see \u2603."}],
}
CALLS = [
    {
        "type": "function_call",
        "id": f"fc_{n}",
        "call_id": f"call_{n}",
        "name": name,
        "arguments": f'{{"a":{n}}}',
    }
    for n, name in enumerate(("first", "second"))
]
CUSTOM = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "call_2",
    "name": "third",
    "input": "{not json",
}
EVENTS = [
    {"type": "response.created", "response": {"id": "resp_1", "model": "m"}},
    added(0, {**REASONING, "summary": [], "encrypted_content": None}),
    *deltas("reasoning_summary_text", 0, "rs_1", ("Hm,", " so."), summary_index=0),
    {
        "type": "response.reasoning_summary_text.done",
        "item_id": "rs_1",
        "summary_index": 0,
        "text": "Hm, so.",
    },
    *deltas("reasoning_summary_text", 0, "rs_1", ("We", "ll."), summary_index=1),
    done(0, REASONING),
    added(1, {**MESSAGE, "content": []}),
    *deltas("output_text", 1, "msg_1", ("Let", " me", " see", " \u2603."), content_index=0),
    {
        "type": "response.output_text.done",
        "item_id": "msg_1",
        "output_index": 1,
        "text": "Let me see \u2603.",
    },
    done(1, MESSAGE),
    *(added(2 + n, {**call, "arguments": ""}) for n, call in enumerate(CALLS)),
    *deltas("function_call_arguments", 2, "fc_0", ('{"a"', ":0}")),
    *deltas("function_call_arguments", 3, "fc_1", ('{"a"', ":1}")),
    *(done(2 + n, call) for n, call in enumerate(CALLS)),
    added(4, {**CUSTOM, "input": ""}),
    *deltas("custom_tool_call_input", 4, "ctc_1", ("{not", " json")),
    {
        "type": "response.custom_tool_call_input.done",
        "item_id": "ctc_1",
        "output_index": 4,
        "input": "{not json",
    },
    done(4, CUSTOM),
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1",
            "status": "completed",
            "output": [REASONING, MESSAGE, *CALLS, CUSTOM],
            "usage": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14},
        },
    },
]
FRAMES = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS]

PLACE = st.floats(0, 1, exclude_max=True)
OF_EVENTS = st.tuples(st.sampled_from(["lost", "repeated", "moved", "swapped"]), PLACE, PLACE)
OF_BYTES = st.tuples(
    st.sampled_from(["changed", "removed", "repeated", "inserted"]), PLACE, st.integers(0, 2_000)
)


def with_events(frames, kind, first, second):
    frames, at, to = list(frames), int(first * len(frames)), int(second * len(frames))
    match kind:
        case "lost":
            del frames[at]
        case "repeated":
            frames.insert(to, frames[at])
        case "moved":
            frames.insert(to, frames.pop(at))
        case "swapped":
            frames[at], frames[to] = frames[to], frames[at]
    return frames


def with_bytes(data, kind, place, value):
    at = int(place * len(data))
    match kind:
        case "changed":
            return data[:at] + bytes([value % 256]) + data[at + 1 :]
        case "removed":
            return data[:at] + data[at + value :]
        case "repeated":
            return data[: at + value] + data[at:]
        case _:
            return data[:at] + bytes([value % 256]) * (1 + value % 7) + data[at:]


def heard(data, cuts):
    """The chunks of a stream in these pieces, the answer, and what went wrong."""
    decoder, stream, chunks = EventDecoder(), ResponseStream("m"), []
    places = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    try:
        for start, end in pairwise(places):
            chunks += stream.feed(decoder.feed(data[start:end]))
        chunks += stream.feed(decoder.close())
        chunks += stream.close()
    except OnplanError as error:
        return chunks, stream, error
    return chunks, stream, stream.failure


@settings(max_examples=1_500, deadline=None)
@given(
    of_events=st.lists(OF_EVENTS, max_size=2),
    of_bytes=st.lists(OF_BYTES, max_size=2),
    cuts=st.lists(PLACE, max_size=6),
)
def test_a_damaged_stream_gives_what_agrees_or_an_error(of_events, of_bytes, cuts):
    """Joined deltas equal the finished parts, no call comes out twice, and the reads' cuts change nothing."""
    frames = FRAMES
    for change in of_events:
        frames = with_events(frames, *change)
    data = b"".join(frames)
    for change in of_bytes:
        data = with_bytes(data, *change)

    chunks, stream, error = heard(data, cuts)

    finished = [chunk.part for chunk in chunks if chunk.type == "part_done"]
    calls = [part.id for part in finished if part.type == "tool_call"]
    assert len(calls) == len(set(calls))
    whole, other, other_error = heard(data, [])
    assert (whole, repr(error)) == (chunks, repr(other_error))
    assert other.parts == stream.parts
    if stream.response is None:
        assert isinstance(error, OnplanError)
        return
    parts = stream.response.message.content
    assert sorted(map(repr, parts)) == sorted(map(repr, finished))
    for kind in ("text", "thinking"):
        said = "".join(chunk.text for chunk in chunks if chunk.type == kind)
        assert said == "".join(part.text for part in parts if part.type == kind)
    for part in parts:
        if part.type == "tool_call":
            pieces = (c.arguments_delta for c in chunks if c.type == "tool_call_delta" and c.id == part.id)
            assert part.arguments == "".join(pieces)
