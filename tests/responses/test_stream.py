from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.answers.sse import EventDecoder
from onplan.answers.usage import usage_of
from onplan.errors import (
    ContentPolicyError,
    ContextLengthError,
    InvalidRequestError,
    OnplanError,
    OverloadedError,
    RateLimitError,
    ServerError,
    SignInAgainError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.parameters import Reports
from onplan.responses.stream import ResponseStream
from onplan.types import (
    Done,
    FinishReason,
    PartDone,
    Refusal,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5.5-2026"}}
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def message(*texts, id_="msg_1", **fields):
    content = [{"type": "output_text", "text": text} for text in texts]
    return {"type": "message", "role": "assistant", "id": id_, "content": content, **fields}


def reasoning(*summaries, id_="rs_1", encrypted=None):
    summary = [{"type": "summary_text", "text": text} for text in summaries]
    return {"type": "reasoning", "id": id_, "summary": summary, "encrypted_content": encrypted}


def call(arguments, *, id_="fc_1", call_id="call_1", name="weather", **fields):
    item = {"type": "function_call", "id": id_, "call_id": call_id, "name": name, "arguments": arguments}
    return {**item, **fields}


def added(item, output_index=0):
    return {"type": "response.output_item.added", "output_index": output_index, "item": item}


def item_done(item, output_index=0):
    return {"type": "response.output_item.done", "output_index": output_index, "item": item}


def text_delta(delta, item_id="msg_1", output_index=0, content_index=0):
    where = {"item_id": item_id, "output_index": output_index, "content_index": content_index}
    return {"type": "response.output_text.delta", "delta": delta, **where}


def text_done(text, item_id="msg_1", output_index=0, content_index=0):
    where = {"item_id": item_id, "output_index": output_index, "content_index": content_index}
    return {"type": "response.output_text.done", "text": text, **where}


def summary_delta(delta, summary_index=0, item_id="rs_1", output_index=0):
    where = {"item_id": item_id, "output_index": output_index, "summary_index": summary_index}
    return {"type": "response.reasoning_summary_text.delta", "delta": delta, **where}


def arguments_delta(delta, **where):
    where = where or {"item_id": "fc_1", "output_index": 0}
    return {"type": "response.function_call_arguments.delta", "delta": delta, **where}


def arguments_done(arguments, **where):
    where = where or {"item_id": "fc_1", "output_index": 0}
    return {"type": "response.function_call_arguments.done", "arguments": arguments, **where}


def completed(*output, usage=USAGE, **fields):
    response = {"id": "resp_1", "status": "completed", "output": list(output), "usage": usage, **fields}
    return {"type": "response.completed", "response": response}


def incomplete(reason, *output):
    details = {"incomplete_details": {"reason": reason}, "status": "incomplete", "output": list(output)}
    return {"type": "response.incomplete", "response": {"id": "resp_1", "usage": USAGE, **details}}


def failed(code, message="It failed."):
    error = {"code": code, "message": message}
    return {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": error}}


def test_a_whole_turn_becomes_chunks_in_order(listen):
    """Thinking, text and a call come out as they arrive, each part finished before the next begins."""
    heard = listen(
        CREATED,
        added(reasoning()),
        summary_delta("Hm."),
        item_done(reasoning("Hm.", encrypted="gAAA")),
        added(message(id_="msg_1"), 1),
        text_delta("Let me ", output_index=1),
        text_delta("look.", output_index=1),
        item_done(message("Let me look.", phase="commentary"), 1),
        added(call(""), 2),
        arguments_delta('{"city":', item_id="fc_1", output_index=2),
        arguments_delta('"Oslo"}', item_id="fc_1", output_index=2),
        item_done(call('{"city":"Oslo"}'), 2),
        completed(),
        model="gpt-5.5",
        reports=Reports(ignored=("temperature",)),
    )

    thinking = Thinking("Hm.", "gAAA")
    text = Text("Let me look.", "commentary")
    tool_call = ToolCall("call_1", "weather", '{"city":"Oslo"}')
    assert heard.failure is None
    assert [
        ("thinking", "Hm."),
        PartDone(thinking),
        TextDelta("Let me "),
        TextDelta("look."),
        PartDone(text),
        ToolCallStart("call_1", "weather"),
        ToolCallDelta("call_1", '{"city":'),
        ToolCallDelta("call_1", '"Oslo"}'),
        ToolCallEnd("call_1"),
        PartDone(tool_call),
    ] == [(chunk.type, chunk.text) if chunk.type == "thinking" else chunk for chunk in heard.chunks[:-1]]
    response = heard.done.response
    assert [thinking, text, tool_call] == response.message.content == heard.parts
    assert "assistant" == response.message.role
    assert "Let me look." == response.text
    assert FinishReason.TOOL_CALLS == heard.done.finish_reason == response.finish_reason
    assert Usage(10, 5, 15) == heard.done.usage == response.usage
    assert "gpt-5.5-2026" == response.model
    assert "resp_1" == response.response_id
    assert ["temperature"] == response.ignored_parameters


@dataclass
class Case:
    id: str
    events: list[dict]
    parts: list = field(default_factory=list)
    finish: FinishReason = FinishReason.STOP


WEATHER = ToolCall("call_1", "weather", '{"a":1}')
OTHER = ToolCall("call_2", "time", '{"b":2}')

ANSWERS = [
    Case(
        "text, deltas only",
        [text_delta("Hel"), text_delta("lo"), completed(message("Hello"))],
        [Text("Hello")],
    ),
    Case(
        "text, deltas and an empty output",
        [text_delta("Hel"), text_delta("lo"), completed()],
        [Text("Hello")],
    ),
    Case("text, done only", [added(message()), text_done("Hello"), completed()], [Text("Hello")]),
    Case(
        "text, half in deltas, whole in done",
        [text_delta("He"), text_done("Hello"), completed()],
        [Text("Hello")],
    ),
    Case("text, item only, output empty", [item_done(message("Hello")), completed()], [Text("Hello")]),
    Case("text, completed.output only", [CREATED, completed(message("Hello"))], [Text("Hello")]),
    Case(
        "text, in every way at once",
        [
            added(message()),
            text_delta("Hello"),
            text_done("Hello"),
            item_done(message("Hello")),
            completed(message("Hello")),
        ],
        [Text("Hello")],
    ),
    Case(
        "text, several parts of one item",
        [
            text_delta("One"),
            text_delta("Two", content_index=1),
            item_done(message("One", "Two")),
            completed(),
        ],
        [Text("One"), Text("Two")],
    ),
    Case(
        "text, two items",
        [
            text_delta("One"),
            text_delta("Two", item_id="msg_2", output_index=1),
            item_done(message("One")),
            item_done(message("Two", id_="msg_2"), 1),
            completed(),
        ],
        [Text("One"), Text("Two")],
    ),
    Case("text, empty deltas", [text_delta(""), text_delta("Hi"), text_delta(""), completed()], [Text("Hi")]),
    Case(
        "text, no index",
        [
            text_delta("Hel", output_index=None, content_index=None),
            text_delta("lo", output_index=None),
            completed(),
        ],
        [Text("Hello")],
    ),
    Case(
        "text, neither id nor index",
        [
            text_delta("Hel", item_id=None, output_index=None),
            text_delta("lo", item_id=None, output_index=None),
            item_done(message("Hello")),
            completed(),
        ],
        [Text("Hello")],
    ),
    Case(
        "text, another id in every event",
        [
            added(message(id_="a")),
            text_delta("Hel", item_id="b"),
            text_delta("lo", item_id="c"),
            item_done(message("Hello", id_="d")),
            completed(message("Hello", id_="e")),
        ],
        [Text("Hello")],
    ),
    Case(
        "text, a delta overtakes its item",
        [
            text_delta("Hello"),
            added(message()),
            item_done(message("Hello", phase="final_answer")),
            completed(),
        ],
        [Text("Hello", "final_answer")],
    ),
    Case(
        "text, JSON null where lists are",
        [
            item_done({**message("Hi"), "summary": None}),
            {**completed(), "response": {"output": None, "usage": None}},
        ],
        [Text("Hi")],
    ),
    Case(
        "text with annotations and parts of unknown types",
        [
            item_done(
                {
                    **message(),
                    "content": [
                        {"type": "hologram"},
                        {"type": "output_text", "text": "Hi", "annotations": []},
                    ],
                }
            ),
            completed(),
        ],
        [Text("Hi")],
    ),
    Case("an item of an unknown type", [item_done({"type": "sparkle_call", "id": "x"}), completed()], []),
    Case("nothing, and nothing counted", [CREATED, completed(usage=None)], []),
    Case(
        "thinking, several summary parts",
        [
            summary_delta("One"),
            summary_delta(" more"),
            summary_delta("Two", 1),
            item_done(reasoning("One more", "Two", encrypted="e")),
            completed(),
        ],
        [Thinking("One more\n\nTwo", "e")],
    ),
    Case(
        "thinking, a part only in the item",
        [
            summary_delta("One"),
            item_done(reasoning("One", "Two")),
            completed(),
        ],
        [Thinking("One\n\nTwo")],
    ),
    Case("thinking, item only", [item_done(reasoning("One", "Two")), completed()], [Thinking("One\n\nTwo")]),
    Case(
        "thinking, an empty part",
        [
            summary_delta(""),
            summary_delta("Two", 1),
            item_done(reasoning("", "Two")),
            completed(),
        ],
        [Thinking("Two")],
    ),
    Case(
        "thinking, a part that begins empty",
        [
            summary_delta("One"),
            summary_delta("", 1),
            summary_delta("Two", 1),
            completed(),
        ],
        [Thinking("One\n\nTwo")],
    ),
    Case("thinking, encrypted only", [item_done(reasoning(encrypted="e")), completed()], [Thinking("", "e")]),
    Case("thinking, nothing of it", [item_done(reasoning()), completed(usage=None)], []),
    Case(
        "thinking aloud",
        [
            {"type": "response.reasoning_text.delta", "delta": "Hm", "item_id": "rs_1", "output_index": 0},
            item_done({**reasoning(), "content": [{"type": "reasoning_text", "text": "Hm"}]}),
            completed(),
        ],
        [Thinking("Hm")],
    ),
    Case(
        "thinking, two items",
        [
            summary_delta("One"),
            item_done(reasoning("One")),
            summary_delta("Two", item_id="rs_2", output_index=1),
            item_done(reasoning("Two", id_="rs_2"), 1),
            completed(),
        ],
        [Thinking("One"), Thinking("Two")],
    ),
    Case(
        "call, deltas only",
        [
            added(call("")),
            arguments_delta('{"a"'),
            arguments_delta(":1}"),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, arguments.done only",
        [
            added(call("")),
            arguments_done('{"a":1}'),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, item only",
        [
            added(call("")),
            item_done(call('{"a":1}')),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, item without a beginning",
        [
            item_done(call('{"a":1}')),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, whole in the item that begins it",
        [
            added(call('{"a":1}')),
            item_done(call('{"a":1}')),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case("call, completed.output only", [completed(call('{"a":1}'))], [WEATHER], FinishReason.TOOL_CALLS),
    Case(
        "call, deltas overtake the name",
        [
            arguments_delta('{"a"'),
            added(call("")),
            arguments_delta(":1}"),
            item_done(call('{"a":1}')),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, the model itself wrote bad JSON",
        [item_done(call('{"a"')), completed()],
        [ToolCall("call_1", "weather", '{"a"')],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, its id comes late",
        [
            added(call("", call_id=None)),
            arguments_delta('{"a":1}'),
            item_done(call('{"a":1}')),
            completed(),
        ],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call, its name comes late",
        [added(call("", name=None)), arguments_delta('{"a":1}'), item_done(call('{"a":1}')), completed()],
        [WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "text, an empty done after the end",
        [text_delta("Hello"), item_done(message("Hello")), text_done(""), completed()],
        [Text("Hello")],
    ),
    Case(
        "call, never an own id",
        [
            added(call("", call_id=None)),
            item_done(call('{"a":1}', call_id=None)),
            completed(),
        ],
        [ToolCall("fc_1", "weather", '{"a":1}')],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "call without arguments",
        [
            added(call("")),
            item_done(call("")),
            completed(),
        ],
        [ToolCall("call_1", "weather", "")],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "calls, interleaved by item_id",
        [
            added(call("")),
            added(call("", id_="fc_2", call_id="call_2", name="time"), 1),
            arguments_delta('{"b"', item_id="fc_2"),
            arguments_delta('{"a"', item_id="fc_1"),
            arguments_delta(":2}", item_id="fc_2"),
            arguments_delta(":1}", item_id="fc_1"),
            item_done(call('{"b":2}', id_="fc_2", call_id="call_2", name="time"), 1),
            item_done(call('{"a":1}')),
            completed(),
        ],
        [WEATHER, OTHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "calls, interleaved by output_index",
        [
            added(call("", id_=None)),
            added(call("", id_=None, call_id="call_2", name="time"), 1),
            arguments_delta('{"b"', output_index=1),
            arguments_delta('{"a"', output_index=0),
            arguments_delta(":2}", output_index=1),
            arguments_delta(":1}", output_index=0),
            completed(),
        ],
        [WEATHER, OTHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "calls, interleaved, another id in every event",
        [
            added(call("", id_="x1")),
            added(call("", id_="x2", call_id="call_2", name="time"), 1),
            arguments_delta('{"b"', item_id="x3", output_index=1),
            arguments_delta('{"a"', item_id="x4", output_index=0),
            arguments_done('{"b":2}', item_id="x5", output_index=1),
            arguments_done('{"a":1}', item_id="x6", output_index=0),
            item_done(call('{"b":2}', id_="x7", call_id="call_2", name="time"), 1),
            item_done(call('{"a":1}', id_="x8")),
            completed(),
        ],
        [WEATHER, OTHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "calls, the server numbers everything 0",
        [
            added(call("")),
            item_done(call('{"a":1}')),
            added(call("", id_="fc_2", call_id="call_2", name="time")),
            item_done(call('{"b":2}', id_="fc_2", call_id="call_2", name="time")),
            completed(),
        ],
        [WEATHER, OTHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "text only in an output that leaves the thinking out",
        [
            item_done(reasoning("Hm")),
            completed({**message("Hello"), "id": None}),
        ],
        [Thinking("Hm"), Text("Hello")],
    ),
    Case(
        "text and a call",
        [
            item_done(message("Look.")),
            item_done(call('{"a":1}'), 1),
            completed(),
        ],
        [Text("Look."), WEATHER],
        FinishReason.TOOL_CALLS,
    ),
    Case(
        "refusal, deltas",
        [
            {
                "type": "response.refusal.delta",
                "delta": "I ca",
                "item_id": "msg_1",
                "output_index": 0,
                "content_index": 0,
            },
            {
                "type": "response.refusal.delta",
                "delta": "n't",
                "item_id": "msg_1",
                "output_index": 0,
                "content_index": 0,
            },
            completed(),
        ],
        [Refusal("I can't")],
        FinishReason.CONTENT_FILTER,
    ),
    Case(
        "thinking, done only",
        [
            {
                "type": "response.reasoning_summary_text.done",
                "text": "Hm",
                "item_id": "rs_1",
                "output_index": 0,
            },
            completed(),
        ],
        [Thinking("Hm")],
    ),
    Case(
        "refusal, done only",
        [
            added(message()),
            {"type": "response.refusal.done", "refusal": "No.", "item_id": "msg_1", "output_index": 0},
            completed(),
        ],
        [Refusal("No.")],
        FinishReason.CONTENT_FILTER,
    ),
    Case(
        "refusal, item only",
        [
            item_done({**message(), "content": [{"type": "refusal", "refusal": "No."}]}),
            completed(),
        ],
        [Refusal("No.")],
        FinishReason.CONTENT_FILTER,
    ),
    Case("length", [text_delta("Hel"), incomplete("max_output_tokens")], [Text("Hel")], FinishReason.LENGTH),
    Case(
        "length, text only in the output",
        [
            CREATED,
            incomplete("max_output_tokens", message("Hel", status="incomplete")),
        ],
        [Text("Hel")],
        FinishReason.LENGTH,
    ),
    Case(
        "length, a call cut",
        [
            text_delta("Hi"),
            item_done(message("Hi")),
            added(call("", id_="fc_1"), 1),
            arguments_delta('{"a"', item_id="fc_1", output_index=1),
            incomplete("max_output_tokens"),
        ],
        [Text("Hi")],
        FinishReason.LENGTH,
    ),
    Case(
        "length, a call cut where its JSON happens to be whole",
        [
            text_delta("Hi"),
            added(call("", id_="fc_1"), 1),
            arguments_delta("12", item_id="fc_1", output_index=1),
            incomplete("max_output_tokens"),
        ],
        [Text("Hi")],
        FinishReason.LENGTH,
    ),
    Case(
        "length, a call that its item says was cut",
        [
            item_done(message("Hi")),
            added(call(""), 1),
            arguments_delta('{"a"', item_id="fc_1", output_index=1),
            item_done(call('{"a"', status="incomplete"), 1),
            incomplete("max_output_tokens"),
        ],
        [Text("Hi")],
        FinishReason.LENGTH,
    ),
    Case(
        "length, a call that its item says was cut before its arguments",
        [
            item_done(message("Hi")),
            item_done(call("", status="incomplete"), 1),
            incomplete("max_output_tokens"),
        ],
        [Text("Hi")],
        FinishReason.LENGTH,
    ),
    Case(
        "length, a call that was finished before",
        [
            item_done(call('{"a":1}')),
            text_delta("Hi", output_index=1),
            incomplete("max_output_tokens"),
        ],
        [WEATHER, Text("Hi")],
        FinishReason.LENGTH,
    ),
    Case(
        "content filter",
        [text_delta("Hel"), incomplete("content_filter")],
        [Text("Hel")],
        FinishReason.CONTENT_FILTER,
    ),
]


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.id)
def test_an_answer_is_whole_however_it_arrives(case, listen):
    """Wherever an answer's pieces come, the parts are whole and the joined deltas equal them."""
    heard = listen(*case.events)

    assert heard.failure is None
    assert case.parts == heard.parts == heard.done.response.message.content
    assert case.finish == heard.done.finish_reason
    assert [PartDone(part) for part in case.parts] == sorted(
        heard.of("part_done"), key=lambda chunk: case.parts.index(chunk.part)
    )
    assert "".join(part.text for part in case.parts if isinstance(part, Text)) == heard.text
    assert "".join(part.text for part in case.parts if isinstance(part, Thinking)) == heard.thinking
    for part in case.parts:
        if isinstance(part, ToolCall):
            assert part.arguments == heard.arguments(part.id)
            mine = [chunk for chunk in heard.chunks if getattr(chunk, "id", None) == part.id]
            assert ToolCallStart(part.id, part.name) == mine[0]
            assert ToolCallEnd(part.id) == mine[-1]
            assert 2 == sum(not isinstance(chunk, ToolCallDelta) for chunk in mine)


@dataclass
class Broken:
    id: str
    events: list[dict]
    error: type[OnplanError] = StreamCorruptError


BROKEN = [
    Broken("text differs from its done", [text_delta("Hello"), text_done("Howdy")]),
    Broken("text differs from its item", [text_delta("Hello"), item_done(message("Howdy"))]),
    Broken("text longer than its item", [text_delta("Hello"), item_done(message("Hell"))]),
    Broken(
        "text lost in the middle", [text_delta("Hel"), text_delta("world"), item_done(message("Hello world"))]
    ),
    Broken("text after its item was finished", [item_done(message("Hello")), text_delta(" again")]),
    Broken("thinking differs from its item", [summary_delta("One"), item_done(reasoning("Two"))]),
    Broken(
        "arguments differ from their done",
        [added(call("")), arguments_delta('{"a"'), arguments_done('{"b":1}')],
    ),
    Broken("arguments after their item", [item_done(call('{"a":1}')), arguments_delta("2")]),
    Broken("arguments cut", [added(call("")), arguments_delta('{"a"'), completed()]),
    Broken("arguments never came", [added(call("")), completed()]),
    Broken("a call that was cut", [item_done(call("", status="incomplete")), completed()]),
    Broken(
        "a call that was cut, beside text",
        [item_done(message("Hi")), item_done(call("", status="incomplete"), 1), completed()],
    ),
    Broken("a call nobody named", [arguments_delta("{}"), completed()]),
    Broken("a call without any id", [item_done(call("{}", id_=None, call_id=None))]),
    Broken("a call that changes its id", [added(call("")), item_done(call("{}", call_id="call_2"))]),
    Broken("a call that changes its name", [added(call("")), item_done(call("{}", name="delete"))]),
    Broken("billed, and nothing came", [CREATED, completed()]),
    Broken("billed, and a message only begun", [added(message()), completed()]),
    Broken(
        "completed, and says it failed",
        [text_delta("Hi"), completed(status="failed", error={"code": "server_error"})],
        ServerError,
    ),
    Broken(
        "interrupted for a reason nobody knows", [text_delta("Hi"), incomplete("moonrise")], StreamFailedError
    ),
    Broken("interrupted for no reason", [{"type": "response.incomplete", "response": {}}], StreamFailedError),
    Broken("failed, usage limit", [failed("usage_limit_reached")], UsageLimitError),
    Broken("failed, quota", [failed("insufficient_quota")], UsageLimitError),
    Broken("failed, rate limit", [failed("rate_limit_exceeded")], RateLimitError),
    Broken("failed, slow down", [failed("slow_down")], RateLimitError),
    Broken("failed, overloaded", [failed("server_is_overloaded")], OverloadedError),
    Broken("failed, flex", [failed("flex_unavailable")], OverloadedError),
    Broken("failed, server error", [failed("server_error")], ServerError),
    Broken("failed, too long", [failed("context_length_exceeded")], ContextLengthError),
    Broken("failed, invalid prompt", [failed("invalid_prompt")], ContentPolicyError),
    Broken("failed, cyber policy", [failed("cyber_policy")], ContentPolicyError),
    Broken("failed, an unknown code", [failed("moonrise")], StreamFailedError),
    Broken("failed, without an error", [{"type": "response.failed", "response": {}}], StreamFailedError),
    Broken(
        "error, flat", [{"type": "error", "code": "server_is_overloaded", "message": "x"}], OverloadedError
    ),
    Broken("error, nested", [{"type": "error", "error": {"type": "server_is_overloaded"}}], OverloadedError),
    Broken("error, empty", [{"type": "error"}], StreamFailedError),
    Broken(
        "error, then failed", [{"type": "error", "code": "slow_down"}, failed("server_error")], RateLimitError
    ),
    Broken(
        "error, status 401", [{"type": "error", "status": 401, "error": {"message": "x"}}], SignInAgainError
    ),
    Broken(
        "error, status 429",
        [{"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}}],
        UsageLimitError,
    ),
    Broken(
        "error, status 400",
        [{"type": "error", "status": 400, "error": {"message": "x"}}],
        InvalidRequestError,
    ),
    Broken("error, status 500", [{"type": "error", "status": 500, "error": {"message": "x"}}], ServerError),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
def test_an_answer_that_is_not_whole_is_an_error(case, listen):
    """A stream that fails, contradicts itself or leaves something out never ends in ``Done``."""
    heard = listen(*case.events)

    assert case.error is type(heard.failure)
    assert [] == heard.of("done")
    assert heard.parts == [chunk.part for chunk in heard.of("part_done")]


def test_what_came_before_a_failure_is_handed_out(listen):
    """Chunks and finished parts that precede a failure in one read are not lost with it."""
    stream = ResponseStream("gpt-5.5", request_id="req_1")

    chunks = stream.feed(
        json.dumps(event).encode()
        for event in [
            item_done(message("One")),
            text_delta("Tw", "m2", 1),
            failed("server_error"),
            text_delta("x"),
        ]
    )

    assert [TextDelta("One"), PartDone(Text("One")), TextDelta("Tw")] == chunks
    assert [Text("One")] == stream.parts
    assert stream.finished
    assert isinstance(stream.failure, ServerError)
    assert "req_1" == stream.failure.request_id


def test_what_follows_the_end_is_left_unread():
    """After the terminal event nothing more is heard, whatever else arrives."""
    stream = ResponseStream("gpt-5.5")
    payloads = [json.dumps(event).encode() for event in (text_delta("Hi"), completed(), text_delta("!"))]

    assert [TextDelta, PartDone, Done] == [type(chunk) for chunk in stream.feed([*payloads, b"{broken"])]
    assert [] == stream.feed([b"{broken"])
    assert stream.failure is None
    stream.close()


@pytest.mark.parametrize(
    "events",
    [[], [CREATED], [text_delta("Hi")], [item_done(message("Hi"))]],
    ids=["nothing", "created", "delta", "item"],
)
def test_an_end_without_a_terminal_event_is_an_error(events):
    """However much had arrived, an answer without its terminal event is truncated."""
    stream = ResponseStream("gpt-5.5", request_id="req_1")
    stream.feed(json.dumps(event).encode() for event in events)

    with pytest.raises(StreamTruncatedError) as caught:
        stream.close()
    assert "req_1" == caught.value.request_id


def test_a_wait_that_is_told_in_words_is_understood(listen):
    """ "try again in" inside a failed answer becomes the error's ``retry_after``."""
    assert 1.5 == listen(failed("rate_limit_exceeded", "Please try again in 1.5s.")).failure.retry_after


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ({}, Usage()),
        ({"input_tokens": None, "output_tokens": None, "total_tokens": None}, Usage()),
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3, "completion_tokens": "4"}, Usage(3, 4, 7)),
        ({"input_tokens": 3, "prompt_tokens": 0, "output_tokens": 4}, Usage(3, 4, 7)),
        ({"input_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, Usage(3, 0, 3, 2)),
        ({**USAGE, "input_tokens_details": None, "output_tokens_details": {}}, Usage(10, 5, 15)),
        (
            {
                **USAGE,
                "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(10, 5, 15, 6, 2, 4),
        ),
    ],
    ids=["null", "empty", "nulls", "no total", "the other wire's", "both", "mixed", "no details", "all"],
)
def test_usage_counts_what_is_there(usage, expected):
    """Token counts that are null or missing count as nothing."""
    assert expected == usage_of(usage)


# --- any answer, any way ----------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
answers = st.lists(
    st.one_of(
        st.builds(lambda parts: message(*parts), st.lists(texts, min_size=1, max_size=3)),
        st.builds(lambda parts: reasoning(*parts, encrypted="e"), st.lists(texts | st.just(""), max_size=3)),
        st.builds(
            lambda value: call(json.dumps(value, ensure_ascii=False)),
            st.dictionaries(texts, st.integers() | texts, max_size=3),
        ),
    ),
    max_size=4,
)


def expected_parts(items):
    parts = []
    for item in items:
        match item["type"]:
            case "message":
                parts += [Text(entry["text"]) for entry in item["content"]]
            case "reasoning":
                parts.append(Thinking("\n\n".join(s["text"] for s in item["summary"] if s["text"]), "e"))
            case _:
                parts.append(ToolCall(item["call_id"], item["name"], item["arguments"]))
    return parts


KINDS = {
    "message": ("response.output_text", "content_index", "text"),
    "reasoning": ("response.reasoning_summary_text", "summary_index", "text"),
    "function_call": ("response.function_call_arguments", None, "arguments"),
}


EMPTIED = ("content", "summary", "arguments")


def pieces(draw, text):
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def deliver(draw, item, index, *, begun_only, output_follows):
    """The events of one item, in one of the ways that servers have."""
    name, index_name, key = KINDS[item["type"]]
    sections = [entry["text"] for entry in item.get("content") or item.get("summary") or ()]
    if item["type"] == "function_call":
        sections = [item["arguments"]]
    empty = {**item, **{k: "" if k == "arguments" else [] for k in EMPTIED if k in item}}
    if begun_only:
        yield added(empty, index)
        return
    both = {"item_id": item["id"], "output_index": index}
    where = draw(st.sampled_from([both, {"item_id": item["id"]}, {"output_index": index}]))
    with_deltas, with_done, with_item = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    shown = bool(sections) and (with_deltas or with_done)
    if item["type"] == "function_call" or not shown or draw(st.booleans()):
        yield added(empty, index)
    for position, text in enumerate(sections):
        at = {**where, **({index_name: position} if index_name else {})}
        if with_deltas:
            for piece in pieces(draw, text):
                yield {"type": f"{name}.delta", "delta": piece, **at}
        if with_done:
            yield {"type": f"{name}.done", key: text, **at}
    # Encrypted reasoning comes in finished items alone, these or the output's.
    if with_item or not shown or (item["type"] == "reasoning" and not output_follows):
        yield item_done(item, index)


@settings(max_examples=250, deadline=None)
@given(items=answers, data=st.data())
def test_any_delivery_gives_the_same_answer(items, data):
    """Deltas, done events, items or the final output, in any cut of the bytes: the answer is the same."""
    items = [{**copy.deepcopy(item), "id": f"item_{n}"} for n, item in enumerate(items)]
    items = [{**i, "call_id": f"call_{n}"} if "call_id" in i else i for n, i in enumerate(items)]
    way, output = data.draw(
        st.sampled_from([("whole", []), ("whole", items), ("begun", items), ("unseen", items)])
    )
    events = [
        event
        for index, item in enumerate(items if way != "unseen" else ())
        for event in deliver(data.draw, item, index, begun_only=way == "begun", output_follows=bool(output))
    ]
    events.append(completed(*output))
    frames = (f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)
    stream_bytes = "".join(frames).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream_bytes)), max_size=10)))

    decoder, stream, chunks = EventDecoder(), ResponseStream("gpt-5.5"), []
    for a, b in zip([0, *cuts], [*cuts, len(stream_bytes)], strict=True):
        chunks += stream.feed(decoder.feed(stream_bytes[a:b]))

    parts = expected_parts(items)
    if not items:
        assert isinstance(stream.failure, StreamCorruptError)
        return
    assert stream.failure is None
    assert parts == chunks[-1].response.message.content
    assert [Done] == [type(chunk) for chunk in chunks if chunk.type == "done"]
    for kind in ("text", "thinking"):
        said = "".join(part.text for part in parts if part.type == kind)
        assert said == "".join(chunk.text for chunk in chunks if chunk.type == kind)
    for part in parts:
        if part.type == "tool_call":
            deltas = (c.arguments_delta for c in chunks if c.type == "tool_call_delta" and c.id == part.id)
            assert part.arguments == "".join(deltas)


# --- any nonsense -----------------------------------------------------------------------------------

NONSENSE = [None, True, 7, "x", [], {}, [None], ["x"], {"x": None}]
SAMPLES = [
    added(call("")),
    item_done(message("Hi")),
    item_done(reasoning("Hm")),
    item_done(call("{}")),
    completed(message("Hi"), call("{}", id_="fc_9")),
    {**completed(), "response": {**completed()["response"], "usage": {**USAGE, "output_tokens_details": {}}}},
    incomplete("max_output_tokens", message("Hi")),
    failed("server_error"),
    {"type": "error", "error": {"code": "x", "message": "y", "resets_at": 5, "plan_type": "plus"}},
]


def mutations(value):
    """``value`` with one thing in it replaced by nonsense."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "type":
                continue
            for other in [*NONSENSE, *mutations(inner)]:
                yield {**value, name: other}
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            for other in [*NONSENSE, *mutations(inner)]:
                yield [*value[:position], other, *value[position + 1 :]]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample['type']}-{list(sample)[-1]}")
def test_nonsense_in_an_event_is_ours_to_report(sample, listen):
    """Whatever a field holds instead of what it should, the answer ends whole or in an OnplanError."""
    escaped = []
    for event in mutations(sample):
        try:
            heard = listen(added(message(id_="msg_0")), event, completed())
        except Exception as error:  # noqa: BLE001 - that nothing else comes out is what is tested
            escaped.append((repr(error), event))
            continue
        assert isinstance(heard.failure, OnplanError) or heard.done

    assert [] == escaped[:3], f"{len(escaped)} in all"


MIXED = {
    "two items": [
        *(text_delta(text) for text in ("A", "", "B")),
        *(text_delta(text, "msg_2", 1) for text in ("1", "2")),
        *(text_delta(text) for text in ("C", "D")),
        completed(message("ABCD"), message("12", id_="msg_2")),
    ],
    "two items, by their ids alone": [
        *(text_delta(text, output_index=None) for text in ("A", "B")),
        *(text_delta(text, "msg_2", None) for text in ("1", "2")),
        *(text_delta(text, output_index=None) for text in ("C", "D")),
        completed(message("ABCD"), message("12", id_="msg_2")),
    ],
    "two parts of one item": [
        *(text_delta(text) for text in ("A", "B")),
        *(text_delta(text, content_index=1) for text in ("1", "2")),
        *(text_delta(text) for text in ("C", "D")),
        completed(message("ABCD", "12")),
    ],
}


@pytest.mark.parametrize("sent", MIXED.values(), ids=MIXED)
def test_runs_of_deltas_are_of_their_own_text(sent, listen):
    """Deltas that follow each other quickly are taken together only while they are of the same text."""
    heard = listen(*sent)

    assert heard.failure is None
    assert [Text("ABCD"), Text("12")] == heard.parts


def test_a_run_of_deltas_ends_with_its_item(listen):
    """More text of an item that was finished contradicts it."""
    heard = listen(text_delta("A"), text_delta("B"), item_done(message("AB")), text_delta("C"), completed())

    assert isinstance(heard.failure, StreamCorruptError)


def test_a_completed_event_may_say_that_the_answer_was_cut(listen):
    """Some servers end every answer with the same event: its status counts; cut calls are not handed out."""
    cut = {"incomplete_details": {"reason": "max_output_tokens"}, "status": "incomplete"}
    heard = listen(
        text_delta("Let me"), item_done(call('{"path": "/tm'), 1), completed(message("Let me"), **cut)
    )

    assert FinishReason.LENGTH == heard.done.finish_reason
    assert [Text("Let me")] == heard.done.response.message.content


def test_an_item_without_an_id_is_not_said_twice(listen):
    """Where the final output leaves out the item before it, one that was streamed is found by its words."""
    said = {**message("Hello"), "id": None}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    heard = listen(
        item_done(thought, 0),
        text_delta("Hello", None, 1),
        item_done(said, 1),
        completed(said),
    )

    assert [Thinking("Hm."), Text("Hello")] == heard.done.response.message.content


WHOLE = {"object": "response", "status": "completed", "output": [message("Hi")], "usage": USAGE}


def test_one_document_instead_of_a_stream_is_the_answer(listen):
    """A server that does not stream is heard all the same: once, and whole."""
    heard = listen(WHOLE)

    assert [Text("Hi")] == heard.done.response.message.content
    assert FinishReason.STOP == heard.done.finish_reason


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"error": {"code": "insufficient_quota", "message": "You are out."}}, UsageLimitError),
        ({"detail": "Nope."}, UnexpectedReplyError),
        ({"object": "response", "status": "in_progress"}, UnexpectedReplyError),
        ({**WHOLE, "status": "failed", "error": {"code": "server_error"}}, ServerError),
    ],
)
def test_one_document_may_be_a_complaint(listen, document, error):
    """It is told as what it is, and not as an answer that was cut off."""
    assert error is type(listen(document).failure)
