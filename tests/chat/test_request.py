from __future__ import annotations

import base64
import json
from uuid import UUID

import pytest

from onplan.backends import COMPATIBLE, OPENAI
from onplan.chat.request import prepare
from onplan.errors import InvalidRequestError
from onplan.types import (
    APIKey,
    CompletionRequest,
    File,
    HostedTool,
    Image,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)

BASE = "https://example.org/v1"
TOOL = ToolDefinition("weather", "Tells it.", {"type": "object", "properties": {"a": {"type": "integer"}}})
ROWS = pytest.mark.parametrize("backend", [OPENAI, COMPATIBLE], ids=["the platform", "another server"])


def call(messages="Hi", *, backend=OPENAI, model="gpt-9", raise_unsupported=False, **fields):
    request = CompletionRequest(messages=messages, **fields)
    return prepare(request, backend, BASE, model, raise_unsupported=raise_unsupported)


def body(*args, **fields):
    return json.loads(call(*args, **fields).body)


def said(*messages, backend=OPENAI):
    return body(list(messages), backend=backend)["messages"]


CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_a_bare_question():
    """A question becomes a body with nothing but what is needed: the usage and the cache key."""
    prepared = call("Hi", session_id="s-1")

    assert {
        "model": "gpt-9",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Hi"}],
        "prompt_cache_key": "s-1",
    } == json.loads(prepared.body)
    assert f"{BASE}/chat/completions" == prepared.url
    assert () == prepared.reports.ignored


def test_strangers_are_sent_what_all_of_them_know():
    """Another server is sent no field of the platform's own."""
    assert {"model", "stream", "stream_options", "messages"} == set(body(backend=COMPATIBLE))


def test_what_is_taken_is_sent():
    """Every parameter of this API is in the body, under its name there."""
    sent = body(
        tools=[TOOL],
        tool_choice=ToolChoice("weather"),
        parallel_tool_calls=False,
        temperature=0.0,
        top_p=0.5,
        max_tokens=7,
        stop=["a", "b"],
        reasoning_effort="high",
        verbosity="low",
        service_tier="priority",
        response_format={**CLOSED, "title": "My answer!"},
    )

    function = {"name": "weather", "description": "Tells it.", "parameters": TOOL.parameters}
    assert [{"type": "function", "function": function}] == sent["tools"]
    assert {"type": "function", "function": {"name": "weather"}} == sent["tool_choice"]
    assert sent["parallel_tool_calls"] is False
    assert (0.0, 0.5, ["a", "b"]) == (sent["temperature"], sent["top_p"], sent["stop"])
    assert ("high", "low", "priority") == (sent["reasoning_effort"], sent["verbosity"], sent["service_tier"])
    named = {"name": "My_answer_", "schema": {**CLOSED, "title": "My answer!"}, "strict": True}
    assert {"type": "json_schema", "json_schema": named} == sent["response_format"]
    assert 7 == sent["max_completion_tokens"]


GIVEN = {
    "tools": [TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "temperature": 0.0,
    "top_p": 1.0,
    "max_tokens": 5,
    "stop": "END",
    "reasoning_effort": "high",
    "reasoning_summary": "concise",
    "verbosity": "high",
    "service_tier": "flex",
    "response_format": {"type": "object"},
    "session_id": "another",
    "metadata": {"a": "b"},
    "extra_body": {"extra": 1},
}


@ROWS
@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("tools", [[], [TOOL]], ids=["no tools", "tools"])
def test_every_parameter_reaches_the_body_or_is_listed(backend, name, tools):
    """No field of a request is quietly ignored, with tools and without any."""
    context = {"tools": [] if name == "tools" else tools, "backend": backend}
    changed, plain = call(**{**context, name: GIVEN[name]}), call(**context)

    assert (changed.body != plain.body) != (name in changed.reports.ignored)
    assert set(CompletionRequest.__struct_fields__) == {*GIVEN, "messages", "model"}


@pytest.mark.parametrize(
    ("strict", "sent"), [(None, {}), (True, {"strict": True}), (False, {"strict": False})]
)
def test_a_tool_is_strict_where_the_program_says_so(strict, sent):
    """Without a word of the program's the server's default counts."""
    tool = ToolDefinition("now", strict=strict)
    (offered,) = body(tools=[tool])["tools"]

    assert {"name": "now", "parameters": tool.parameters, **sent} == offered["function"]
    assert ("strict" in call(tools=[tool]).given) is bool(sent)


@ROWS
def test_this_api_runs_no_tools_itself(backend):
    """A hosted tool is an error that says which API has them: nothing could stand for it."""
    with pytest.raises(InvalidRequestError, match="web_search") as caught:
        call(backend=backend, tools=[TOOL, HostedTool("web_search")])
    assert 'api="responses"' in caught.value.hint


@ROWS
def test_what_is_left_out_can_be_refused(backend):
    """With ``raise_unsupported`` the same parameters are an error that names them."""
    with pytest.raises(InvalidRequestError, match="reasoning_summary, metadata"):
        call(backend=backend, raise_unsupported=True, metadata={"a": "b"}, reasoning_summary="auto")


def test_a_schema_that_json_cannot_express_is_refused():
    """The error names the place in the request, and what stands there."""
    unwritable = ToolDefinition("now", parameters={"type": "object", "default": object()})
    with pytest.raises(InvalidRequestError, match=r"parameters\.default has an object of the type object"):
        call(tools=[unwritable])


@pytest.mark.parametrize("tools", [[], [TOOL]], ids=["no tools", "another tool"])
def test_a_choice_of_a_tool_that_is_not_there_is_refused(tools):
    """A tool choice that names no tool of the request never reaches the backend."""
    with pytest.raises(InvalidRequestError, match="teleport"):
        call(tools=tools, tool_choice=ToolChoice("teleport"))


@pytest.mark.parametrize("choice", ["auto", "none", "required", None])
def test_a_choice_in_a_word_is_sent_as_it_is(choice):
    """``auto``, ``none`` and ``required`` are the API's own words; nothing is nothing."""
    assert choice == body(tools=[TOOL], tool_choice=choice).get("tool_choice")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        Message("user", []),
        Message.assistant(Thinking("Hm.", "gAAA")),
        Message.user(Image(path="a.png")),
        Message.user(File(path="a.pdf")),
        Message.user(File(url="https://example.org/a.pdf")),
        Message.system(Image(url="https://example.org/a.png")),
        Message.assistant(Image(url="https://example.org/a.png")),
        Message.user(ToolCall("a", "b", "c")),
        Message.tool("a", [File(url="https://example.org/a.pdf")]),
    ],
    ids=lambda messages: str(messages)[:60],
)
def test_what_cannot_be_said_is_refused(messages):
    """A request that says nothing, or what this API has no words for, never reaches the backend."""
    with pytest.raises(InvalidRequestError):
        call(messages)


# --- messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "roles"),
    [(OPENAI, ["system", "developer", "user"]), (COMPATIBLE, ["system", "system", "user"])],
    ids=["the platform", "another server"],
)
def test_roles(backend, roles):
    """The platform knows developers; others know only systems."""
    messages = said(Message.system("a"), Message.developer("b"), Message.user("c"), backend=backend)
    assert roles == [message["role"] for message in messages]
    assert ["a", "b", "c"] == [message["content"] for message in messages]


@pytest.mark.parametrize("of_role", [Message.system, Message.developer])
def test_several_texts_for_the_model_are_one_string(of_role):
    """Only the user's content may be a list at every server."""
    (message,) = said(of_role("a", "b"))

    assert "a\nb" == message["content"]


def test_several_parts_are_a_list():
    """One text is a string, for the simplest servers; more is a list that keeps the parts apart."""
    (message,) = said(
        Message.user("a", "b", Image("https://example.org/a.png", detail="low"), Image(data=b"1"))
    )

    assert [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,MQ=="}},
    ] == message["content"]


def test_files_are_data():
    """A file is sent with its name and its content."""
    (message,) = said(Message.user(File(data=b"1", filename="a.pdf", mime_type="application/pdf")))
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,MQ=="}
    assert [{"type": "file", "file": file}] == message["content"]


def test_a_file_without_a_name_is_sent_with_one():
    """Chat Completions wants a name for each file that is sent as data."""
    (message,) = said(Message.user(File(data=b"1", mime_type="application/pdf")))
    file = {"filename": "file", "file_data": "data:application/pdf;base64,MQ=="}
    assert [{"type": "file", "file": file}] == message["content"]


def test_what_the_model_said_goes_back():
    """Text, calls and refusals go back; an empty argument text as an empty object."""
    spoken = Message.assistant("Hi", Refusal("no"), ToolCall("x", "one", '{"a":1}'), ToolCall("y", "two", ""))
    messages = said(spoken, Message("tool", [ToolResult("x", "1"), ToolResult("y", "2")]))

    assert {
        "role": "assistant",
        "content": "Hi",
        "refusal": "no",
        "tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "one", "arguments": '{"a":1}'}},
            {"id": "y", "type": "function", "function": {"name": "two", "arguments": "{}"}},
        ],
    } == messages[0]
    assert [
        {"role": "tool", "tool_call_id": "x", "content": "1"},
        {"role": "tool", "tool_call_id": "y", "content": "2"},
    ] == messages[1:]


def test_calls_alone_have_no_content():
    """A message that only calls has null for its text."""
    message, _ = said(Message.assistant(ToolCall("x", "one", "{}")), Message.tool("x", "1"))
    assert message["content"] is None


def test_results_follow_their_calls_at_once():
    """Whatever else is said before the last call is answered comes after that, and so do images."""
    messages = said(
        Message.assistant(ToolCall("x", "one", "{}"), ToolCall("y", "two", "{}")),
        Message("user", [Text("And?"), ToolResult("x", [Text("see"), Image(data=b"1")])]),
        Message.tool("y", [Image(data=b"2")]),
        Message.user("Well?"),
    )

    assert ["assistant", "tool", "tool", "user", "user", "user"] == [message["role"] for message in messages]
    assert ["x", "y"] == [message["tool_call_id"] for message in messages[1:3]]
    assert ["And?", "Well?"] == [message["content"] for message in messages[4:]]


def test_images_and_files_of_tools_are_shown_by_the_user():
    """Tools answer in text here; what else they gave follows, labelled, after the last of the results."""
    messages = said(
        Message.assistant(ToolCall("x", "one", "{}"), ToolCall("y", "two", "{}")),
        Message.tool("x", [Text("see"), Image(data=b"1"), File(data=b"2")], is_error=True),
        Message.tool("y", [Image(data=b"2")]),
        Message.user("Well?"),
    )

    assert ["assistant", "tool", "tool", "user", "user"] == [message["role"] for message in messages]
    assert ["Error:\nsee", "The result is below."] == [message["content"] for message in messages[1:3]]
    shown = messages[3]["content"]
    assert ["text", "image_url", "text", "file", "text", "image_url"] == [part["type"] for part in shown]
    assert ["Image from the tool call x:", "File from the tool call x:", "Image from the tool call y:"] == [
        part["text"] for part in shown if part["type"] == "text"
    ]
    assert "Well?" == messages[4]["content"]


def test_a_result_without_its_call_is_told_in_words():
    """A result whose call is not there would be refused, so the user tells it."""
    (message,) = said(Message.tool("x", "sunny"))
    assert "user" == message["role"]
    assert ["Result of the earlier tool call x:", "sunny"] == [part["text"] for part in message["content"]]


def test_a_stray_result_does_not_come_between():
    """A result of an unknown call is told after the calls that are open are answered."""
    messages = said(
        Message.assistant(ToolCall("x", "one", "{}")),
        Message("tool", [ToolResult("stray", "?"), ToolResult("x", "1")]),
    )
    assert ["assistant", "tool", "user"] == [message["role"] for message in messages]


def test_a_result_that_comes_again_or_late_is_told_in_words():
    """Only the calls just made can be answered, each of them once; the platform refuses anything else."""
    messages = said(
        Message.assistant(ToolCall("x", "one", "{}")),
        Message.tool("x", "1"),
        Message.user("Hm."),
        Message.tool("x", "2"),
        Message.assistant("So."),
        Message.tool("x", "3"),
    )
    assert ["assistant", "tool", "user", "user", "assistant", "user"] == [m["role"] for m in messages]


CARRIED = Thinking("Hm.", '{"reasoning_content":"Hm."}')


def test_thinking_goes_back_to_those_who_want_it():
    """Another server hears its thinking again, in its own field; the platform has no such field."""
    spoken = Message.assistant(CARRIED, Thinking("So.", '{"reasoning_content":"So."}'), "Hi")

    assert "Hm.So." == said(spoken, backend=COMPATIBLE)[0]["reasoning_content"]
    assert {"role": "assistant", "content": "Hi"} == said(spoken)[0]


@pytest.mark.parametrize(
    "encrypted",
    [None, "gAAAAABl1zzz", '["a"]', '{"reasoning_content": 5, "role": "user"}', "{"],
    ids=str,
)
def test_what_others_kept_is_not_sent(encrypted):
    """Sealed reasoning of another service, or anything else that is not ours, stays here."""
    spoken = Message.assistant(Thinking("Hm.", encrypted), "Hi")
    assert {"role": "assistant", "content": "Hi"} == said(spoken, backend=COMPATIBLE)[0]


def test_details_go_back_as_they_came():
    """Lists of several parts are joined to one list."""
    first = Thinking("", '{"reasoning_details":[{"type":"reasoning.encrypted","data":"a"}]}')
    second = Thinking("", '{"reasoning_details":[{"type":"reasoning.encrypted","data":"b"}]}')
    (message,) = said(Message.assistant(first, "Hi", second), backend=COMPATIBLE)
    assert ["a", "b"] == [detail["data"] for detail in message["reasoning_details"]]


def test_whole_entries_of_two_parts_stay_two_entries():
    """Texts of thinking before and after the answer are not pieces of one entry."""
    parts = [
        Thinking(text, json.dumps({"reasoning_details": [{"type": "reasoning.text", "text": text}]}))
        for text in ("a", "b")
    ]
    (message,) = said(Message.assistant(parts[0], "Hi", parts[1]), backend=COMPATIBLE)

    assert ["a", "b"] == [entry["text"] for entry in message["reasoning_details"]]


# --- sessions and headers ----------------------------------------------------------------------------


def test_the_turns_of_a_conversation_share_a_key():
    """Whatever is added to a conversation, its derived cache key stays; another one has another."""
    first = [Message.system("Be brief."), Message.user("Hi")]
    later = [*first, Message.assistant("Hello"), Message.user("More")]
    keys = [body(messages)["prompt_cache_key"] for messages in (first, later, "something else")]
    assert keys[0] == keys[1] != keys[2]


def test_the_key_is_in_one_header_only():
    """No header but ``authorization``, no URL, no body and no printed form holds the key."""
    request = call().request(APIKey("sk-secret"))

    assert "Bearer sk-secret" == request.headers["authorization"]
    assert ["authorization"] == [name for name, value in request.headers.items() if "sk-" in value]
    assert b"sk-" not in request.body
    assert "sk-" not in f"{request!r}{request.url}{call()!r}"
    assert {"user-agent", "accept", "content-type", "x-client-request-id", "authorization"} == set(
        request.headers
    )


def test_each_try_has_its_own_id():
    """Two tries of one call can be told apart."""
    prepared = call()
    ids = [UUID(prepared.request(APIKey()).headers["x-client-request-id"]) for _ in range(2)]
    assert ids[0] != ids[1]
    assert [each.version for each in ids] == [4, 4]


def test_image_bytes_are_encoded_whole():
    """A data URL holds exactly the bytes."""
    (message,) = said(Message.user(Image(data=bytes(range(256)), mime_type="image/gif")))
    url = message["content"][0]["image_url"]["url"]
    assert bytes(range(256)) == base64.b64decode(url.removeprefix("data:image/gif;base64,"))


def test_a_request_after_a_break_is_the_same_request():
    """Few servers of this API continue an answer, so the model is asked from the start."""
    prepared = call()
    stream = prepared.after([Text("Hel")]).stream("req-1")

    assert prepared.after([Text("Hel")]).body == prepared.body
    assert stream.parts == []
