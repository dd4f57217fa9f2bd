"""What our client says of a request our server hears; what that says of an answer the client hears."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan import errors
from onplan.backends import COMPATIBLE, OPENAI
from onplan.chat.request import prepare
from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.dialects.openai_chat.request import read_request
from onplan.dialects.openai_errors import error_fields
from onplan.errors import OverloadedError
from onplan.structured.output_format import output_format
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    Done,
    File,
    FinishReason,
    Image,
    Message,
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
    ToolChoice,
    ToolDefinition,
    Usage,
)

TOOL = ToolDefinition("weather", "Tells it.", {"type": "object", "properties": {"a": {"type": "integer"}}})
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def sent(request, backend=OPENAI):
    return json.loads(prepare(request, backend, "https://example.org", "gpt-9").body)


def parsed(body):
    return read_request(json.dumps(body).encode())


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
    heard = parsed(sent(REQUEST))

    named = output_format(heard.request.response_format)
    assert (named.name, named.schema, named.strict) == ("answer", {**CLOSED, "title": "answer"}, True)
    assert REQUEST == msgspec.structs.replace(heard.request, response_format=REQUEST.response_format)
    assert (True, True, ()) == (heard.stream, heard.include_usage, heard.ignored_parameters)


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

    assert request == parsed(sent(request)).request


def test_thinking_makes_the_round(listen):
    """What is sealed of it our server tells, our client keeps and says again, and our server hears it."""
    thinking = [Thinking("Hm.", "gAAAAsealed"), Thinking("", "gAAAAmore")]
    response = answer(*thinking, Text("Hi"))
    kept = listen(*wire_events(response)).done.response.message
    body = sent(CompletionRequest(messages=[Message.user("?"), kept, Message.user("!")]), COMPATIBLE)

    assert "Hm." == kept.content[0].text
    assert [Thinking("", "gAAAAsealed"), Thinking("", "gAAAAmore"), Text("Hi")] == parsed(
        body
    ).request.messages[1].content


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
    data = b"".join(encoder.encode([chunk]) for chunk in chunks_of(response))
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


def test_a_failure_after_the_beginning_is_told(listen):
    """A stream that fails says so in the place of its end, and a client of ours hears what it was."""
    encoder = ChunkEncoder("chatcmpl-1", "gpt-9", 0)
    data = encoder.encode([TextDelta("Hi")]) + encoder.encode_failure(OverloadedError("Busy."))
    heard = listen.bytes(data)

    assert "Hi" == heard.joined("text")
    assert isinstance(heard.failure, OverloadedError)


def test_a_usage_limit_says_when_it_resets(listen):
    """By its type, as the plan's own service does it; a client of ours reads what it was."""
    failure = errors.UsageLimitError("The plan is used up.", resets_at=1_790_000_000.4)
    told = error_fields(failure)
    assert (told["type"], told["resets_at"]) == ("usage_limit_reached", 1_790_000_000)
    heard = listen.bytes(ChunkEncoder("chatcmpl-1", "gpt-9", 0).encode_failure(failure)).failure
    assert isinstance(heard, errors.UsageLimitError)
    assert heard.resets_at == 1_790_000_000
