"""Conversations that servers refuse, and what is sent of them instead: tables of messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.backends import COMPATIBLE, OPENAI_CODEX
from onplan.chat import request as chat
from onplan.request.history import NO_RESULT, History, repaired, with_valid_calls
from onplan.responses import request as responses
from onplan.types import CompletionRequest, Image, Message, Text, ToolCall, ToolResult

U, A, T = Message.user, Message.assistant, Message.tool
IMAGE = Image(url="https://example.org/a.png")


def call(id_="c", arguments="{}"):
    return ToolCall(id_, "f", arguments)


def words(id_, *content):
    return U(f"Result of the earlier tool call {id_}:", *content)


@dataclass(frozen=True)
class Case:
    """``late``: where a late result counts; ``at_once``: where it does not, the same if None."""

    id: str
    messages: list[Message]
    late: list[Message]
    at_once: list[Message] | None = None
    repairs: int = 1


ONE = ToolResult("c", "1")
MISSING = T("c", NO_RESULT)
REPAIRED = [
    Case("a call without any result", [A(call()), U("b")], [A(call()), MISSING, U("b")]),
    Case("a call at the very end", [U("a"), A("I look", call())], [U("a"), A("I look", call()), MISSING]),
    Case(
        "one of two calls",
        [A(call(), call("d")), T("c", "1"), U("b")],
        [A(call(), call("d")), T("d", NO_RESULT), T("c", "1"), U("b")],
    ),
    Case(
        "both of two calls",
        [A(call(), call("d"))],
        [A(call(), call("d")), MISSING, T("d", NO_RESULT)],
        repairs=2,
    ),
    Case(
        "two calls of one id, and their results in order",
        [A(call(), call(arguments='{"a": 1}')), T("c", "1"), T("c", "2"), U("b")],
        [A(call(), call("c_2", '{"a": 1}')), T("c", "1"), T("c_2", "2"), U("b")],
    ),
    Case(
        "two calls of one id, and both results in one message",
        [A(call(), call()), Message("tool", [ONE, ToolResult("c", "2")])],
        [A(call(), call("c_2")), Message("tool", [ONE, ToolResult("c_2", "2")])],
    ),
    Case(
        "two calls of one id beside a call of the next one",
        [A(call(), call("c_2"), call()), T("c", "1"), T("c_2", "2"), T("c", "3")],
        [A(call(), call("c_2"), call("c_3")), T("c", "1"), T("c_2", "2"), T("c_3", "3")],
    ),
    Case(
        "two calls of one id in each of two turns",
        [A(call(), call()), T("c", "1"), T("c", "2"), A(call(), call()), T("c", "3"), T("c", "4")],
        [
            A(call(), call("c_2")),
            T("c", "1"),
            T("c_2", "2"),
            A(call(), call("c_2")),
            T("c", "3"),
            T("c_2", "4"),
        ],
        repairs=2,
    ),
    Case(
        "two calls of one id, and one result",
        [A(call(), call()), T("c", "1")],
        [A(call(), call("c_2")), T("c_2", NO_RESULT), T("c", "1")],
        repairs=2,
    ),
    Case(
        "a call whose id was answered in an earlier turn",
        [A(call()), T("c", "1"), A(call()), U("b")],
        [A(call()), T("c", "1"), A(call()), MISSING, U("b")],
    ),
    Case(
        "a call whose id an earlier call without a result had",
        [A(call()), A(call()), T("c", "1")],
        [A(call()), MISSING, A(call()), T("c", "1")],
    ),
    Case("a result without a call", [U("a"), T("x", "sun")], [U("a"), words("x", "sun")]),
    Case("a result with an image", [T("x", [Text("see"), IMAGE])], [words("x", "see", IMAGE)]),
    Case(
        "a result before its call",
        [T("c", "1"), A(call()), U("b")],
        [words("c", "1"), A(call()), MISSING, U("b")],
        repairs=2,
    ),
    Case(
        "a stray among results",
        [A(call()), Message("tool", [ToolResult("x", "?"), ToolResult("c", "1")])],
        [A(call()), T("c", "1"), words("x", "?")],
    ),
    Case(
        "the same result twice in one message",
        [A(call()), Message("tool", [ONE] * 2)],
        [A(call()), Message("tool", [ONE] * 2)],
        [A(call()), Message("tool", [ONE]), words("c", "1")],
    ),
    Case(
        "a stray among what the user says",
        [Message("user", [Text("a"), ToolResult("x", "?")])],
        [U("a"), words("x", "?")],
    ),
    Case(
        "a result that comes late",
        [A(call()), A("Hm."), T("c", "1")],
        [A(call()), A("Hm."), T("c", "1")],
        [A(call()), MISSING, A("Hm."), words("c", "1")],
        repairs=2,
    ),
    Case(
        "a result that comes again",
        [A(call()), T("c", "1"), T("c", "2")],
        [A(call()), T("c", "1"), T("c", "2")],
        [A(call()), T("c", "1"), words("c", "2")],
    ),
]


@pytest.mark.parametrize("case", REPAIRED, ids=lambda case: case.id)
def test_calls_and_results_are_paired(case):
    """Every call has one result and every result its call, and each change is reported."""
    late, at_once = (repaired(case.messages, late_results=late) for late in (True, False))

    assert case.late == late.messages
    assert (case.at_once or case.late) == at_once.messages
    assert case.repairs == len(at_once.repairs)
    assert len(late.repairs) == (0 if case.at_once else case.repairs)


def test_a_surplus_result_of_a_shared_id_keeps_it():
    """There is no third call for it, so it comes again where that is allowed, and else answers none."""
    messages = [A(call(), call()), T("c", "1"), T("c", "2"), T("c", "3")]
    begin = [A(call(), call("c_2")), T("c", "1"), T("c_2", "2")]

    assert repaired(messages, late_results=True).messages == [*begin, T("c", "3")]
    assert repaired(messages, late_results=False).messages == [*begin, words("c", "3")]


UNCHANGED = [
    [U("a")],
    [A(call(), call("d")), T("d", "1"), T("c", "2"), U("b")],
    [A(call()), U("wait"), T("c", "1")],
    [A(call()), Message("user", [ToolResult("c", "1"), Text("and")])],
    [A(call()), T("c", "1"), A(call()), T("c", "2")],
    [A(call(arguments=' {"a": [1, {"b": null}]} ')), T("c", "1")],
    [A(call(arguments='{"a": "half a character: \ud800"}')), T("c", "1")],
    [],
]


@pytest.mark.parametrize("messages", UNCHANGED)
@pytest.mark.parametrize("late", [True, False])
def test_a_good_history_is_sent_as_it_is(messages, late):
    """Results in another order, between other words or in the user's message are good."""
    assert History(messages) == repaired(messages, late_results=late)


INVALID = [
    '{"p":"abc',
    '{"a":1}{"a":1}',
    "[1]",
    '"text"',
    "null",
    "7",
    "rm -rf",
    "{'a': 1}",
    '{"a": NaN}',
    '{"a":' * 9_999,
]


@pytest.mark.parametrize("arguments", INVALID, ids=lambda text: text[:12])
def test_arguments_are_a_json_object(arguments):
    """What the model wrote instead of an object is sent inside one, in its words, and reported."""
    history = repaired([A("Hm", call(arguments=arguments)), T("c", "no")], late_results=False)
    text, sent = history.messages[0].content

    assert Text("Hm") == text
    assert {"invalid_arguments": arguments} == json.loads(sent.arguments)
    assert 1 == len(history.repairs)
    assert history.messages[0] == with_valid_calls(A("Hm", call(arguments=arguments)))


@pytest.mark.parametrize("arguments", ["", " ", "\n"])
def test_no_arguments_are_an_empty_object(arguments):
    """A call without arguments loses nothing, so nothing is reported."""
    history = repaired([A(call(arguments=arguments)), T("c", "1")], late_results=True)

    assert "{}" == history.messages[0].tool_calls[0].arguments
    assert () == history.repairs


def chat_is_valid(body):
    """Whether a strict Chat Completions server takes these messages."""
    messages = body["messages"]
    for place, message in enumerate(messages):
        wanted = sorted(made["id"] for made in message.get("tool_calls", ()))
        given = []
        for after in messages[place + 1 :]:
            if after["role"] != "tool":
                break
            given.append(after["tool_call_id"])
        if message["role"] == "assistant" and wanted != sorted(given):
            return False
        arguments = [json.loads(made["function"]["arguments"]) for made in message.get("tool_calls", ())]
        if not all(isinstance(value, dict) for value in arguments):
            return False
        if message["role"] != "user" and isinstance(message["content"], list):
            return False
    around = pairwise([{"role": None}, *messages])
    return all(before["role"] in ("assistant", "tool") for before, after in around if after["role"] == "tool")


def responses_is_valid(body):
    """Whether the Responses API takes this input."""
    made, answered = [], []
    for item in body["input"]:
        if item["type"] == "function_call":
            made.append(item["call_id"])
            if not isinstance(json.loads(item["arguments"]), dict):
                return False
        if item["type"] == "function_call_output":
            answered.append(item["call_id"])
            if item["call_id"] not in made:
                return False
    return all(answered.count(id_) >= made.count(id_) for id_ in made)


_ids = st.sampled_from("cd")
_calls = st.builds(call, _ids, st.sampled_from(["{}", '{"a":1}', "{", ""]))
_messages = st.one_of(
    st.just(U("hi")),
    st.builds(A, st.just("Hm"), _calls),
    st.lists(_calls, min_size=1, max_size=2, unique_by=lambda made: made.id).map(lambda made: A(*made)),
    st.builds(T, _ids, st.just("1")),
)


@given(st.lists(_messages, min_size=1, max_size=7))
def test_any_history_is_made_valid(messages):
    """Whatever a program says, in whatever order, both wires send what strict servers take."""
    request = CompletionRequest(messages=messages)
    chat_call = chat.prepare(request, COMPATIBLE, "https://example.org", "m")
    responses_call = responses.prepare(request, OPENAI_CODEX, "https://example.org", "gpt-5.5")

    assert chat_is_valid(json.loads(chat_call.body))
    assert responses_is_valid(json.loads(responses_call.body))
    again = repaired(repaired(messages, late_results=False).messages, late_results=False)
    assert () == again.repairs


SEVERAL = {
    "system": ([Message.system("a", "b")], "a\nb"),
    "developer": ([Message.developer("a", "b")], "a\nb"),
    "assistant": ([A("one ", "two")], "one two"),
    "assistant with a call": ([A("one ", call(), "two"), T("c", "1")], "one two"),
    "tool": ([A(call()), T("c", [Text("1"), Text("2")])], "1\n2"),
}


@pytest.mark.parametrize(("messages", "text"), SEVERAL.values(), ids=SEVERAL)
def test_several_texts_are_one_string(messages, text):
    """Chat Completions servers get one string for every role but the user's."""
    call_ = chat.prepare(CompletionRequest(messages=messages), COMPATIBLE, "https://example.org", "m")

    assert text in [message["content"] for message in json.loads(call_.body)["messages"]]


CUSTOM = ToolCall("c", "exec", '{"a": not json', is_custom=True)


@pytest.mark.parametrize("late", [True, False])
def test_the_text_for_a_custom_tool_is_not_repaired(late):
    """It is no JSON, and needs to be none; its result is paired with it as any other."""
    messages = [U("a"), A(CUSTOM), T("c", "1"), U("b")]
    assert repaired(messages, late_results=late) == History(messages)
    assert with_valid_calls(A(CUSTOM)) == A(CUSTOM)
    assert repaired([A(CUSTOM)], late_results=late).messages == [A(CUSTOM), MISSING]
    assert repaired([A(CUSTOM, CUSTOM)], late_results=late).messages[0].tool_calls[1].is_custom


def test_where_there_are_no_custom_tools_their_calls_are_a_functions():
    """With the text in one field, which is JSON; the rest of the history stays."""
    messages = [U("a"), A("b", CUSTOM, call("d")), T("c", "1"), T("d", "2")]
    history = repaired(messages, late_results=False, takes_custom=False)
    function = ToolCall("c", "exec", json.dumps({"input": CUSTOM.arguments}, separators=(",", ":")))
    assert history.messages == [messages[0], A("b", function, call("d")), *messages[2:]]
    assert history.repairs == ("The call c to the custom tool exec was sent as a function's.",)
