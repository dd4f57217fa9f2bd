"""What a server of ours will need: requests of others read, answers told in their words. And back again."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan import errors
from onplan.backends import COMPATIBLE, OPENAI
from onplan.chat.encode import ChunkEncoder, error_body, models_body, response_body
from onplan.chat.parse import parse_request
from onplan.chat.request import prepare
from onplan.errors import InvalidRequestError, OverloadedError, StreamTruncatedError
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    Done,
    File,
    FinishReason,
    Image,
    Message,
    ModelInfo,
    PartDone,
    Refusal,
    Resumed,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolChoice,
    ToolDefinition,
    ToolResult,
    Usage,
)

TOOL = ToolDefinition("weather", "Tells it.", {"type": "object", "properties": {"a": {"type": "integer"}}})
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def sent(request, backend=OPENAI):
    return json.loads(prepare(request, backend, "https://example.org", "gpt-9").body)


# --- requests ----------------------------------------------------------------------------------------

REQUEST = CompletionRequest(
    model="gpt-9",
    messages=[
        Message.system("Be brief."),
        Message.developer("Really."),
        Message.user(
            "Look: ",
            Image(url="https://example.org/a.png"),
            File(data=b"1", filename="a", mime_type="text/plain"),
        ),
        Message.assistant(
            "Hm", Refusal("no"), ToolCall("x", "weather", '{"a":1}'), ToolCall("y", "weather", "{}")
        ),
        Message.tool("x", "sunny"),
        Message.tool("y", "a"),
        Message.user("Well?"),
    ],
    tools=[TOOL, ToolDefinition("clock")],
    tool_choice=ToolChoice("weather"),
    parallel_tool_calls=False,
    temperature=0.0,
    top_p=0.5,
    max_tokens=5,
    stop=["a", "b"],
    reasoning_effort="high",
    verbosity="low",
    service_tier="flex",
    response_format={**CLOSED, "title": "answer"},
    session_id="s-1",
)


def test_a_request_survives_the_wire():
    """What our client says is what our server hears, word for word."""
    parsed = parse_request(sent(REQUEST))

    assert REQUEST == parsed.request
    assert (True, True, ()) == (parsed.stream, parsed.include_usage, parsed.ignored_parameters)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
_calls = st.lists(st.builds(ToolCall, texts, st.just("f"), st.sampled_from(["{}", '{"a":1}'])), max_size=2)
_users = st.lists(
    st.one_of(texts.map(Text), st.just(Image(url="data:image/png;base64,MQ=="))), min_size=1, max_size=3
)


@settings(max_examples=100, deadline=None)
@given(
    users=st.lists(_users, min_size=1, max_size=3),
    spoken=texts,
    calls=_calls,
    system=st.lists(texts, max_size=2),
    numbers=st.tuples(st.floats(0, 2), st.integers(1, 9)),
)
def test_any_conversation_survives_the_wire(users, spoken, calls, system, numbers):
    """Messages and numbers of any kind come out as they went in."""
    messages = [Message.system(text) for text in system] + [Message.user(*parts) for parts in users]
    messages.append(Message.assistant(spoken, *{call.id: call for call in calls}.values()))
    messages += [Message.tool(call.id, "ok") for call in messages[-1].tool_calls]
    request = CompletionRequest(
        messages=messages, model="gpt-9", temperature=numbers[0], max_tokens=numbers[1], session_id="s"
    )

    assert request == parse_request(sent(request)).request


def test_thinking_makes_the_round(listen):
    """What our server tells of thinking, our client keeps and says again, and our server hears it."""
    thinking = [Thinking("Hm.", "gAAAAsealed"), Thinking("", "gAAAAmore")]
    response = answer(*thinking, Text("Hi"))
    kept = listen(*wire_events(response)).done.response.message
    body = sent(CompletionRequest(messages=[Message.user("?"), kept, Message.user("!")]), COMPATIBLE)

    assert "Hm." == kept.content[0].text
    assert [*thinking, Text("Hi")] == parse_request(body).request.messages[1].content


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        ({"response_format": {"type": "text"}}, {"response_format": None}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "object"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "bird", "schema": CLOSED}}},
            {"response_format": {"title": "bird", **CLOSED}},
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "response", "schema": CLOSED},
                }
            },
            {"response_format": CLOSED},
        ),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"n": 1, "model": None}, {"model": None}),
    ],
    ids=str,
)
def test_every_spelling_is_read(fields, expected):
    """Old names and short forms mean what they mean."""
    request = parse_request({**HELLO, **fields}).request
    assert expected == {name: getattr(request, name) for name in expected}


def test_plain_messages():
    """A null content, a string for an image, and a list of texts are read."""
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.org/a.png"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "", "name": "Ann"},
    ]
    assert [
        Message.user(Image(url="https://example.org/a.png")),
        Message.assistant(ToolCall("x", "f", "")),
        Message("tool", [ToolResult("x", [Text("a")])]),
        Message.user("b"),
        Message.user(""),
    ] == parse_request({"messages": messages}).request.messages


@pytest.mark.parametrize("strict", [True, False])
def test_tools_are_read_as_everywhere(strict):
    """With all that is said of them: ``strict``, too."""
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": strict}
    tools = [{"type": "function", "function": function}]
    assert [ToolDefinition("f", "d", {"type": "object"}, strict)] == parse_request(
        {**HELLO, "tools": tools}
    ).request.tools


def test_what_has_no_place_is_reported():
    """Parameters that we have no words for are listed; at their default values they say nothing."""
    quiet = {
        "frequency_penalty": 0,
        "logprobs": False,
        "logit_bias": {},
        "store": None,
        "modalities": ["text"],
    }
    parsed = parse_request({**HELLO, **quiet, "seed": 0, "user": "me", "sparkle": True})

    assert ("seed", "user", "sparkle") == parsed.ignored_parameters
    assert (False, False) == (parsed.stream, parsed.include_usage)


def message(**fields):
    return {"messages": [{"role": "user", "content": "Hi", **fields}]}


WRONG = [
    ([], "body"),
    ("x", "body"),
    ({}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["Hi"]}, r"messages\[0\]"),
    (message(role="robot"), r"messages\[0\].role"),
    (message(role=None), r"messages\[0\].role"),
    (message(content=5), r"messages\[0\].content"),
    (message(content=[{"type": "input_audio"}]), r"content\[0\].type"),
    (message(content=[{"type": "text"}]), r"content\[0\].text"),
    (message(content=[{"type": "image_url"}]), r"content\[0\].image_url"),
    (message(content=[{"type": "file", "file": {"file_id": "f"}}]), "file.file_id"),
    (message(content=[{"type": "file", "file": {"file_data": "data:x;base64,*"}}]), "file_data"),
    (message(role="tool"), "tool_call_id"),
    (message(role="tool", tool_call_id="x", content=[{"type": "refusal", "refusal": "n"}]), "no text"),
    (message(role="assistant", tool_calls=[{"id": "x"}]), "function"),
    (message(role="assistant", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), "id"),
    (message(role="assistant", tool_calls=5), "tool_calls"),
    ({**HELLO, "temperature": "hot"}, "temperature"),
    ({**HELLO, "temperature": True}, "temperature"),
    ({**HELLO, "max_tokens": True}, "max_tokens"),
    ({**HELLO, "stream": 1}, "stream"),
    ({**HELLO, "n": 2}, "n must be 1"),
    ({**HELLO, "audio": {}}, "audio"),
    ({**HELLO, "functions": []}, "functions"),
    ({**HELLO, "tools": [{"type": "custom"}]}, r"tools\[0\]"),
    ({**HELLO, "tools": [{"type": "function", "function": {}}]}, "name"),
    ({**HELLO, "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
    ({**HELLO, "response_format": {"type": "xml"}}, "response_format.type"),
    ({**HELLO, "response_format": {"type": "json_schema"}}, "json_schema"),
    ({**HELLO, "metadata": {"a": 1}}, "metadata.a"),
    ({**HELLO, "stop": [1]}, "stop"),
]


@pytest.mark.parametrize(("body", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_cannot_be_read_is_refused(body, says):
    """A body that is wrong is told where."""
    with pytest.raises(InvalidRequestError, match=says):
        parse_request(body)


# --- answers -----------------------------------------------------------------------------------------


def answer(*parts, reason=FinishReason.STOP, **fields):
    return CompletionResponse(
        message=Message.assistant(*parts),
        usage=Usage(10, 5, 15, 4, 2, 3),
        finish_reason=reason,
        model="gpt-9",
        response_id="chatcmpl-1",
        **fields,
    )


def chunks_of(response):
    """How a backend of ours would stream it."""
    chunks = []
    for part in response.message.content:
        match part:
            case Text(text=text):
                chunks += [TextDelta(text[:2]), TextDelta(text[2:])]
            case Thinking(text=text) if text:
                chunks += [ThinkingDelta(text[:2]), ThinkingDelta(text[2:])]
            case ToolCall(id=id_, name=name, arguments=arguments):
                chunks.append(ToolCallStart(id_, name))
                chunks += [
                    ToolCallDelta(id_, arguments[:3]),
                    ToolCallDelta(id_, arguments[3:]),
                    ToolCallEnd(id_),
                ]
        chunks.append(PartDone(part))
    return [*chunks, Done(response.usage, response.finish_reason, response)]


def wire_events(response, *, include_usage=True):
    encoder = ChunkEncoder("chatcmpl-1", "gpt-9", 1_800_000_000, include_usage=include_usage)
    data = b"".join(encoder.encode(chunk) for chunk in chunks_of(response))
    return [frame.removeprefix(b"data: ") for frame in data.split(b"\n\n") if frame]


ANSWERS = {
    "text": answer(Text("Hello é 鸟")),
    "cited text": answer(
        Text(
            "By us.",
            None,
            [{"type": "url_citation", "url": "https://a.example", "start_index": 0, "end_index": 2}],
        )
    ),
    "nothing": msgspec.structs.replace(answer(), usage=Usage(15, 0, 15)),
    "calls": answer(
        Text("Hm."),
        ToolCall("x", "one", '{"a":1}'),
        ToolCall("y", "two", "{}"),
        reason=FinishReason.TOOL_CALLS,
    ),
    "a refusal": answer(Refusal("I can't."), reason=FinishReason.CONTENT_FILTER),
    "cut": answer(Text("Hel"), reason=FinishReason.LENGTH),
    "filtered": answer(Text("Hel"), reason=FinishReason.CONTENT_FILTER),
}


@pytest.mark.parametrize("response", ANSWERS.values(), ids=ANSWERS)
class TestAnswers:
    def test_a_stream_survives_the_wire(self, listen, response):
        """What our server streams is what our client hears: the parts, the reason, the counts, the deltas."""
        heard = listen(*wire_events(response))

        assert response == heard.done.response
        assert response.text == heard.joined("text")

    def test_a_whole_answer_survives_the_wire(self, listen, response):
        """The same for an answer that is not streamed."""
        body = response_body(response, "chatcmpl-1", "gpt-9", 1_800_000_000)
        assert response == listen.bytes(msgspec.json.encode(body)).done.response

    def test_it_is_what_others_expect(self, response):
        """The fields that strict clients require are there, the role first, the end mark last."""
        *events, end = wire_events(response)
        events = [json.loads(event) for event in events]

        assert b"[DONE]" == end
        for event in events:
            assert {"id", "object", "created", "model", "choices", "usage"} <= set(event)
            for choice in event["choices"]:
                assert {"index", "delta", "logprobs", "finish_reason"} == set(choice)
            assert "chat.completion.chunk" == event["object"]
        assert "assistant" == events[0]["choices"][0]["delta"]["role"]
        assert ([], 15) == (events[-1]["choices"], events[-1]["usage"]["total_tokens"])
        assert [None] * (len(events) - 1) == [event["usage"] for event in events[:-1]]
        ends = [choice["finish_reason"] for event in events for choice in event["choices"]]
        assert [True] == [bool(reason) for reason in ends if reason]

    def test_usage_comes_only_where_it_was_asked_for(self, response):
        """Without the option no chunk has counts, and no chunk is without a choice."""
        *events, _ = wire_events(response, include_usage=False)
        assert not any("usage" in json.loads(event) for event in events)
        assert all(json.loads(event)["choices"] for event in events)


def test_citations_are_places_in_the_whole_message():
    """Texts are joined in this API; other annotations than of pages have no form in it."""
    page = {"type": "url_citation", "url": "https://a.example"}
    first = Text("By us. ", None, [{"type": "file_path", "file_id": "f"}])
    second = Text("By me.", None, [{**page, "start_index": 3, "end_index": 5}, page])
    response = answer(first, second)

    inner = {"url": "https://a.example"}
    cited = [
        {"type": "url_citation", "url_citation": {**inner, "start_index": 10, "end_index": 12}},
        {"type": "url_citation", "url_citation": inner},
    ]
    body = response_body(response, "chatcmpl-1", "gpt-9", 7)
    assert body["choices"][0]["message"]["annotations"] == cited
    encoder = ChunkEncoder("chatcmpl-1", "gpt-9", 0)
    events = [encoder.encode(PartDone(part)) for part in (first, second)]
    assert json.loads(events[1].split(b"data: ")[-1])["choices"][0]["delta"] == {"annotations": cited}


def test_a_whole_answer_has_the_fields_of_the_api():
    """Thinking and what is sealed of it, calls with what servers signed, and the counts."""
    signed = ToolCall("x", "f", '{"a":1}', signature='{"extra_content":{"google":{"thought_signature":"c"}}}')
    parts = [Thinking("Hm. "), Thinking("Oh.", "sealed"), signed, ToolCall("y", "g", "{}")]
    body = response_body(answer(*parts, reason=FinishReason.TOOL_CALLS), "chatcmpl-1", "gpt-9", 7)

    assert body == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-9",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "reasoning_content": "Hm. Oh.",
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": "sealed", "index": 0}],
                    "tool_calls": [
                        {
                            "id": "x",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a":1}'},
                            "extra_content": {"google": {"thought_signature": "c"}},
                        },
                        {"id": "y", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


def test_a_signature_comes_with_the_index_of_its_call():
    """In a piece of its own, after the arguments."""
    signature = '{"extra_content":{"google":{"thought_signature":"c"}}}'
    events = wire_events(answer(ToolCall("w", "g", "{}"), ToolCall("x", "f", "{}", signature=signature)))
    deltas = [choice["delta"] for event in events[:-1] for choice in json.loads(event)["choices"]]
    pieces = [piece for each in deltas for piece in each.get("tool_calls", ()) if "extra_content" in piece]

    assert pieces == [{"index": 1, **json.loads(signature)}]


def test_sealed_thinking_is_numbered():
    """Clients tell a new entry from a piece of the one before by its index."""
    events = wire_events(answer(Thinking("", "one"), Thinking("Hm.", "two"), Text("Hi")))
    deltas = [choice["delta"] for event in events[:-1] for choice in json.loads(event)["choices"]]
    sealed = [entry for each in deltas for entry in each.get("reasoning_details", ())]

    assert [(entry["data"], entry["index"]) for entry in sealed] == [("one", 0), ("two", 1)]


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning_content": "Hm."}, [Thinking("Hm.")]),
        ({"reasoning_details": [{"data": "x"}]}, [Thinking("", "x")]),
        ({"reasoning_content": "Hm.", "reasoning_details": [{"data": "x"}]}, [Thinking("Hm.", "x")]),
        (
            {"reasoning_details": [{"data": "x"}, {"data": 5}, "z", {"data": "y"}]},
            [Thinking("", "x"), Thinking("", "y")],
        ),
        ({"reasoning_details": {"data": "x"}}, []),
        ({"reasoning_content": ""}, []),
        ({"reasoning_content": 5}, []),
    ],
    ids=str,
)
def test_thinking_that_comes_back(fields, thinking):
    """Its text, and what is sealed of it; each of several sealed pieces is one of its own."""
    messages = [*HELLO["messages"], {"role": "assistant", "content": "Hi", **fields}]

    assert parse_request({"messages": messages}).request.messages[1].content == [*thinking, Text("Hi")]


def test_a_failure_after_the_beginning_is_told(listen):
    """A stream that fails says so in the place of its end, and a client of ours hears what it was."""
    encoder = ChunkEncoder("chatcmpl-1", "gpt-9", 0)
    data = encoder.encode(TextDelta("Hi")) + encoder.encode_failure(OverloadedError("Busy."))
    heard = listen.bytes(data)

    assert "Hi" == heard.joined("text")
    assert isinstance(heard.failure, OverloadedError)


def test_an_answer_that_begins_anew_is_an_error():
    """What was told cannot be taken back here, so a resumed answer is never passed on as one."""
    encoder = ChunkEncoder("chatcmpl-1", "gpt-9", 0)
    encoder.encode(TextDelta("Hal"))
    with pytest.raises(StreamTruncatedError):
        encoder.encode(Resumed([]))


CALLERS, SERVERS = "invalid_request_error", "server_error"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.ModelNotAvailableError("x"), CALLERS, "model_not_found"),
        (errors.ContextLengthError("x"), CALLERS, "context_length_exceeded"),
        (errors.ContentPolicyError("x"), CALLERS, "content_policy_violation"),
        (errors.InvalidImageError("x"), CALLERS, "invalid_image"),
        (errors.InvalidRequestError("x"), CALLERS, "invalid_request"),
        (errors.NotSignedInError("x"), CALLERS, "not_signed_in"),
        (errors.SignInAgainError("x"), CALLERS, "sign_in_again"),
        (errors.PlanNotPermittedError("x"), CALLERS, "plan_not_permitted"),
        (errors.BudgetError("x"), CALLERS, "budget"),
        (errors.UsageLimitError("x"), "usage_limit_reached", "usage_limit_reached"),
        (errors.NotIncludedError("x"), "insufficient_quota", "usage_not_included"),
        (errors.RateLimitError("x"), "rate_limit_error", "rate_limit_exceeded"),
        (errors.OverloadedError("x"), SERVERS, "server_is_overloaded"),
        (errors.ServerError("x"), SERVERS, "server_error"),
        (errors.ConnectError("x"), SERVERS, "connect"),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_errors_are_told_in_their_words(error, kind, code):
    """Other people's clients look for the platform's types and codes; sentence and advice are ours."""
    told = error_body(error)["error"]
    assert (kind, code) == (told["type"], told["code"])
    assert {"message", "type", "param", "code"} == set(told)
    assert error.hint in told["message"]


def test_a_usage_limit_says_when_it_resets(listen):
    """By its type, as the plan's own service does it; a client of ours reads what it was."""
    failure = errors.UsageLimitError("The plan is used up.", resets_at=1_790_000_000.4)
    told = error_body(failure)["error"]
    assert (told["type"], told["resets_at"]) == ("usage_limit_reached", 1_790_000_000)
    heard = listen.bytes(ChunkEncoder("chatcmpl-1", "gpt-9", 0).encode_failure(failure)).failure
    assert isinstance(heard, errors.UsageLimitError)
    assert heard.resets_at == 1_790_000_000


def test_models_are_listed():
    """The list has the fields that clients read."""
    assert {
        "object": "list",
        "data": [{"id": "gpt-9", "object": "model", "created": 0, "owned_by": "openai-codex"}],
    } == models_body([ModelInfo("gpt-9", "GPT 9", "openai-codex")])
