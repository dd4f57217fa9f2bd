"""Custom tools over Chat Completions: how their calls arrive, what goes back, what a server says."""

from __future__ import annotations

import json

import pytest

from onplan.backends import COMPATIBLE, OPENAI
from onplan.chat.request import prepare
from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.dialects.openai_chat.request import read_request
from onplan.errors import InvalidRequestError, StreamCorruptError, StreamTruncatedError
from onplan.types import (
    CompletionRequest,
    CustomTool,
    FinishReason,
    Grammar,
    Message,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolDefinition,
)

DONE = b"[DONE]"
TEXT = "{not json} SELECT 1"
CALL = ToolCall("x", "sql", TEXT, is_custom=True)


def piece(index=0, id_=None, name=None, said=None):
    """A piece of a call; what is None is absent."""
    custom = {key: value for key, value in (("name", name), ("input", said)) if value is not None}
    fields = {"index": index, "id": id_, "type": "custom" if name else None, "custom": custom}
    return {key: value for key, value in fields.items() if value is not None}


def function(index, id_, name, arguments):
    return {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}


def chunk(*pieces, finish=None, message="delta"):
    choice = {"index": 0, message: {"tool_calls": list(pieces)}, "finish_reason": finish}
    return {"id": "c", "choices": [choice]}


def stream(*pieces, finish="tool_calls"):
    return [*map(chunk, pieces), chunk(finish=finish), DONE]


HALVES = TEXT[:10], TEXT[10:]
SENT = {
    "as the platform sends it": stream(
        piece(0, "x", "sql", ""), piece(0, None, None, HALVES[0]), piece(0, None, None, HALVES[1])
    ),
    "at once": stream(piece(0, "x", "sql", TEXT)),
    "id and name in each piece": stream(piece(0, "x", "sql", HALVES[0]), piece(0, "x", "sql", HALVES[1])),
    "without indices": stream(piece(None, "x", "sql", HALVES[0]), piece(None, "x", None, HALVES[1])),
    "without indices and ids": stream(piece(None, "x", "sql", HALVES[0]), piece(None, None, None, HALVES[1])),
    "whole, in place of a stream": [
        chunk(piece(None, "x", "sql", TEXT), finish="tool_calls", message="message"),
        DONE,
    ],
    "whole again at the end": [
        chunk(piece(0, "x", "sql", "{not")),
        chunk(piece(None, "x", "sql", TEXT), finish="tool_calls", message="message"),
        DONE,
    ],
    "with its id last": stream(piece(0, None, "sql", HALVES[0]), piece(0, "x", None, HALVES[1])),
    "whole again, without its id": [
        chunk(piece(0, "x", "sql", "{not")),
        chunk(piece(None, None, "sql", TEXT), finish="tool_calls", message="message"),
        DONE,
    ],
    "its name again, without its text": [
        chunk(piece(0, "x", "sql", TEXT)),
        chunk(piece(None, "x", "sql"), finish="tool_calls", message="message"),
        DONE,
    ],
    "called a stop": stream(piece(0, "x", "sql", TEXT), finish="stop"),
}


@pytest.mark.parametrize("events", SENT.values(), ids=SENT)
def test_a_call_is_whole_however_it_arrives(events, listen):
    """Its text reaches the program as the model wrote it; braces in it mean nothing."""
    heard = listen(*events)
    assert heard.done.response.tool_calls == [CALL]
    assert heard.done.finish_reason is FinishReason.TOOL_CALLS
    assert heard.of("tool_call_start") == [ToolCallStart("x", "sql", is_custom=True)]
    assert "".join(chunk.arguments_delta for chunk in heard.of("tool_call_delta")) == TEXT


def test_calls_of_both_kinds_come_side_by_side(listen):
    """And keep their order; a call without an id gets one."""
    pieces = (
        piece(0, None, "sql", '{"a":1}'),
        function(1, "y", "look", '{"b":'),
        piece(0, None, None, '{"a":2}'),
        function(1, None, None, "2}"),
        piece(2, "z", "sql", ""),
    )
    heard = listen(*stream(*pieces))
    one, two, three = heard.done.response.tool_calls
    assert one.id
    assert (one.arguments, one.is_custom) == ('{"a":1}{"a":2}', True)
    assert two == ToolCall("y", "look", '{"b":2}')
    assert three == ToolCall("z", "sql", "", is_custom=True)


@pytest.mark.parametrize(
    "events",
    [
        stream(piece(0, "x", "sql", "a"), piece(0, "y", "sql", "b")),
        stream(piece(None, "x", "sql", "a"), piece(None, "y", "sql", "b")),
        [
            chunk(piece(0, "x", "sql", "a")),
            chunk(piece(1, "y", "sql", "b")),
            chunk(
                piece(None, "y", "sql", "b"), piece(None, "x", "sql", "a"), finish="stop", message="message"
            ),
            DONE,
        ],
        [
            chunk(piece(0, "x", "sql", "a")),
            chunk(
                piece(None, "x", "sql", "a"), piece(None, "y", "sql", "b"), finish="stop", message="message"
            ),
            DONE,
        ],
        [
            chunk(piece(0, "y", "exec", "b")),
            chunk(
                piece(None, "x", "sql", "a"), piece(None, "y", "exec", "b"), finish="stop", message="message"
            ),
            DONE,
        ],
    ],
    ids=["one index", "no index", "again in another order", "the second at the end", "the first at the end"],
)
def test_two_calls_are_told_apart_by_their_ids(listen, events):
    """Each has its text, and none is doubled."""
    calls = listen(*events).done.response.tool_calls
    assert sorted((call.id, call.arguments) for call in calls) == [("x", "a"), ("y", "b")]


def test_two_calls_that_say_the_same_are_two(listen):
    """They have ids of their own, so neither is a repetition."""
    heard = listen(*stream(piece(0, "x", "sql", "a"), piece(1, "y", "sql", "a")))
    assert [call.id for call in heard.done.response.tool_calls] == ["x", "y"]


def test_texts_that_are_one_json_value_are_two_texts(listen):
    """A call without an id that repeats an earlier one is none; this one says something else."""
    heard = listen(*stream(piece(0, "x", "sql", '{"a":1}'), piece(1, None, "sql", '{ "a": 1 }')))
    assert [call.arguments for call in heard.done.response.tool_calls] == ['{"a":1}', '{ "a": 1 }']


@pytest.mark.parametrize(
    "events",
    [
        stream(piece(0, None, None, "a")),
        stream(piece(0, "x", "sql", "a"), piece(0, "y", None, "b")),
        stream(piece(0, "x", "sql", "a"), piece(0, None, "exec", "b")),
        stream(piece(0, "x", "sql", "a"), function(0, None, "sql", "{}"), piece(0, None, None, "b")),
        stream(function(0, "x", "sql", '{"a":'), piece(0, None, None, "b")),
        stream(piece(0, "x", "sql", "a"), function(0, None, None, "{}")),
        [
            chunk(function(0, "x", "sql", '{"a"')),
            chunk(piece(None, "x", "sql", '{"a":1}'), finish="stop", message="message"),
        ],
        [
            chunk(piece(0, "x", "sql", "a")),
            chunk(piece(None, "x", "sql", "b"), finish="stop", message="message"),
        ],
        stream(piece(0, "x", "sql", {"a": ["b"]})),
    ],
    ids=[
        "no name",
        "no name of a second one",
        "two names",
        "then a function",
        "a function's",
        "arguments",
        "at the end of a function's",
        "another text at the end",
        "no text",
    ],
)
def test_a_call_that_contradicts_itself_is_an_error(events, listen):
    """What the model meant is unknown."""
    assert isinstance(listen(*events).failure, StreamCorruptError)


def test_a_call_that_may_have_been_cut_is_no_part_of_a_cut_answer(listen):
    """Only another call after it shows that all of a text has come."""
    heard = listen(*stream(piece(0, "x", "sql", TEXT), piece(1, "y", "sql", "SEL"), finish="length"))
    assert heard.done.finish_reason is FinishReason.LENGTH
    assert heard.done.response.tool_calls == [CALL]


def test_without_a_finish_reason_a_text_is_not_whole(listen):
    """Though the tokens were counted: nothing in the text shows where it ends."""
    counted = {"id": "c", "choices": [], "usage": {"completion_tokens": 5, "prompt_tokens": 1}}
    assert isinstance(listen(chunk(piece(0, "x", "sql", TEXT)), counted, DONE).failure, StreamTruncatedError)


# --- requests ---------------------------------------------------------------------------------------

SQL = CustomTool("sql", "Runs a query.", Grammar("lark", 'start: "SELECT 1"'))
ASKED = CompletionRequest(
    messages=[
        Message.user("Look."),
        Message.assistant(CALL, ToolCall("y", "look", "{}")),
        Message.tool("x", "1"),
        Message.tool("y", "seen"),
    ],
    model="gpt-5.5",
    tools=[SQL, CustomTool("exec"), ToolDefinition("look")],
    tool_choice=ToolChoice("sql"),
)


def sent(request, backend=OPENAI):
    return json.loads(prepare(request, backend, "https://api.example/v1", request.model).body)


def parsed(body):
    return read_request(json.dumps(body).encode())


def test_a_request_says_it_in_the_words_of_this_api():
    """Tools, the choice among them, and calls have an object ``custom``; results are like all others."""
    body = sent(ASKED)
    grammar = {"syntax": "lark", "definition": 'start: "SELECT 1"'}
    sql, other, look = body["tools"]
    assert sql["custom"] == {
        "name": "sql", "description": "Runs a query.", "format": {"type": "grammar", "grammar": grammar},
    }  # fmt: skip
    assert other == {"type": "custom", "custom": {"name": "exec", "format": {"type": "text"}}}
    assert look["type"] == "function"
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "sql"}}
    called = body["messages"][1]["tool_calls"]
    assert called[0] == {"id": "x", "type": "custom", "custom": {"name": "sql", "input": TEXT}}
    assert called[1]["type"] == "function"
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "x", "content": "1"}


def test_a_request_survives_the_wire():
    """What our client says is what our server hears."""
    assert parsed(sent(ASKED)).request.messages == ASKED.messages
    assert parsed(sent(ASKED)).request.tools == ASKED.tools
    assert parsed(sent(ASKED)).request.tool_choice == ASKED.tool_choice


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("tools", [{"type": "custom"}], r"tools\[0\]\.name is missing"),
        ("tools", [{"type": "custom", "custom": {}}], r"tools\[0\]\.custom\.name is missing"),
        (
            "tools",
            [{"type": "custom", "custom": {"name": "a", "format": 5}}],
            r"tools\[0\]\.custom\.format is of",
        ),
        ("tool_choice", {"type": "custom", "custom": {}}, r"tool_choice\.custom\.name is missing"),
        (
            "messages",
            [{"role": "assistant", "tool_calls": [{"id": "x", "type": "custom", "custom": {"name": 5}}]}],
            r"messages\[0\]\.tool_calls\[0\]\.custom\.name is not a string",
        ),
    ],
)
def test_our_server_says_what_is_wrong(field, value, says):
    """And where."""
    with pytest.raises(InvalidRequestError, match=says):
        parsed({"model": "m", "messages": [{"role": "user", "content": "hi"}], field: value})


def test_an_answer_survives_the_wire(listen):
    """What our server says, in chunks or whole, our client hears."""
    answer = listen(*stream(piece(0, "x", "sql", TEXT), function(1, "y", "look", "{}"))).done.response
    encoder = ChunkEncoder("c", "m", 1)
    start, *pieces = [
        ToolCallStart("x", "sql", is_custom=True),
        ToolCallDelta("x", TEXT[:4]),
        ToolCallDelta("x", TEXT[4:]),
    ]
    written = encoder.encode([start, *pieces])
    written += b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
    assert listen.bytes(written).done.response.tool_calls == [CALL]
    whole = response_body(answer, "c", "m", 1)
    assert listen(whole, DONE).done.response.tool_calls == answer.tool_calls


def test_a_server_without_custom_tools_is_not_sent_any():
    """Offering one is an error before anything is sent; calls in the history become those of a function."""
    with pytest.raises(
        InvalidRequestError, match="is not known to take custom tools over this API: sql, exec"
    ) as caught:
        sent(ASKED, COMPATIBLE)
    assert 'api="responses"' in caught.value.hint
    call = prepare(
        CompletionRequest(messages=ASKED.messages, model="m"), COMPATIBLE, "https://a.example/v1", "m"
    )
    custom, _ = json.loads(call.body)["messages"][1]["tool_calls"]
    assert custom["function"] == {
        "name": "sql",
        "arguments": json.dumps({"input": TEXT}, separators=(",", ":")),
    }
    assert call.history_repairs == ("The call x to the custom tool sql was sent as a function's.",)
