"""Answers as server-sent events of Chat Completions, to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.errors import StreamTruncatedError, UsageLimitError
from onplan.types import (
    CompletionResponse,
    ContentPart,
    Done,
    FinishReason,
    HostedToolCall,
    Message,
    PartDone,
    Refusal,
    Resumed,
    StreamChunk,
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


def done(*parts: ContentPart, reason: FinishReason = FinishReason.STOP) -> Done:
    usage = Usage(10, 5, 15)
    whole = CompletionResponse(
        message=Message.assistant(*parts), usage=usage, finish_reason=reason, model="gpt-9"
    )
    return Done(usage, reason, whole)


def deltas(*chunks: StreamChunk) -> list[dict[str, Any]]:
    """The deltas for these chunks, without the first one, which tells the role."""
    data = ChunkEncoder("c", "m", 7).encode(chunks)
    found = [json.loads(event[6:])["choices"][0]["delta"] for event in data.split(b"\n\n") if event]
    assert found[:1] in ([], [{"role": "assistant", "content": ""}])
    return found[1:]


HEAD = b'data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":['


@pytest.mark.parametrize("include_usage", [False, True])
def test_every_byte(*, include_usage: bool) -> None:
    """One id, time and model throughout; the role first; the reason, the counts, and the end mark last."""
    encoder = ChunkEncoder("c", "m", 7, include_usage=include_usage)
    counts = b',"usage":null' if include_usage else b""
    end = b',"logprobs":null,"finish_reason":null}]' + counts + b"}\n\n"

    first = encoder.encode([TextDelta('H"'), TextDelta("\u00e9\n")])
    role = HEAD + b'{"index":0,"delta":{"role":"assistant","content":""}' + end
    text = [
        HEAD + b'{"index":0,"delta":{"content":%b}' % each + end for each in (rb'"H\""', b'"\xc3\xa9\\n"')
    ]
    assert first == role + b"".join(text)

    last = encoder.encode([done(Text("x"))])
    reason = HEAD + b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]' + counts + b"}\n\n"
    assert last.startswith(reason)
    rest = last.removeprefix(reason)
    if include_usage:
        event, _, rest = rest.partition(b"\n\n")
        told = json.loads(event[6:])
        assert event.startswith(HEAD + b'],"usage":')
        assert (told["choices"], told["usage"]["total_tokens"]) == ([], 15)
    assert rest == b"data: [DONE]\n\n"


def test_nothing_is_sent_for_nothing() -> None:
    """The role comes with the first event, so that a failure before it has a status."""
    encoder = ChunkEncoder("c", "m", 7)
    assert encoder.encode([]) == b""
    assert (
        encoder.encode([PartDone(Text("")), ToolCallEnd("x"), PartDone(HostedToolCall("web_search"))]) == b""
    )
    assert encoder.encode([TextDelta("x")]).count(b"data: ") == 2
    assert encoder.encode([TextDelta("x")]).count(b"data: ") == 1


def test_an_answer_without_anything() -> None:
    """It has its role, its reason and its end."""
    data = ChunkEncoder("c", "m", 7).encode([done()])
    assert data.count(b"data: ") == 3
    assert data.index(b'"role"') < data.index(b'"stop"') < data.index(b"[DONE]")


def test_calls() -> None:
    """Counted from 0, each with its type once; of custom tools the input; interleaved ones stay apart."""
    told = deltas(
        ToolCallStart("x", "f"),
        ToolCallStart("y", "sql", is_custom=True),
        ToolCallDelta("x", '{"a"'),
        ToolCallDelta("y", "select"),
        ToolCallDelta("x", ":1}"),
        ToolCallEnd("x"),
        ToolCallStart("z", "f"),
        ToolCallDelta("z", "{}"),
    )
    assert [delta["tool_calls"] for delta in told] == [
        [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 1, "id": "y", "type": "custom", "custom": {"name": "sql", "input": ""}}],
        [{"index": 0, "function": {"arguments": '{"a"'}}],
        [{"index": 1, "custom": {"input": "select"}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
        [{"index": 2, "id": "z", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 2, "function": {"arguments": "{}"}}],
    ]


def test_an_id_that_comes_again() -> None:
    """Pieces belong to the latest call with it."""
    told = deltas(ToolCallStart("x", "f"), ToolCallStart("x", "g"), ToolCallDelta("x", "{}"))
    assert [delta["tool_calls"][0]["index"] for delta in told] == [0, 1, 1]


def test_a_signature_comes_with_the_index_of_its_call() -> None:
    """In a piece of its own, after the arguments."""
    signature = {"extra_content": {"google": {"thought_signature": "c"}}}
    call = ToolCall("y", "f", "{}", signature=json.dumps(signature))
    told = deltas(ToolCallStart("x", "f"), ToolCallStart("y", "f"), PartDone(call))
    assert told[-1] == {"tool_calls": [{"index": 1, **signature}]}


def test_thinking() -> None:
    """Its parts are apart by an empty line; what is sealed of them is numbered."""
    told = deltas(
        ThinkingDelta("H"),
        ThinkingDelta("m."),
        PartDone(Thinking("Hm.", "one")),
        PartDone(Thinking("", "two")),
        ThinkingDelta("Oh."),
        ThinkingDelta("!"),
        PartDone(Thinking("Oh.!")),
    )
    assert told == [
        {"reasoning_content": "H"},
        {"reasoning_content": "m."},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "one", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "two", "index": 1}]},
        {"reasoning_content": "\n\nOh."},
        {"reasoning_content": "!"},
    ]


def test_a_refusal_and_citations() -> None:
    """They come when their part is finished; places count in the whole message."""
    page = {"type": "url_citation", "url": "https://a.example", "start_index": 3, "end_index": 5}
    told = deltas(PartDone(Text("By us. ")), PartDone(Text("By me.", None, [page])), PartDone(Refusal("No.")))
    cited = {"url": "https://a.example", "start_index": 10, "end_index": 12}
    assert told == [
        {"annotations": [{"type": "url_citation", "url_citation": cited}]},
        {"refusal": "No."},
    ]


def test_a_failure() -> None:
    """One event with the error, after which nothing comes."""
    error = UsageLimitError("Used up.", hint="Wait.", resets_at=1_790_000_000.5)
    told = ChunkEncoder("c", "m", 7).encode_failure(error)
    assert told.endswith(b"}\n\n")
    assert json.loads(told.removeprefix(b"data: ")) == {
        "error": {
            "message": "Used up. Wait.",
            "type": "usage_limit_reached",
            "param": None,
            "code": "usage_limit_reached",
            "resets_at": 1_790_000_000,
        }
    }


def test_an_answer_that_begins_anew_is_an_error() -> None:
    """What was told cannot be taken back here, so a resumed answer is never passed on as one."""
    encoder = ChunkEncoder("c", "m", 7)
    encoder.encode([TextDelta("Hal")])
    with pytest.raises(StreamTruncatedError):
        encoder.encode([Resumed([])])
