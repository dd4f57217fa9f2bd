from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.answers.usage import usage_of
from onplan.chat.stream import ChatStream
from onplan.errors import (
    ContextLengthError,
    OnplanError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
    UsageLimitError,
)
from onplan.parameters import Reports
from onplan.types import (
    FinishReason,
    PartDone,
    Refusal,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

DONE = b"[DONE]"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chunk(finish=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "gpt-9-2026", "object": "chat.completion.chunk", "choices": [choice]}


def usage(**counts):
    return {**chunk(), "choices": [], "usage": counts or USAGE}


def call(index=0, id_=None, name=None, arguments=None):
    """A piece of a tool call; what is None is absent."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    piece = {"index": index, "id": id_, "function": function}
    return {key: value for key, value in piece.items() if value is not None}


def calls(*pieces, finish="tool_calls"):
    """A whole stream of pieces, one in each chunk."""
    return [*(chunk(tool_calls=[piece]) for piece in pieces), chunk(finish), DONE]


def test_a_whole_answer_becomes_chunks_in_order(listen):
    """Thinking, text and a call come out as they arrive, each part finished before the end."""
    heard = listen(
        chunk(role="assistant", content=""),
        chunk(reasoning_content="Hm"),
        chunk(reasoning_content="."),
        chunk(content="Let me "),
        chunk(content="look."),
        chunk(tool_calls=[call(0, "call_1", "weather", "")]),
        chunk(tool_calls=[call(0, arguments='{"city":')]),
        chunk(tool_calls=[call(0, arguments='"Oslo"}')]),
        chunk("tool_calls"),
        usage(),
        DONE,
        reports=Reports(ignored=("metadata",)),
    )

    thinking = Thinking("Hm.", '{"reasoning_content":"Hm."}')
    tool_call = ToolCall("call_1", "weather", '{"city":"Oslo"}')
    assert [
        ThinkingDelta("Hm"),
        ThinkingDelta("."),
        PartDone(thinking),
        TextDelta("Let me "),
        TextDelta("look."),
        PartDone(Text("Let me look.")),
        ToolCallStart("call_1", "weather"),
        ToolCallDelta("call_1", '{"city":'),
        ToolCallDelta("call_1", '"Oslo"}'),
        ToolCallEnd("call_1"),
        PartDone(tool_call),
    ] == heard.chunks[:-1]
    response = heard.done.response
    assert [thinking, Text("Let me look."), tool_call] == response.message.content == heard.parts
    assert "Let me look." == response.text
    assert FinishReason.TOOL_CALLS is heard.done.finish_reason is response.finish_reason
    assert Usage(10, 5, 15) == heard.done.usage == response.usage
    assert ("gpt-9-2026", "chatcmpl-1") == (response.model, response.response_id)
    assert ["metadata"] == response.ignored_parameters


# --- tool calls --------------------------------------------------------------------------------------

ONE, TWO = ("one", '{"a":1}'), ("two", '{"b":2}')


@dataclass
class Joined:
    id: str
    pieces: list[dict]
    expected: list[tuple[str, str]]


def halves(arguments):
    return arguments[:3], arguments[3:]


A, B = halves(ONE[1])
C, D = halves(TWO[1])
JOINED = [
    Joined(
        "by index, one after the other",
        [call(0, "x", "one", A), call(0, arguments=B), call(1, "y", "two", C), call(1, arguments=D)],
        [ONE, TWO],
    ),
    Joined(
        "by index, mixed",
        [call(0, "x", "one", A), call(1, "y", "two", C), call(0, arguments=B), call(1, arguments=D)],
        [ONE, TWO],
    ),
    Joined(
        "by index, mixed, without ids",
        [call(0, None, "one", A), call(1, None, "two", C), call(0, arguments=B), call(1, arguments=D)],
        [ONE, TWO],
    ),
    Joined(
        "an index that begins elsewhere",
        [call(7, "x", "one", A), call(7, arguments=B)],
        [ONE],
    ),
    Joined(
        "no index, ids in the first piece",
        [
            call(None, "x", "one", A),
            call(None, arguments=B),
            call(None, "y", "two", C),
            call(None, arguments=D),
        ],
        [ONE, TWO],
    ),
    Joined(
        "no index, ids in every piece",
        [
            call(None, "x", "one", A),
            call(None, "x", arguments=B),
            call(None, "y", "two", C),
            call(None, "y", arguments=D),
        ],
        [ONE, TWO],
    ),
    Joined("no index, whole", [call(None, "x", *ONE), call(None, "y", *TWO)], [ONE, TWO]),
    Joined("neither index nor id, whole", [call(None, None, *ONE), call(None, None, *TWO)], [ONE, TWO]),
    Joined("the same function twice, whole", [call(0, None, *ONE), call(0, None, *ONE)], [ONE, ONE]),
    Joined("always index 0, whole", [call(0, "x", *ONE), call(0, "y", *TWO)], [ONE, TWO]),
    Joined(
        "always index 0, in pieces",
        [call(0, "x", "one", A), call(0, arguments=B), call(0, "y", "two", C), call(0, arguments=D)],
        [ONE, TWO],
    ),
    Joined(
        "the second call's head at the first one's index",
        [call(0, "x", "one", A), call(0, arguments=B), call(0, "y", "two", C), call(1, arguments=D)],
        [ONE, TWO],
    ),
    Joined(
        "a known id at another index",
        [
            call(0, "x", "one", A),
            call(1, "y", "two", C),
            call(1, "x", arguments=B),
            call(0, "y", arguments=D),
        ],
        [ONE, TWO],
    ),
    Joined(
        "an index that counts pieces",
        [call(0, "x", "one", A), call(1, arguments=B), call(2, "y", "two", C), call(3, arguments=D)],
        [ONE, TWO],
    ),
    Joined(
        "an id that comes late",
        [call(0, None, "one"), call(0, "x", arguments=A), call(0, arguments=B)],
        [ONE],
    ),
    Joined("an id that comes last", [call(0, None, "one", A), call(0, arguments=B), call(0, "x")], [ONE]),
    Joined(
        "another id in every piece",
        [
            call(0, "x", "one", A),
            call(0, "x2", arguments=B),
            call(1, "y", "two", C),
            call(1, "y2", arguments=D),
        ],
        [ONE, TWO],
    ),
    Joined("a name in pieces", [call(0, "x", "o"), call(0, name="ne"), call(0, arguments=ONE[1])], [ONE]),
    Joined("a name that grows", [call(0, "x", "o"), call(0, name="one"), call(0, arguments=ONE[1])], [ONE]),
    Joined("a name twice", [call(0, "x", "one"), call(0, name="one", arguments=ONE[1])], [ONE]),
    Joined("a name in every piece", [call(0, "x", "one", A), call(0, name="one", arguments=B)], [ONE]),
    Joined("arguments that are an object", [call(0, "x", "one", {"a": 1})], [ONE]),
    Joined("no arguments at all", [call(0, "x", "one")], [("one", "")]),
    Joined(
        "empty fields",
        [
            {"index": 0, "id": "x", "function": {"name": "one", "arguments": None}},
            {"index": 0, "id": "", "type": None, "function": {"name": "", "arguments": ONE[1]}},
        ],
        [ONE],
    ),
]


@pytest.mark.parametrize("case", JOINED, ids=lambda case: case.id)
class TestJoining:
    def test_calls_are_whole(self, listen, case):
        """However the server numbers and names the pieces, every call has its own arguments, whole."""
        assert case.expected == listen(*calls(*case.pieces)).calls

    def test_deltas_are_the_parts(self, listen, case):
        """Every call begins, has its deltas and ends under one id, and these amount to the finished part."""
        heard = listen(*calls(*case.pieces))
        for part in heard.done.response.tool_calls:
            own = [chunk for chunk in heard.chunks if getattr(chunk, "id", None) == part.id]
            assert own[0] == ToolCallStart(part.id, part.name)
            assert own[-1] == ToolCallEnd(part.id)
            assert part.arguments == "".join(chunk.arguments_delta for chunk in own[1:-1])
        assert len({part.id for part in heard.parts}) == len(heard.parts) or case.expected == [ONE, ONE]

    def test_all_at_once(self, listen, case):
        """All pieces in one chunk amount to the same."""
        heard = listen(chunk(tool_calls=case.pieces), chunk("tool_calls"), DONE)
        assert case.expected == heard.calls


def test_calls_without_ids_get_some_that_differ(listen):
    """Ids that the server leaves out are made up: the same for the same stream, others in another answer."""

    def ids(response_id):
        events = [
            {**event, "id": response_id} for event in calls(call(0, None, *ONE), call(1, None, *TWO))[:-1]
        ]
        return [part.id for part in listen(*events, DONE).done.response.tool_calls]

    assert ids("a") == ids("a")
    assert len({*ids("a"), *ids("b")}) == 4


def test_a_call_is_announced_as_soon_as_it_can_be(listen):
    """The start comes with the first arguments, not at the end."""
    stream = ChatStream("m")
    first = stream.feed(
        [json.dumps(event).encode() for event in calls(call(0, "x", "one"), call(0, arguments=A))[:2]]
    )

    assert [ToolCallStart("x", "one"), ToolCallDelta("x", A)] == first


@pytest.mark.parametrize(
    "pieces",
    [[call(0, "x", "one", A), call(0, name="other")], [call(0, "x", None, "{}")]],
    ids=["a name that changes", "no name"],
)
def test_calls_that_nobody_could_carry_out_are_errors(listen, pieces):
    """A call that changes its name, or has none, ends the stream in an error."""
    assert isinstance(listen(*calls(*pieces)).failure, StreamCorruptError)


def test_an_announced_call_that_never_comes_is_an_error(listen):
    """``tool_calls`` without any call is not an answer."""
    assert isinstance(listen(chunk(content="Hi"), chunk("tool_calls"), DONE).failure, StreamCorruptError)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_call_that_was_cut_is_not_handed_out(listen, reason):
    """Where the answer was cut, calls that were complete stay, and the one that was not is left out."""
    heard = listen(*calls(call(0, "x", *ONE), call(1, "y", "two", C), finish=reason))

    assert [ONE] == heard.calls
    assert reason == heard.done.finish_reason
    assert [ToolCallEnd("x")] == heard.of("tool_call_end")


def test_a_function_call_of_old_is_a_call(listen):
    """The form that was there before tools is read, too."""
    heard = listen(
        chunk(function_call={"name": "one", "arguments": A}),
        chunk(function_call={"arguments": B}),
        chunk("function_call"),
        DONE,
    )
    assert [ONE] == heard.calls
    assert FinishReason.TOOL_CALLS is heard.done.finish_reason


# --- other content -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deltas", "text", "carried"),
    [
        ([{"reasoning_content": "a"}, {"reasoning_content": "b"}], "ab", {"reasoning_content": "ab"}),
        ([{"reasoning": "a"}, {"reasoning": "b"}], "ab", {"reasoning": "ab"}),
        ([{"reasoning": "a", "reasoning_content": "a"}], "a", {"reasoning_content": "a"}),
        (
            [
                {
                    "reasoning": "a",
                    "reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}],
                },
                {
                    "reasoning": "b",
                    "reasoning_details": [{"type": "reasoning.text", "text": "b", "index": 0}],
                },
                {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "s"}]},
            ],
            "ab",
            {
                "reasoning": "ab",
                "reasoning_details": [{"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s"}],
            },
        ),
        (
            [{"reasoning_details": [{"type": "reasoning.summary", "summary": "a"}]}],
            "a",
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "a"}]},
        ),
        (
            [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]}],
            "a",
            None,
        ),
    ],
)
def test_thinking_comes_in_many_fields(listen, deltas, text, carried):
    """Whatever the server calls it, thinking is thinking, once, and the fields are kept for the way back."""
    heard = listen(*(chunk(**delta) for delta in deltas), chunk(content="Hi"), chunk("stop"), DONE)

    thinking, answer = heard.done.response.message.content
    assert text == heard.joined("thinking") == thinking.text
    assert Text("Hi") == answer
    assert carried == (json.loads(thinking.encrypted) if thinking.encrypted else None)


def test_sealed_thinking_that_comes_last_is_kept(listen):
    """Details without a text, after the answer, interrupt nothing and are not lost."""
    sealed = {"type": "reasoning.encrypted", "data": "abc", "index": 0}
    heard = listen(
        chunk(content="Hi "), chunk(reasoning_details=[sealed]), chunk(content="you"), chunk("stop"), DONE
    )
    thinking, text = sorted(heard.done.response.message.content, key=lambda part: part.type, reverse=True)
    assert Text("Hi you") == text
    assert [sealed] == json.loads(thinking.encrypted)["reasoning_details"]


def test_runs_keep_their_order(listen):
    """Thinking between two texts is a part between two parts."""
    heard = listen(
        chunk(content="a"), chunk(reasoning="b"), chunk(content="c"), chunk(content="d"), chunk("stop"), DONE
    )
    assert ["text", "thinking", "text"] == [part.type for part in heard.parts]
    assert "acd" == heard.done.response.text


def test_a_refusal_is_no_text(listen):
    """A refusal comes whole, as a part of its own, and the finish reason tells it."""
    heard = listen(chunk(refusal="I'm "), chunk(refusal="sorry."), chunk("stop"), DONE)

    assert [Refusal("I'm sorry.")] == heard.done.response.message.content
    assert FinishReason.CONTENT_FILTER is heard.done.finish_reason
    assert "" == heard.done.response.text
    assert [] == heard.of("text")


def test_content_may_be_a_list(listen):
    """Text parts are text; parts that are no text are left alone."""
    parts = [{"type": "text", "text": "Hi"}, {"type": "reference", "reference_ids": [1]}]
    assert "Hi" == listen(chunk(content=parts), chunk("stop"), DONE).done.response.text


def test_other_answers_are_left_alone(listen):
    """Only the first choice was asked for."""
    second = {**chunk(content="no"), "choices": [{"index": 1, "delta": {"content": "no"}}]}
    assert "Hi" == listen(chunk(content="Hi"), second, chunk("stop"), DONE).done.response.text


# --- how it ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("STOP", FinishReason.STOP),
        ("eos", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("sensitive", FinishReason.CONTENT_FILTER),
    ],
)
def test_finish_reasons(listen, word, reason):
    """The server's word becomes one of ours."""
    assert reason is listen(chunk(content="Hi"), chunk(word), DONE).done.finish_reason


@pytest.mark.parametrize("word", ["error", "insufficient_system_resource", "abort", "network_error"])
def test_a_finish_reason_that_is_a_failure_is_one(listen, word):
    """A word for a failure ends the stream in an error that says it."""
    heard = listen(chunk(content="Hi"), chunk(word), DONE)
    assert isinstance(heard.failure, StreamFailedError)
    assert word in str(heard.failure)


@pytest.mark.parametrize("word", ["stop", "length"])
def test_calls_make_a_stop_a_call_for_tools(listen, word):
    """Some servers say ``stop`` where they call; a cut stays a cut."""
    reason = listen(*calls(call(0, "x", *ONE), finish=word)).done.finish_reason
    assert reason == ("tool_calls" if word == "stop" else "length")


ENDS = {
    "usage, then the mark": [chunk("stop"), usage(), DONE],
    "the mark alone": [{**chunk("stop"), "usage": USAGE}, DONE],
    "no mark": [chunk("stop"), usage()],
    "usage in every chunk": [
        {**chunk(content=""), "usage": {**USAGE, "completion_tokens": 1}},
        {**chunk("stop"), "usage": USAGE},
    ],
    "usage inside the choice": [{**chunk(), "choices": [{**chunk("stop")["choices"][0], "usage": USAGE}]}],
    "usage of groq": [{**chunk("stop"), "x_groq": {"id": "r", "usage": USAGE}}],
    "usage after null usage": [{**chunk("stop"), "usage": None}, usage()],
    "two finish reasons": [chunk("stop"), {**chunk("stop", content=""), "usage": USAGE}],
    "a null choice list": [chunk("stop"), {**usage(), "choices": None}],
}


@pytest.mark.parametrize("events", ENDS.values(), ids=ENDS)
def test_every_good_end_is_one(listen, events):
    """However the usage comes and whether or not the mark does: one Done, last, with the counts."""
    heard = listen(chunk(content="Hi"), *events)

    assert "Hi" == heard.done.response.text == heard.joined("text")
    assert Usage(10, 5, 15) == heard.done.usage


def test_without_usage_the_counts_are_zero(listen):
    """A server that counts nothing is no failure."""
    assert Usage() == listen(chunk(content="Hi"), chunk("stop"), DONE).done.usage


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            {
                **USAGE,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(10, 5, 15, 4, 2, 3),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(10, 5, 15, 4)),
        ({**USAGE, "cached_tokens": 4}, Usage(10, 5, 15, 4)),
        ({**USAGE, "prompt_tokens_details": None, "completion_tokens_details": None}, Usage(10, 5, 15)),
        ({"prompt_tokens": "many"}, Usage()),
        ({}, Usage()),
    ],
)
def test_counts_are_read_wherever_they_are(counts, expected):
    """Cached and reasoning tokens have several homes; what is missing or no number is 0."""
    assert expected == usage_of(counts)


def test_text_after_the_finish_reason_is_not_lost(listen):
    """A server that says ``stop`` in every chunk is heard to the end."""
    heard = listen(chunk("stop", content="Hi "), chunk("stop", content="you"), DONE)
    assert "Hi you" == heard.done.response.text


@pytest.mark.parametrize(
    "events",
    [[], [chunk(content="Hi")], [chunk(content="Hi"), DONE], [chunk(content="Hi"), usage()], [DONE]],
    ids=["nothing", "text", "text and the mark", "text and usage", "the mark"],
)
def test_without_a_finish_reason_it_is_cut(listen, events):
    """No finish reason, no answer: neither the end of the bytes nor the mark replaces it."""
    with pytest.raises(StreamTruncatedError):
        raise listen(*events).failure


def test_what_comes_after_the_end_is_not_read(listen):
    """Nothing follows Done."""
    assert "Hi" == listen(chunk(content="Hi"), chunk("stop"), DONE, chunk(content="no")).done.response.text


# --- failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"error": {"message": "Busy.", "code": "server_is_overloaded"}}, OverloadedError),
        ({"error": {"message": "It broke.", "type": "server_error"}}, ServerError),
        ({"error": {"message": "Slow down.", "code": 429}}, RateLimitError),
        ({"error": {"message": "Pay.", "type": "insufficient_quota"}}, UsageLimitError),
        ({"error": "It broke."}, StreamFailedError),
        ({"error": {"message": "x"}, **chunk("error")}, StreamFailedError),
        (
            {"object": "error", "message": "This model's maximum context length is 5 tokens.", "code": 400},
            ContextLengthError,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("after", [[], [chunk(content="Hi")]], ids=["at once", "after text"])
def test_an_error_inside_a_stream_is_one(listen, event, error, after):
    """An error object means what it would mean as a reply; what came before it was handed out."""
    heard = listen(*after, event, chunk("stop"), DONE, request_id="req-1")

    assert type(heard.failure) is error
    assert "req-1" == heard.failure.request_id
    assert [] == heard.of("done")
    assert len(after) == len(heard.of("text"))


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices": [',
        b'{"choices": [{"delta": {"content": true}}]}',
        b'{"choices": [{"delta": {"tool_calls": 5}}]}',
        b'{"choices": [{"delta": {"tool_calls": [{"index": "0", "function": 5}]}}]}',
        b'{"choices": 5}',
        b'{"choices": [{"delta": {"content": "\xff"}}]}',
        b'{"a":' * 100_000,
    ],
    ids=lambda event: event[:30],
)
def test_a_malformed_chunk_is_an_error(listen, event):
    """A chunk that cannot be read could be a part of the answer."""
    assert isinstance(listen(event, chunk("stop"), DONE).failure, StreamCorruptError)


def test_comments_and_other_payloads_are_left_alone(listen):
    """Keep-alives, pings and event names are none of the answer's."""
    data = b": OPENROUTER PROCESSING\n\n" + listen.wire(chunk(content="Hi"), b"ping", {}, {"type": "ping"})
    data += b"event: message\n" + listen.wire(chunk("stop")) + b": bye\n\n" + b"data: [DONE]"
    assert "Hi" == listen.bytes(data).done.response.text


# --- not streamed, or cut anywhere -------------------------------------------------------------------

WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-9-2026",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me look. \u2028 é 鸟",
                "reasoning_content": "Hm.",
                "tool_calls": [call(0, "call_1", *ONE), call(1, "call_2", *TWO)],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": USAGE,
}


@pytest.mark.parametrize("indent", [None, 2], ids=["compact", "indented, with blank lines"])
def test_an_answer_that_was_not_streamed_is_accepted(listen, indent):
    """One JSON document is the same answer."""
    data = json.dumps(WHOLE, indent=indent, ensure_ascii=False).replace(",\n", ",\n\n").encode()
    response = listen.bytes(data).done.response

    assert "Let me look. \u2028 é 鸟" == response.text
    assert [ONE, TWO] == [(part.name, part.arguments) for part in response.tool_calls]
    assert "Hm." == response.message.content[0].text
    assert Usage(10, 5, 15) == response.usage


def test_a_document_that_was_cut_is_an_error(listen):
    """Half of a JSON document is no answer."""
    with pytest.raises(StreamTruncatedError):
        listen.bytes(json.dumps(WHOLE).encode()[:-2])


def test_an_error_that_was_not_streamed_is_one(listen):
    """An error in a 200, as one JSON document, is an error."""
    assert isinstance(listen.bytes(b'{"error": {"message": "No.", "code": 429}}').failure, RateLimitError)


def stream(ends):
    return b"".join(
        b"data: %b%b"
        % (json.dumps(event, ensure_ascii=False).encode() if isinstance(event, dict) else event, ends)
        for event in [
            chunk(reasoning="Hm é."),
            chunk(content="Let 鸟"),
            chunk(content=" me."),
            *calls(call(0, None, "o"), call(0, "x", "ne", A), call(0, arguments=B), call(0, "y", *TWO))[:-1],
            usage(),
            DONE,
        ]
    )


STREAMS = [
    stream(b"\n\n"),
    stream(b"\r\n\r\n"),
    stream(b"\r\r"),
    stream(b"\n\n: keep-alive\n\n"),
    stream(b"\n\n").rstrip(),
    b"\xef\xbb\xbf" + stream(b"\n\n"),
    json.dumps(WHOLE, ensure_ascii=False, indent=1).encode(),
    b"\n " + json.dumps(WHOLE).encode() + b"\n\n",
    b"\xef\xbb\xbf" + json.dumps(WHOLE).encode(),
]


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(STREAMS), draw=st.data())
def test_any_split_of_the_bytes_gives_the_same_chunks(listen, data, draw):
    """Wherever the network cuts, the chunks are the same, and so is the answer."""
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=12))

    assert listen.bytes(data).done == listen.bytes(data, cuts).done
    assert listen.bytes(data).chunks == listen.bytes(data, cuts).chunks


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(STREAMS), position=st.floats(0, 1), garbage=st.binary(max_size=8))
def test_damaged_bytes_are_an_answer_or_an_error_of_ours(listen, data, position, garbage):
    """Whatever bytes come: one Done, last, or one of our errors, and never anything else."""
    at = int(position * len(data))
    try:
        heard = listen.bytes(data[:at] + garbage + data[at + len(garbage) :])
    except OnplanError:
        return
    assert len(heard.of("done")) == (heard.failure is None)


@pytest.mark.parametrize("second", ["w", "z"])
def test_calls_that_share_a_placeholder_are_two(listen, second):
    """Some servers give every call the id "null": a name at a place of its own begins another one."""
    heard = listen(
        *calls(
            *(call(0, "null", "w", ""), call(1, "null", second, "")),
            *(call(0, "null", None, '{"c":'), call(1, "null", None, '{"d":')),
            *(call(0, None, None, "1}"), call(1, None, None, "2}")),
        )
    )

    assert [("w", '{"c":1}'), (second, '{"d":2}')] == heard.calls
    assert 2 == len({found.id for found in heard.done.response.tool_calls})


def test_whatever_comes_after_the_finish_reason_is_in_the_answer(listen):
    """What a program has seen as it arrived is there in the end: more text, and calls."""
    heard = listen(
        chunk(content="a"),
        chunk("stop"),
        chunk(content="b"),
        chunk(tool_calls=[call(0, "x", "w", "{}")]),
        DONE,
    )

    assert "ab" == heard.joined("text") == heard.done.response.text
    assert [("w", "{}")] == heard.calls
