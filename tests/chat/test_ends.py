"""How answers end, and what inside a 200 is a failure and no answer."""

from __future__ import annotations

import json

import pytest

from onplan.chat.stream import ChatStream
from onplan.errors import (
    OnplanError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
)
from onplan.types import FinishReason, Refusal, Text

DONE = b"[DONE]"
BILLED = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
DIED = {"code": 502, "message": "upstream died", "metadata": {"provider_name": "P"}}


def chunk(finish=None, choice=None, index=0, **delta):
    choices = [{"index": index, "delta": delta, "finish_reason": finish, **(choice or {})}]
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices}


def whole(finish="stop", choice=None, **message):
    choices = [{"index": 0, "message": message, "finish_reason": finish, **(choice or {})}]
    return {"id": "c", "object": "chat.completion", "choices": choices}


def call(name="f", arguments="{}"):
    return {"index": 0, "id": "a", "function": {"name": name, "arguments": arguments}}


TEXT = chunk(content="half an an")
# events -> the error, what it says
FAILURES = {
    "an error in the choice": ([chunk("stop", {"error": DIED}, content="")], ServerError, "upstream died"),
    "the same after text": ([TEXT, chunk("stop", {"error": DIED})], ServerError, "upstream died"),
    "the same beside text": ([chunk("stop", {"error": DIED}, content="half")], ServerError, "upstream died"),
    "the same with the reason error": ([chunk("error", {"error": DIED})], ServerError, "upstream died"),
    "the same in a choice that is not the first": (
        [TEXT, chunk("stop", {"error": DIED}, index=1)],
        ServerError,
        "upstream died",
    ),
    "an error in the delta": ([TEXT, chunk("stop", error=DIED)], ServerError, "upstream died"),
    "an error in the choice that is a sentence": (
        [chunk("stop", {"error": "upstream died"})],
        StreamFailedError,
        "upstream died",
    ),
    "an error in a whole answer": (
        [whole("stop", {"error": DIED}, content="")],
        ServerError,
        "upstream died",
    ),
    "an error in a whole answer's message": ([whole(content="", error=DIED)], ServerError, "upstream died"),
    "a native reason, nothing said": (
        [chunk("stop", {"native_finish_reason": "network_error"}, content="")],
        StreamFailedError,
        "network_error",
    ),
    "a native reason after text": (
        [TEXT, chunk("stop", {"native_finish_reason": "error"})],
        StreamFailedError,
        "error",
    ),
    "a native reason alone": (
        [TEXT, chunk(None, {"native_finish_reason": "MALFORMED_FUNCTION_CALL"})],
        StreamFailedError,
        "MALFORMED_FUNCTION_CALL",
    ),
    "x_groq beside the end": (
        [TEXT, {**chunk("stop"), "x_groq": {"id": "r", "error": "over capacity"}}],
        OverloadedError,
        "over capacity",
    ),
    "x_groq alone": (
        [TEXT, {"choices": [], "x_groq": {"error": {"message": "over capacity", "code": 503}}}],
        OverloadedError,
        "over capacity",
    ),
    "an error beside a whole choice": (
        [{**chunk("stop", content="Hi"), "error": DIED}],
        ServerError,
        "upstream died",
    ),
    "an error inside an error": (
        [{"error": {"error": {"message": "over capacity", "code": "server_is_overloaded"}}}],
        OverloadedError,
        "over capacity",
    ),
    "a status that is text": (
        [{"error": {"message": "Slow down", "code": "429"}}],
        RateLimitError,
        "Slow down",
    ),
    "a body's own message and code": (
        [{"code": 429, "message": "Slow down", "data": None}],
        RateLimitError,
        "Slow down",
    ),
    "success that is false": ([{"success": False, "msg": "no such luck"}], StreamFailedError, "no such luck"),
    "a list of errors": (
        [{"success": False, "errors": [{"code": 7003, "message": "no such luck"}]}],
        StreamFailedError,
        "no such luck",
    ),
    "a list with an error in it": ([TEXT, [{"error": DIED}]], ServerError, "upstream died"),
    "a detail": ([{"detail": "no such luck"}], StreamFailedError, "no such luck"),
    "base_resp": (
        [{"choices": None, "base_resp": {"status_code": 1002, "status_msg": "too many requests"}}],
        RateLimitError,
        "too many requests",
    ),
    "a status beside the error": (
        [{"error": {"message": "Slow down"}, "status_code": 429}],
        RateLimitError,
        "Slow down",
    ),
    "a type of error": ([{"type": "error", "message": "no such luck"}], StreamFailedError, "no such luck"),
    "billed, and nothing sent": (
        [chunk(role="assistant", content=""), {**chunk("stop"), "usage": BILLED}],
        StreamCorruptError,
        "none of it was sent",
    ),
    "the same, not streamed": (
        [{**whole(content=""), "usage": BILLED}],
        StreamCorruptError,
        "none of it was sent",
    ),
    "the same in the words of another": (
        [chunk("end_turn", content=None), {"choices": [], "usage": BILLED}],
        StreamCorruptError,
        "none of it was sent",
    ),
    "an unknown reason, and nothing said": ([chunk("moonrise")], StreamFailedError, "moonrise"),
}


@pytest.mark.parametrize(("events", "error", "says"), FAILURES.values(), ids=FAILURES)
def test_a_failure_inside_a_200_is_an_error(listen, events, error, says):
    """Wherever the server tells of a failure, it is one, in the server's words, and never an answer."""
    heard = listen(*events, DONE, request_id="req-1")

    assert type(heard.failure) is error
    assert says in str(heard.failure)
    assert "req-1" == heard.failure.request_id
    assert [] == heard.of("done")


GOOD = {
    "a native reason of a good end": [chunk("stop", {"native_finish_reason": "end_turn"}, content="Hi")],
    "the same in capitals": [chunk("stop", {"native_finish_reason": "STOP"}, content="Hi")],
    "a native reason that is not known": [chunk("stop", {"native_finish_reason": "moonrise"}, content="Hi")],
    "errors that are null or empty": [
        {**chunk("stop", {"error": None}, content="Hi", error=None), "error": {}, "x_groq": {"error": None}}
    ],
    "an error without a word": [{**chunk("stop", content="Hi"), "error": {"code": 0, "message": ""}}],
    "base_resp that is fine": [
        {**chunk("stop", content="Hi"), "base_resp": {"status_code": 0, "status_msg": "success"}}
    ],
    "a code that is fine": [{"code": 0, "message": "ok"}, chunk("stop", content="Hi")],
    "an error that is none, in words": [
        {**chunk("stop", content="Hi"), "error": {"code": 0, "message": "success"}}
    ],
    "a job's status": [{"status": "processing", "message": "queued"}, chunk("stop", content="Hi")],
    "a status in words": [{"status": "in_progress"}, chunk("stop", content="Hi")],
    "usage in a chunk of its own": [chunk("stop", content="Hi"), {"choices": [], "usage": BILLED}],
}


@pytest.mark.parametrize("events", GOOD.values(), ids=GOOD)
def test_what_tells_of_no_failure_is_none(listen, events):
    """Fields of errors that say nothing, and native words for good ends, change nothing."""
    response = listen(*events, DONE).done.response

    assert ("Hi", FinishReason.STOP) == (response.text, response.finish_reason)


@pytest.mark.parametrize(
    "events",
    [
        [chunk("stop", reasoning_content="hm")],
        [chunk("stop", reasoning_details=[{"type": "reasoning.encrypted", "data": "AAA="}])],
        [chunk("stop", images=[{"type": "image_url", "image_url": {"url": "data:,"}}])],
        [chunk("stop", content=[{"type": "image_url", "image_url": {"url": "data:,"}}])],
        [chunk("length", content="")],
        [chunk("content_filter", content="")],
    ],
    ids=["thinking", "sealed thinking", "images", "images in the content", "cut before a word", "filtered"],
)
def test_an_answer_without_text_may_be_one(listen, events):
    """Thinking or images alone, or a limit that was reached before a word, are no missing answer."""
    assert "" == listen(*events, {"choices": [], "usage": BILLED}, DONE).done.response.text


def test_what_was_only_thought_is_no_missing_answer(listen):
    """Tokens that were all spent on thinking leave nothing to be sent."""
    counts = {**BILLED, "completion_tokens_details": {"reasoning_tokens": 5}}
    assert [] == listen({**chunk("stop"), "usage": counts}, DONE).done.response.message.content


# --- reasons -----------------------------------------------------------------------------------------

ENDS = {
    "cut": ("model_context_window_exceeded", FinishReason.LENGTH),
    "refused": ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
    "whole": ("<|eot_id|>", FinishReason.STOP),
    "unknown": ("moonrise", FinishReason.STOP),
}


@pytest.mark.parametrize(("word", "reason"), ENDS.values(), ids=ENDS)
def test_the_servers_word_is_kept(listen, word, reason):
    """The reason is one of the five, and the word that says it is in the answer."""
    response = listen(chunk(content="Hi"), chunk(word), DONE).done.response

    assert (reason, word) == (response.finish_reason, response.native_finish_reason)


@pytest.mark.parametrize("word", ["stop", "STOP", "length"])
def test_a_word_of_ours_is_not_said_twice(listen, word):
    """A native word is there only where it says more."""
    assert listen(chunk(word, content="Hi"), DONE).done.response.native_finish_reason is None


@pytest.mark.parametrize("word", ["tool_call", "function_calls", "<|eot_id|>", "stop", "moonrise"])
def test_calls_are_whole_by_any_word_for_a_good_end(listen, word):
    """Calls and a reason that is no failure are calls to carry out."""
    heard = listen(chunk(tool_calls=[call()]), chunk(word), DONE)

    assert [("f", "{}")] == heard.calls
    assert FinishReason.TOOL_CALLS is heard.done.finish_reason


@pytest.mark.parametrize("nothing", ["null", "", None, False, 0])
def test_a_word_for_no_reason_is_none(listen, nothing):
    """Some servers say null in other words, in every chunk."""
    heard = listen(chunk(nothing, content="Hel"), chunk(nothing, content="lo"), chunk("stop"), DONE)
    assert "Hello" == heard.done.response.text


@pytest.mark.parametrize("nothing", ["null", "", None, False, 0])
def test_a_word_for_no_reason_ends_nothing(listen, nothing):
    """An answer that has only such words was cut."""
    assert isinstance(listen(chunk(nothing, content="Hi"), DONE).failure, StreamTruncatedError)


@pytest.mark.parametrize(
    ("words", "native", "reason"),
    [
        (["length", "stop"], None, FinishReason.LENGTH),
        (["stop", "length"], None, FinishReason.LENGTH),
        (["content_filter", "stop"], None, FinishReason.CONTENT_FILTER),
        (["stop"], "MAX_TOKENS", FinishReason.LENGTH),
        (["stop"], "SAFETY", FinishReason.CONTENT_FILTER),
        (["stop"], "tool_use", FinishReason.STOP),
        (["length"], "stop", FinishReason.LENGTH),
    ],
)
def test_the_graver_of_two_reasons_counts(listen, words, native, reason):
    """That an answer was cut or filtered is not taken back by another word."""
    ends = [chunk(word, {"native_finish_reason": native}) for word in words]
    assert reason is listen(chunk(content="Hi"), *ends, DONE).done.finish_reason


@pytest.mark.parametrize("name", ["type", "reason"])
def test_a_reason_may_be_an_object(listen, name):
    """Its type or its reason is read."""
    assert FinishReason.LENGTH is listen(chunk({name: "length"}, content="Hi"), DONE).done.finish_reason


# --- without any reason ------------------------------------------------------------------------------

COUNTED = {"choices": [], "usage": BILLED}


@pytest.mark.parametrize(
    ("said", "text", "calls"),
    [(TEXT, "half an an", []), (chunk(tool_calls=[call()]), "", [("f", "{}")])],
    ids=["text", "a call"],
)
def test_usage_and_the_mark_are_an_end(listen, said, text, calls):
    """A server that has no reason, but counts what it sent and marks the end, has said that it is whole."""
    heard = listen(said, COUNTED, DONE)

    assert text == heard.done.response.text
    assert calls == heard.calls


@pytest.mark.parametrize(
    "events",
    [
        [TEXT, COUNTED],
        [TEXT, DONE],
        [{**TEXT, "usage": BILLED}, DONE],
        [COUNTED, TEXT, DONE],
        [TEXT, COUNTED, chunk(content="more"), DONE],
        [chunk(tool_calls=[call(arguments='{"a')]), COUNTED, DONE],
        [chunk(tool_calls=[call()]), COUNTED, chunk(tool_calls=[call(arguments='{"a')]), DONE],
        [COUNTED, DONE],
    ],
    ids=[
        "no mark",
        "no usage",
        "usage beside text",
        "first",
        "more text",
        "half a call",
        "more calls",
        "nothing",
    ],
)
def test_less_than_that_is_none(listen, events):
    """Without a reason, usage that is not the last word, or no mark, leaves it cut, and the error says so."""
    with pytest.raises(StreamTruncatedError, match="finish_reason"):
        raise listen(*events).failure


# --- choices -----------------------------------------------------------------------------------------


def choices(*entries):
    return {
        "id": "c",
        "choices": [{"index": index, "delta": delta, "finish_reason": end} for index, delta, end in entries],
    }


def test_calls_in_another_choice_belong_to_the_answer(listen):
    """One answer was asked for, so text in one choice and calls in others are one."""
    event = choices(
        (0, {"content": "I'll look"}, "tool_calls"),
        (1, {"tool_calls": [call()]}, "tool_calls"),
        (2, {"tool_calls": [{**call("g"), "id": "b"}]}, "tool_calls"),
    )
    heard = listen(event, DONE)

    assert [("f", "{}"), ("g", "{}")] == heard.calls
    assert Text("I'll look") == heard.parts[0]


@pytest.mark.parametrize("index", [1, 7, None, "1", 0.0])
def test_the_one_choice_may_have_any_index(listen, index):
    """Whatever its number, it is the answer."""
    assert "Hi" == listen(choices((index, {"content": "Hi"}, "stop")), DONE).done.response.text


def test_another_answer_is_left_out_with_its_calls_and_its_end(listen):
    """A second choice with a text of its own is another answer, which was not asked for."""
    heard = listen(
        choices((0, {"content": "Hi"}, None), (1, {"content": "no"}, None)),
        choices((1, {"tool_calls": [call()]}, "length")),
        choices((0, {}, "stop")),
        DONE,
    )

    assert ("Hi", FinishReason.STOP) == (heard.done.response.text, heard.done.finish_reason)
    assert [] == heard.calls


# --- the whole message at the end --------------------------------------------------------------------

WHOLES = {
    "text": ([chunk(content="hel"), chunk(content="lo")], whole(content="hello"), "hello", []),
    "text, of which the pieces lack some": ([chunk(content="hel")], whole(content="hello"), "hello", []),
    "text that is trimmed": ([chunk(content=" hello\n")], whole(content="hello"), " hello\n", []),
    "text in parts": (
        [chunk(content="hel")],
        whole(content=[{"type": "text", "text": "hello"}]),
        "hello",
        [],
    ),
    "nothing": ([chunk(content="hello")], whole(content=None), "hello", []),
    "a call": ([chunk(tool_calls=[call()])], whole("tool_calls", tool_calls=[call()]), "", [("f", "{}")]),
    "a call without its id": (
        [chunk(tool_calls=[call("f", '{"a": 1}')])],
        whole("tool_calls", tool_calls=[{"function": {"name": "f", "arguments": '{"a":1}'}}]),
        "",
        [("f", '{"a": 1}')],
    ),
    "a call whose arguments are an object": (
        [chunk(tool_calls=[call("f", '{"a": 1}')])],
        whole("tool_calls", tool_calls=[call("f", {"a": 1})]),
        "",
        [("f", '{"a": 1}')],
    ),
    "a call of which the pieces lack some": (
        [chunk(tool_calls=[call("f", '{"a"')])],
        whole("tool_calls", tool_calls=[call("f", '{"a":1}')]),
        "",
        [("f", '{"a":1}')],
    ),
    "a call more": (
        [chunk(tool_calls=[call()])],
        whole("tool_calls", tool_calls=[call(), {**call("g"), "id": "b"}]),
        "",
        [("f", "{}"), ("g", "{}")],
    ),
    "text and a call": (
        [chunk(content="hello"), chunk(tool_calls=[call()])],
        whole("tool_calls", content="hello", tool_calls=[call()]),
        "hello",
        [("f", "{}")],
    ),
    "an empty delta beside it": (
        [chunk(content="hel")],
        {"choices": [{"delta": {}, "message": {"content": "hello"}, "finish_reason": "stop"}]},
        "hello",
        [],
    ),
    "a delta and a message in every chunk": (
        [{"choices": [{"delta": {"content": "hello"}, "message": {"content": "hello"}}]}],
        chunk("stop"),
        "hello",
        [],
    ),
}


@pytest.mark.parametrize(("events", "last", "text", "calls"), WHOLES.values(), ids=WHOLES)
def test_the_whole_message_at_the_end_says_nothing_twice(listen, events, last, text, calls):
    """What has come in pieces is not taken once more, and what has not come is."""
    heard = listen(*events, last, DONE)

    assert text == heard.joined("text") == heard.done.response.text
    assert calls == heard.calls


@pytest.mark.parametrize(
    ("events", "last"),
    [
        ([chunk(content="hello")], whole(content="goodbye")),
        ([chunk(tool_calls=[call("f", '{"a":1}')])], whole("tool_calls", tool_calls=[call("f", '{"a":2}')])),
    ],
    ids=["text", "arguments"],
)
def test_a_message_that_contradicts_its_pieces_is_an_error(listen, events, last):
    """Which of the two is right cannot be known."""
    assert isinstance(listen(*events, last, DONE).failure, StreamCorruptError)


def test_pieces_may_come_as_messages(listen):
    """Some servers call every delta a message; at the end all of it may come once more."""

    def piece(text, finish=None):
        return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}

    assert "ha haha" == listen(piece("ha "), piece("ha"), piece("ha", "stop"), DONE).joined("text")
    assert "hello" == listen(piece("hel"), piece("lo"), piece("hello", "stop"), DONE).joined("text")


def test_thinking_is_not_taken_twice(listen):
    """The whole message repeats the thinking as well."""
    last = whole(content="Hi", reasoning_content="hm")
    heard = listen(chunk(reasoning_content="hm"), chunk(content="Hi"), last, DONE)

    assert "hm" == heard.joined("thinking")
    assert 2 == len(heard.parts)


# --- other types than they should be -----------------------------------------------------------------

ODD = {
    "an index that is no number": chunk(tool_calls=[{**call(), "index": "first"}]),
    "an id that is a number": chunk(tool_calls=[{**call(), "id": 7}]),
    "a model that is a number": {**chunk(tool_calls=[call()]), "model": 4},
    "a refusal that is false": chunk(tool_calls=[call()], refusal=False),
    "content that is false": chunk(tool_calls=[call()], content=False),
    "content that is an empty list": chunk(tool_calls=[call()], content=[]),
    "one call without its list": chunk(tool_calls=call()),
    "no choices but one": {"choices": chunk(tool_calls=[call()])["choices"][0]},
    "a function without its object": chunk(
        tool_calls=[{"index": 0, "id": "a", "name": "f", "arguments": "{}"}]
    ),
    "arguments that are an object": chunk(tool_calls=[call(arguments={})]),
    "arguments that are an empty list": chunk(tool_calls=[call(arguments=[])]),
    "usage that is text": {**chunk(tool_calls=[call()]), "usage": "none"},
    "a null among the calls": chunk(tool_calls=[None, call()]),
    "details that are one": chunk(tool_calls=[call()], reasoning_details={"type": "x"}),
    "types that are null": {**chunk(tool_calls=[{**call(), "type": None}]), "usage": None, "error": None},
}


@pytest.mark.parametrize("indexes", [("0", "1"), (0.0, 1.0), (0, "1")], ids=str)
def test_an_index_of_another_type_identifies_its_call(listen, indexes):
    """Two calls arrive in turns, and only the index says which of them a piece continues."""

    def pieces(*arguments, **first):
        entries = zip(indexes, arguments, strict=True)
        return chunk(
            tool_calls=[{"index": at, "function": {"arguments": said, **first}} for at, said in entries]
        )

    heard = listen(pieces('{"p"', '{"q"', name="f"), pieces(":1}", ":2}"), chunk("tool_calls"), DONE)

    assert [("f", '{"p":1}'), ("f", '{"q":2}')] == heard.calls


@pytest.mark.parametrize("event", ODD.values(), ids=ODD)
def test_a_field_of_another_type_is_read_where_it_is_clear(listen, event):
    """Numbers as text and text as numbers, false for null, one for a list of one: the call is there."""
    assert [("f", "{}")] == listen(event, chunk("tool_calls"), DONE).calls


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (5, "5"),
        (1.5, "1.5"),
        ({"type": "text", "text": "Hi"}, "Hi"),
        ({"text": "Hi"}, '{"text":"Hi"}'),
        ({"name": "Ada"}, '{"name":"Ada"}'),
        ([{"type": "output_text", "text": "Hi"}], "Hi"),
        (["H", "i"], "Hi"),
        ([{"type": None, "text": "Hi"}], "Hi"),
    ],
)
def test_content_of_another_type_is_text(listen, content, text):
    """It is what was said, written as JSON where it is no text."""
    assert text == listen(chunk("stop", content=content), DONE).done.response.text


@pytest.mark.parametrize("kind", ["thinking", "reasoning"])
@pytest.mark.parametrize("field", ["text", "thinking", "content"])
def test_thinking_may_be_a_part_of_the_content(listen, kind, field):
    """A part of that type is thinking, whatever the field of its text is called."""
    heard = listen(chunk(content=[{"type": kind, field: "hm"}]), chunk("stop", content="Hi"), DONE)

    assert ("hm", "Hi") == (heard.joined("thinking"), heard.done.response.text)


def test_a_refusal_may_be_a_part_of_the_content(listen):
    """It is a refusal as in its own field."""
    heard = listen(chunk("stop", content=[{"type": "refusal", "refusal": "No."}]), DONE)

    assert [Refusal("No.")] == heard.done.response.message.content
    assert FinishReason.CONTENT_FILTER is heard.done.finish_reason


@pytest.mark.parametrize(
    "choice",
    [{"text": "Hi"}, {"delta": "Hi"}, {"text": "Hi", "delta": None}, {"text": 5, "delta": {"content": "Hi"}}],
    ids=["text", "a delta that is text", "text and no delta", "text and a delta"],
)
def test_text_in_place_of_a_delta_is_text(listen, choice):
    """Servers of completions of old say it in the choice itself."""
    assert "Hi" == listen({"choices": [{**choice, "finish_reason": "stop"}]}, DONE).done.response.text


GRIN = json.dumps("\N{GRINNING FACE}").strip('"').encode()
FIRST, SECOND = GRIN[:6], GRIN[6:]


def raw(text, field="content"):
    """A chunk of which ``text`` is JSON already."""
    return b'{"choices":[{"index":0,"delta":{"%b":"%b"},"finish_reason":null}]}' % (field.encode(), text)


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([raw(b"a" + FIRST), raw(SECOND + b"b")], "a\N{GRINNING FACE}b"),
        ([raw(FIRST), chunk(), raw(SECOND)], "\N{GRINNING FACE}"),
        ([raw(FIRST), raw(SECOND + FIRST), raw(SECOND)], "\N{GRINNING FACE}" * 2),
        ([raw(GRIN + FIRST), raw(SECOND)], "\N{GRINNING FACE}" * 2),
        ([raw(FIRST + b"a"), raw(b"b" + SECOND)], "\N{REPLACEMENT CHARACTER}ab\N{REPLACEMENT CHARACTER}"),
        ([raw(SECOND)], "\N{REPLACEMENT CHARACTER}"),
        ([raw(b"a" + FIRST), raw(b"b")], "ab"),
        ([raw(rb"\\ud83d")], r"\ud83d"),
        ([raw(GRIN)], "\N{GRINNING FACE}"),
    ],
    ids=[
        "cut",
        "with a chunk between",
        "twice",
        "after a whole one",
        "in the middle",
        "second",
        "first",
        "text",
        "whole",
    ],
)
def test_a_character_that_was_cut_in_two_is_whole(listen, chunks, text):
    """The halves of a character meet again; half of one is no text, and loses nothing else."""
    heard = listen(*chunks, chunk("stop"), DONE)

    assert text == heard.joined("text") == heard.done.response.text


def test_a_character_may_be_cut_in_any_field(listen):
    """Thinking and arguments are text as well."""
    thinking = [raw(FIRST, "reasoning_content"), raw(SECOND, "reasoning_content")]
    assert "\N{GRINNING FACE}" == listen(*thinking, chunk("stop", content="a"), DONE).joined("thinking")


def test_failures_are_errors_of_the_library_whatever_their_shape(listen):
    """An error may be any JSON value at all."""
    for error in [1, 1.5, True, "x", ["x"], [["x"]], {"a": {}}, {"message": {"a": 1}}, {"code": [1]}]:
        heard = listen({"error": error}, DONE)
        assert isinstance(heard.failure, OnplanError), json.dumps(error)


USED = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
# What came, and whether the end is near then: within seconds, rather than a minute.
NEAR = {
    "text, the reason": ([chunk(content="hi"), chunk("stop", role="assistant")], True),
    "text, the reason beside the last of it": ([chunk(content="hi"), chunk("stop", content=" you")], True),
    "the reason beside all of it": ([chunk("stop", content="hi")], False),
    "the reason beside all of it, usage": ([chunk("stop", content="hi"), USED], True),
    "the reason before anything": ([chunk("stop", role="assistant")], False),
    "reasons in every chunk": ([chunk("stop", content="hi"), chunk("stop", content=" you")], False),
    "nothing more after the reason": (
        [chunk(content="hi"), chunk("stop", role="assistant"), chunk(role="assistant")],
        True,
    ),
    "more after the reason": (
        [
            chunk(content="hi"),
            chunk("stop", role="assistant"),
            chunk(content=" you"),
            chunk("stop", role="assistant"),
        ],
        False,
    ),
}


@pytest.mark.parametrize(("events", "near"), NEAR.values(), ids=NEAR)
def test_how_long_the_end_is_waited_for(events, near):
    """A finish reason is believed where something had come without one, and nothing came after one."""
    stream = ChatStream("m")
    stream.feed([json.dumps(event).encode() for event in events])

    assert not stream.finished
    assert near is (stream.grace < 5)
    assert near or stream.grace >= 60


# What came, and for how many seconds the end is waited for then.
GRACE = {
    "the reason alone": ([chunk(content="hi"), chunk("stop", role="assistant")], 1.0),
    "the reason beside content": ([chunk(content="hi"), chunk("stop", content=" you")], 2.5),
    "a call that is not whole": ([chunk("tool_calls", tool_calls=[call("f", '{"a"')])], None),
    "a call whose name has not come": (
        [chunk("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])],
        None,
    ),
    "a call in pieces, a reason beside each": (
        [
            chunk("tool_calls", tool_calls=[call("f", '{"a":')]),
            chunk("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        ],
        60.0,
    ),
    "a call without arguments": (
        [chunk(tool_calls=[call("f", "")]), chunk("tool_calls", role="assistant")],
        1.0,
    ),
    "a call that is whole": (
        [chunk(tool_calls=[call()]), chunk("tool_calls", role="assistant")],
        1.0,
    ),
    "a call that is cut": (
        [chunk(tool_calls=[call("f", '{"a"')]), chunk("length", role="assistant")],
        1.0,
    ),
    "usage after the reason": ([chunk("stop", content="hi"), USED], 1.0),
}


@pytest.mark.parametrize(("events", "seconds"), GRACE.values(), ids=GRACE)
def test_the_seconds_for_which_the_end_is_waited_for(events, seconds):
    """Longer if content may follow; without end while a call may still get the rest of its arguments."""
    stream = ChatStream("m")
    stream.feed([json.dumps(event).encode() for event in events])

    assert stream.grace == seconds


def test_a_failure_after_the_finish_reason_leaves_the_answer_whole(listen):
    """An answer that has its finish reason is the answer, whatever the server sends after it."""
    heard = listen(chunk(content="hi"), chunk("stop", role="assistant"), {"error": {"message": "broke"}})

    assert heard.done.response.text == "hi"


def test_errors_in_place_of_choices_fail_the_answer(listen):
    """A list of errors is read like a single one."""
    heard = listen(chunk(content="hi"), {"errors": [{"code": "server_is_overloaded", "message": "busy"}]})

    assert isinstance(heard.failure, OverloadedError)


def test_an_answer_is_whole_from_its_finish_reason_on():
    """Until then a broken connection cuts it; after its end nothing more is read."""
    stream = ChatStream("m")
    assert not stream.is_whole
    stream.feed([json.dumps(TEXT).encode()])
    assert not stream.is_whole
    stream.feed([json.dumps(chunk("stop")).encode()])
    assert stream.is_whole
    (done,) = stream.feed([DONE])[-1:]

    assert stream.feed([json.dumps(chunk(content="more")).encode()]) == []
    assert stream.response is done.response


def test_where_in_its_part_a_text_is_cited(listen):
    """Servers count from the beginning of the message; a part begins where the ones before it end."""
    cited = {"type": "url_citation", "start_index": 4, "end_index": 7, "url": "https://example.org"}
    heard = listen(
        chunk(content="One "),
        chunk(reasoning_content="hm"),
        chunk(content="Two", annotations=[cited, {"type": "note"}]),
        chunk("stop"),
        DONE,
    )

    *_, text = heard.done.response.message.content
    assert text.text == "Two"
    assert list(text.annotations) == [{**cited, "start_index": 0, "end_index": 3}, {"type": "note"}]


def test_blanks_around_the_mark_of_the_end(listen):
    """Some servers send a line end within it."""
    assert listen(chunk(content="Hi"), chunk("stop"), b" [DONE] ").done.response.text == "Hi"
    stream = ChatStream("m")
    stream.feed([json.dumps(each).encode() for each in (chunk(content="Hi"), chunk("stop"))])
    assert stream.feed([b" [DONE]\r"])[-1].type == "done"


def test_a_call_without_the_object_around_its_name(listen):
    """In a whole answer, and at the end of a stream that had it already."""
    bare = {"index": 0, "id": "a", "name": "f", "arguments": "{}"}
    assert listen(whole("tool_calls", tool_calls=[bare])).calls == [("f", "{}")]
    again = {**whole("tool_calls", tool_calls=[bare]), "object": "chat.completion.chunk"}
    assert listen(chunk(tool_calls=[call()]), again).calls == [("f", "{}")]


def test_parts_that_are_no_text(listen):
    """Of a list of contents only texts are the answer's."""
    parts = ["One", {"type": "text", "text": " two"}, {"type": "image_url", "text": " three"}, 5]

    assert listen(chunk(content=parts), chunk("stop")).done.response.text == "One two"


def test_pieces_that_come_as_messages(listen):
    """Each is more of the text, also where it begins like all of it; with the reason comes the whole."""
    pieces = (whole(None, content="a"), whole(None, content="aa"))
    assert listen(*pieces, chunk("stop")).done.response.text == "aaa"
    assert listen(*pieces, whole("stop", content="aaa")).done.response.text == "aaa"


def test_what_is_no_text_of_a_whole_answer_contradicts_nothing(listen):
    """Only the texts of its parts are compared with what was streamed."""
    parts = [{"type": "text", "text": "Hi"}, {"type": "image_url", "text": " there"}]

    assert listen(chunk(content="Hi"), whole("stop", content=parts)).done.response.text == "Hi"
