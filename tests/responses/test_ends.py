"""How a Responses stream ends, and what it says of the plan's limits on the way."""

from __future__ import annotations

import json

import pytest

from onplan.answers.failures import failure_of_complaint
from onplan.answers.sse import Body, EventDecoder
from onplan.errors import (
    ContextLengthError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.responses.stream import ResponseStream
from onplan.types import FinishReason, HostedToolCall, Text, Thinking, ToolCall, ToolCallDelta

NOW = 1_800_000_000.0
MESSAGE = {"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "hello"}]}
CALL = {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}"}
HELLO = [
    {"type": "response.output_text.delta", "item_id": "m1", "output_index": 0, "delta": "hel"},
    {"type": "response.output_text.delta", "item_id": "m1", "output_index": 0, "delta": "lo"},
]
BUSY = {"code": "server_is_overloaded", "message": "busy"}


def end(kind, **response):
    return {"type": f"response.{kind}", "response": {"id": "r", **response}}


def done(item, index=0):
    return {"type": "response.output_item.done", "output_index": index, "item": item}


@pytest.mark.parametrize(
    ("last", "finish"),
    [
        (end("done", status="completed", output=[MESSAGE]), FinishReason.STOP),
        (end("done"), FinishReason.STOP),
        (end("done", status=None), FinishReason.STOP),
        (end("done", status="in_progress"), FinishReason.STOP),
        (end("done", status=[]), FinishReason.STOP),
        ({"type": "response.done"}, FinishReason.STOP),
        (end("completed", status="in_progress"), FinishReason.STOP),
        (
            end("done", status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            FinishReason.LENGTH,
        ),
        (
            end("completed", status="incomplete", incomplete_details={"reason": "content_filter"}),
            FinishReason.CONTENT_FILTER,
        ),
        (
            end("incomplete", status="completed", incomplete_details={"reason": "max_output_tokens"}),
            FinishReason.LENGTH,
        ),
    ],
    ids=str,
)
def test_an_answer_ends_by_its_status(last, finish, listen):
    """``response.done`` ends an answer as well, and what counts is the status inside."""
    heard = listen(*HELLO, last)

    assert heard.failure is None
    assert (heard.done.finish_reason, heard.parts) == (finish, [Text("hello")])


@pytest.mark.parametrize(
    ("thought", "billed", "lost"),
    [(5, 5, False), (5, 6, True), (0, 0, False), (0, 1, True)],
    ids=["reasoning alone", "more than that", "nothing", "text alone"],
)
def test_an_answer_without_content_was_billed_for_it_or_not(thought, billed, lost, listen):
    """Nothing is missing if only reasoning was billed; if more was, the content got lost on its way."""
    usage = {"output_tokens": billed, "output_tokens_details": {"reasoning_tokens": thought}}
    heard = listen(end("completed", status="completed", output=[], usage=usage))

    assert (type(heard.failure) is StreamCorruptError) is lost
    assert bool(heard.of("done")) is not lost


def test_a_call_without_an_index_and_an_end_without_a_status(listen):
    """The Codex WebSocket has been seen to end a tool call so."""
    heard = listen({"type": "response.output_item.done", "item": CALL}, end("done"))

    assert heard.done.finish_reason is FinishReason.TOOL_CALLS
    assert heard.parts == [ToolCall("c1", "f", "{}")]


@pytest.mark.parametrize(
    ("last", "error", "says"),
    [
        (end("done", status="failed", error=BUSY), OverloadedError, "busy"),
        (end("done", status="failed"), StreamFailedError, "failed"),
        (end("done", status="cancelled"), StreamFailedError, "cancelled"),
        (end("cancelled", status="cancelled"), StreamFailedError, "cancelled"),
        (end("cancelled"), StreamFailedError, "cancelled"),
        ({"type": "response.cancelled"}, StreamFailedError, "cancelled"),
        (end("cancelled", error=BUSY), OverloadedError, "busy"),
        (end("completed", status="cancelled"), StreamFailedError, "cancelled"),
        (end("failed", error=BUSY), OverloadedError, "busy"),
        (end("failed", status="completed", error=BUSY), OverloadedError, "busy"),
        ({"type": "response.failed", "error": BUSY}, OverloadedError, "busy"),
        ({"type": "response.failed", **BUSY}, OverloadedError, "busy"),
        ({"type": "response.failed"}, StreamFailedError, "failed"),
        ({"type": "response.error", "error": BUSY}, OverloadedError, "busy"),
        ({"type": "response.error", "error": {"message": "boom"}}, StreamFailedError, "boom"),
        ({"type": "response.error", **BUSY}, OverloadedError, "busy"),
        ({"type": "response.error", "response": {"error": BUSY}}, OverloadedError, "busy"),
        ({"type": "error", "status_code": 503, "error": {"message": "boom"}}, ServerError, "boom"),
        ({"type": "error", "status": "503", "error": {"message": "boom"}}, ServerError, "boom"),
        ({"type": "error", "status": 7, "error": {"message": "boom"}}, StreamFailedError, "boom"),
        ({"error": {"message": "boom", "code": "500"}}, ServerError, "boom"),
        ([{"error": {"message": "slow", "code": 429}}], RateLimitError, "slow"),
        (end("incomplete", incomplete_details={"reason": "moonrise"}), StreamFailedError, "moonrise"),
        (end("incomplete", incomplete_details="moonrise"), StreamFailedError, "moonrise"),
        (done({**MESSAGE, "status": "failed"}), StreamFailedError, "failed"),
        (done({**MESSAGE, "error": BUSY}), OverloadedError, "busy"),
        ({"errors": [{"message": "boom"}]}, UnexpectedReplyError, "boom"),
        ({"detail": "boom"}, UnexpectedReplyError, "boom"),
        (end("incomplete", incomplete_details=[1]), StreamFailedError, "interrupted"),
        (end("incomplete"), StreamFailedError, "no reason given"),
    ],
    ids=str,
)
def test_a_failure_at_the_end_is_told(last, error, says, listen):
    """Whatever the last event is called, and wherever it has its words, it is that failure."""
    heard = listen(*HELLO, last)

    assert type(heard.failure) is error
    assert says in heard.failure.message
    assert "".join(chunk.text for chunk in heard.of("text")) == "hello"


def test_without_an_end_an_answer_is_cut(listen):
    """However whole it looks."""
    stream = ResponseStream("m")
    stream.feed(json.dumps(event).encode() for event in [*HELLO, done(MESSAGE)])

    with pytest.raises(StreamTruncatedError):
        stream.close()


def test_after_its_end_nothing_is_missing():
    """The connection may close then."""
    stream = ResponseStream("m")
    stream.feed(json.dumps(event).encode() for event in [*HELLO, end("completed")])

    assert stream.close() == []


@pytest.mark.parametrize(
    ("ids", "expected"),
    [(("r1", "r2"), "r2"), (("r1", None), "r1"), ((None, "r2"), "r2"), ((None, None), None)],
)
def test_the_id_of_the_response(ids, expected, listen):
    """It may come at the beginning or at the end."""
    first, last = ({"id": each} if each else {} for each in ids)
    began = {"type": "response.created", "response": first or None}
    heard = listen(began, *HELLO, {"type": "response.completed", "response": last})

    assert heard.done.response.response_id == expected


def test_the_code_of_a_failure_is_kept():
    """By it the turn tells whether another connection would help."""
    stream = ResponseStream("m")
    stream.feed([json.dumps(end("failed", error=BUSY)).encode()])

    assert stream.failure_codes == ("server_is_overloaded",)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"Internal Server Error", ": Internal Server Error"),
        (b"[ERROR] upstream\ntimeout", ": [ERROR] upstream timeout"),
        (b"[DONE]", "."),
        (b"{}", "."),
        (b"\x00\x01", "."),
    ],
)
def test_words_in_place_of_an_event_are_told(payload, said):
    """A stream that is cut says what it said last, if that was for people."""
    stream = ResponseStream("m")
    stream.feed([json.dumps(HELLO[0]).encode(), payload, b'{"type":"ping"}', b"[DONE]"])

    with pytest.raises(StreamTruncatedError) as caught:
        stream.close()
    assert str(caught.value) == f"The answer ended before it was complete{said}"


# --- shapes -------------------------------------------------------------------------------------------

ODD = {"p": "it's", "q": True, "n": None}
TEXT = '{"p":"it\'s","q":true,"n":null}'
BEGUN = {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}}


def arguments(kind, value):
    key = "delta" if kind == "delta" else "arguments"
    where = {"item_id": "fc", "output_index": 0}
    return {"type": f"response.function_call_arguments.{kind}", key: value, **where}


@pytest.mark.parametrize(
    "events",
    [
        [done({**CALL, "arguments": ODD})],
        [{**end("completed"), "response": {"output": [{**CALL, "arguments": ODD}]}}],
        [BEGUN, arguments("done", ODD)],
        [BEGUN, arguments("delta", ODD)],
        [BEGUN, arguments("delta", ODD), done({**CALL, "arguments": ODD})],
        [BEGUN, arguments("delta", TEXT), arguments("done", ODD), done({**CALL, "arguments": ODD})],
        [BEGUN, arguments("delta", TEXT), done({**CALL, "arguments": json.dumps(ODD, indent=2)})],
    ],
    ids=["item", "output", "done", "delta", "delta and item", "text, then objects", "text, spaced otherwise"],
)
def test_arguments_as_an_object_are_its_json_text(events, listen):
    """llama.cpp sends an object: its JSON is what the model wrote, and never Python's form of it."""
    heard = listen(*events, end("completed", status="completed"))

    assert heard.failure is None
    assert heard.parts == [ToolCall("c1", "f", TEXT)]
    assert heard.arguments("c1") == TEXT


@pytest.mark.parametrize("other", ['{"p":2}', "[]", "no JSON"])
def test_arguments_that_say_something_else_are_a_contradiction(other, listen):
    """What was streamed, and may have been shown, must be what is carried out."""
    heard = listen(BEGUN, arguments("delta", '{"p":1}'), done({**CALL, "arguments": other}), end("completed"))

    assert isinstance(heard.failure, StreamCorruptError)


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ({**MESSAGE, "content": "hello"}, Text("hello")),
        ({**MESSAGE, "content": ["hello"]}, Text("hello")),
        ({**MESSAGE, "content": {"type": "output_text", "text": "hello"}}, Text("hello")),
        ({**MESSAGE, "content": [{"text": "hello"}]}, Text("hello")),
        ({**MESSAGE, "phase": 7}, Text("hello")),
        ({"type": "reasoning", "summary": "Hm.", "encrypted_content": "e"}, Thinking("Hm.", "e")),
        ({"type": "reasoning", "summary": ["Hm."], "encrypted_content": "e"}, Thinking("Hm.", "e")),
        ({"type": "reasoning", "summary": [], "content": "Hm."}, Thinking("Hm.")),
        ({"type": "reasoning", "summary": None, "content": ["Hm."]}, Thinking("Hm.")),
    ],
    ids=str,
)
def test_content_of_other_shapes(item, part, listen):
    """A string, or a list of strings, where a list of objects belongs, is read as what it says."""
    heard = listen(done(item), end("completed"))

    assert heard.failure is None
    assert heard.parts == [part]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 3, "output_tokens": 2, "output_tokens_details": [1]}, (3, 2)),
        ({"input_tokens": "3", "output_tokens": 2.0}, (3, 2)),
        ({"input_tokens": True, "output_tokens": {}}, (0, 0)),
        ({"input_tokens": "9" * 5000, "output_tokens": "-1"}, (0, 0)),
        ([3, 2], (0, 0)),
        ("", (0, 0)),
    ],
    ids=["details", "texts and floats", "no numbers", "absurd", "list", "text"],
)
def test_an_answer_is_not_lost_for_its_bill(usage, tokens, listen):
    """Token counts of any shape leave the answer whole."""
    heard = listen(*HELLO, end("completed", usage=usage))

    assert heard.failure is None
    assert (heard.done.usage.prompt_tokens, heard.done.usage.completion_tokens) == tokens


# --- bodies that are not streams ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b"Ollama is running", UnexpectedReplyError, "Ollama is running"),
        (b"{}", UnexpectedReplyError, "not a stream"),
        (b"[]", UnexpectedReplyError, "not a stream"),
        (b'{"message": "no Route"}', UnexpectedReplyError, "no Route"),
        (b'{"status": "completed", "message": "no Route"}', UnexpectedReplyError, "no Route"),
        (b'{"code": 1113, "msg": "Insufficient balance"}', UsageLimitError, "Insufficient"),
        (b'[{"error": {"code": 429, "message": "Resource exhausted"}}]', RateLimitError, "Resource"),
        (b'{"error": {"message": "boom"}}', StreamFailedError, "boom"),
        (
            b'error: {"code": 400, "message": "exceeds the available context size"}\n\n',
            ContextLengthError,
            "",
        ),
        (b'event: error\ndata: {"message": "a", "code": "rate_limit_exceeded"}\n\n', RateLimitError, "a"),
        (b"event: error\ndata: exploded\n\n", StreamFailedError, "exploded"),
        (b'data: {}\n\n{"error": {"message": "exploded"}}\n\n', StreamFailedError, "exploded"),
        (b'{"error": {"message": "exploded"}}\n\ndata: [DONE]\n\n', StreamFailedError, "exploded"),
    ],
    ids=repr,
)
def test_a_failure_in_place_of_a_stream_is_told(body, error, says):
    """The server's own words, in every shape that has been seen, whatever reads the bytes are cut in."""
    for step in (1, len(body)):
        decoder, stream = EventDecoder(), ResponseStream("m")
        for start in range(0, len(body), step):
            stream.feed(decoder.feed(body[start : start + step]))
        stream.feed(decoder.close())

        assert type(stream.failure) is error
        assert says in stream.failure.message


@pytest.mark.parametrize("payload", [b"{}", b'{"error": null}', b'{"base_resp": {"status_code": 0}}', b"[]"])
def test_what_says_nothing_among_events_is_skipped(payload):
    """As a body it is no answer; as an event it keeps the line open."""
    stream = ResponseStream("m")

    assert stream.feed([payload]) == []
    assert stream.failure is None
    stream.feed([Body(payload)])
    assert isinstance(stream.failure, UnexpectedReplyError)


# --- limits inside a stream ------------------------------------------------------------------------------

REACHED = {"type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "plus"}
HEADERS = {
    "X-Codex-Active-Limit": "premium",
    "X-Codex-Primary-Used-Percent": "100",
    "X-Codex-Primary-Window-Minutes": "300",
    "X-Codex-Primary-Reset-At": "1800003600",
}
LOWER = {name.lower(): value for name, value in HEADERS.items()}
FIVE_HOURS = {"used_percent": 100.0, "window_minutes": 300, "reset_at": 1_800_003_600}
RATE_LIMITS = {"type": "codex.rate_limits", "plan_type": "plus", "rate_limits": {"primary": FIVE_HOURS}}


@pytest.mark.parametrize(
    ("events", "head"),
    [
        ([{"type": "error", "status": 429, "error": REACHED, "headers": HEADERS}], {}),
        ([{"type": "error", "status_code": 429, "error": REACHED, "headers": HEADERS}], {}),
        ([{"type": "error", "error": REACHED, "headers": HEADERS}], {}),
        ([{"type": "error", "error": REACHED}], LOWER),
        ([{"type": "response.failed", "headers": HEADERS, "response": {"error": REACHED}}], {}),
        ([end("failed", error=REACHED)], LOWER),
        ([end("done", status="failed", error=REACHED)], LOWER),
        ([RATE_LIMITS, end("failed", error={"code": "usage_limit_reached"})], {}),
        ([RATE_LIMITS, end("failed", error=REACHED)], {**LOWER, "x-codex-primary-used-percent": "12"}),
        (
            [end("failed", error={**REACHED, "resets_at": 1_800_003_601})],
            {**LOWER, "x-codex-primary-used-percent": "98"},
        ),
        (
            [end("failed", error={**REACHED, "resets_in_seconds": 3_600})],
            {**LOWER, "x-codex-primary-used-percent": "98"},
        ),
    ],
    ids=[
        "frame with status",
        "frame with status_code",
        "frame without status",
        "frame, head",
        "failed, its own headers",
        "failed, head",
        "done, head",
        "event",
        "event after an older head",
        "by the moment it resets",
        "by the seconds until it resets",
    ],
)
def test_a_limit_inside_a_stream_is_told_like_a_429(events, head):
    """Window, reset time and plan come from the frame, from events, or from the answer's own headers."""
    stream = ResponseStream("m")
    stream.feed(json.dumps(event).encode() for event in events)

    error = failure_of_complaint(stream.complaint, head, NOW, "req-1")

    assert isinstance(error, UsageLimitError)
    assert error.message.startswith("The 5-hour usage limit of the ")
    assert (error.window_minutes, error.retryable, error.request_id) == (300, False, "req-1")
    assert error.resets_at == pytest.approx(1_800_003_600, abs=1)


def test_the_answer_says_what_is_left():
    """By the headers that it began with, and by the events since."""
    stream = ResponseStream("m")
    stream.limit_headers, stream.began_at = LOWER, NOW
    stream.feed(json.dumps(event).encode() for event in HELLO)
    assert [window.used_percent for window in stream.limits.windows] == [100.0]

    less = {**RATE_LIMITS, "rate_limits": {"primary": {**FIVE_HOURS, "used_percent": 12}}}
    stream.feed(json.dumps(event).encode() for event in [less, end("completed")])
    assert [window.used_percent for window in stream.response.limits.windows] == [12.0]


@pytest.mark.parametrize(
    "event",
    [{}, {"rate_limits": 7}, {"rate_limits": {"primary": [1]}}, {"limit_name": ["x"], "plan_type": 5}],
)
def test_limits_of_any_shape_leave_the_answer_whole(event, listen):
    """What comes about limits on the way is never the reason why an answer is lost."""
    heard = listen(*HELLO, {**event, "type": "codex.rate_limits"}, end("completed"))

    assert heard.parts == [Text("hello")]


# --- calls are never doubled -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [
        [done(CALL, 1)],
        [done({**CALL, "id": "other"}, 1)],
        [done({**CALL, "id": None}, None)],
        [done({**CALL, "type": None}, 1)],
        [end("completed", output=[{**CALL, "id": "other"}])],
        [end("completed", output=[MESSAGE, {**CALL, "id": "other"}])],
        [{"type": "response.output_item.added", "output_index": 4, "item": CALL}],
        [done({**CALL, "id": "other", "arguments": "{ }"}, 1)],
    ],
    ids=["index", "id", "neither", "no type", "output", "output, at another place", "begun again", "spaced"],
)
def test_a_call_is_known_by_its_call_id(again, listen):
    """However the other ids and indexes go wrong, the same call comes out once."""
    last = [] if again[0]["type"] == "response.completed" else [end("completed")]
    heard = listen(done(CALL), *again, *last)

    assert heard.failure is None
    assert [part for part in heard.parts if isinstance(part, ToolCall)] == [ToolCall("c1", "f", "{}")]
    assert [chunk.type for chunk in heard.chunks].count("tool_call_end") == 1
    assert not [chunk for chunk in heard.chunks[3:] if isinstance(chunk, ToolCallDelta)]


@pytest.mark.parametrize("other", [{"arguments": '{"a":1}'}, {"name": "g"}])
def test_two_calls_with_one_id_are_an_error(other, listen):
    """A result could not say which of the two it is of."""
    heard = listen(done(CALL), done({**CALL, "id": "other", **other}, 1), end("completed"))

    assert isinstance(heard.failure, StreamCorruptError)


def test_items_that_are_all_number_0_are_several(listen):
    """Without ids, what says something else is another item."""
    heard = listen(
        done({**MESSAGE, "id": None}),
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "you"},
        done({"type": "message", "content": [{"type": "output_text", "text": "you"}]}),
        end("completed"),
    )

    assert heard.parts == [Text("hello"), Text("you")]


# --- what is no failure, and whose limit it is -----------------------------------------------------------


def test_an_answer_of_reasoning_alone_is_an_answer(listen):
    """Tokens that the model only thought with are no sign that text is missing."""
    usage = {"output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 5}}

    assert listen(end("completed", usage=usage)).done.usage.reasoning_tokens == 5


def test_an_answer_that_was_produced_and_not_sent_is_an_error(listen):
    """One token more than the reasoning, and nothing came: it must be missing."""
    usage = {"output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 5}}

    assert isinstance(listen(end("completed", usage=usage)).failure, StreamCorruptError)


def test_an_answer_whose_annotations_come_once_is_not_doubled(listen):
    """Items without ids are known by what they say, whichever event has the annotations of it."""
    bare = {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}
    note = {"type": "url_citation", "url": "https://a.example"}
    noted = {"type": "message", "content": [{"type": "output_text", "text": "hello", "annotations": [note]}]}
    finished = {"type": "response.output_item.done", "item": noted}

    for last in (bare, noted):
        heard = listen(finished, end("completed", output=[last]))
        assert heard.parts == [Text("hello", None, [note])]


def test_a_hosted_tool_that_failed_leaves_the_answer_whole(listen):
    """The model goes on without the search, which stays in the history."""
    search = {"type": "web_search_call", "id": "ws", "status": "failed"}

    failed = HostedToolCall("web_search", {"id": "ws", "status": "failed"})
    assert listen(done(search), *HELLO, end("completed")).parts == [failed, Text("hello")]


@pytest.mark.parametrize(
    "names",
    [
        {"metered_limit_name": "gpt-6-spark", "limit_name": "other"},
        {"limit_name": "gpt-6-spark"},
        {"metered_limit_name": "gpt-6-spark"},
    ],
    ids=str,
)
def test_an_event_names_the_meter_of_its_limits(names):
    """``metered_limit_name`` counts, else ``limit_name``."""
    window = {"primary": {"used_percent": 100, "window_minutes": 300, "reset_at": 1_800_003_600}}
    stream = ResponseStream("m")
    events = [
        {"type": "codex.rate_limits", **names, "rate_limits": window},
        end("failed", error={"code": "usage_limit_reached"}),
    ]
    stream.feed(json.dumps(event).encode() for event in events)

    assert stream.failure.message.startswith("The 5-hour usage limit for gpt-6-spark is reached")


SEVERITY = ["completed", "incomplete", "cancelled", "failed"]


@pytest.mark.parametrize("inside", [*SEVERITY, "in_progress", None])
@pytest.mark.parametrize("kind", [*SEVERITY, "done"])
def test_the_worse_of_name_and_status_counts(listen, kind, inside):
    """An event that says one end and holds the status of another ends as the worse of the two."""
    said = end(kind, status=inside, output=[], incomplete_details={"reason": "max_output_tokens"})
    known = [SEVERITY.index(each) for each in (kind, inside) if each in SEVERITY]
    worse = SEVERITY[max(known, default=0)]
    heard = listen(*HELLO, done(MESSAGE), said)

    if worse in ("cancelled", "failed"):
        assert isinstance(heard.failure, StreamFailedError)
        assert ("cancelled" in str(heard.failure)) is (worse == "cancelled")
        assert heard.parts == [Text("hello")]
    else:
        expected = FinishReason.LENGTH if worse == "incomplete" else heard.done.response.finish_reason
        assert heard.failure is None
        assert heard.done.response.finish_reason is expected
        if worse == "completed":
            assert heard.done.response.message.content == [Text("hello")]
