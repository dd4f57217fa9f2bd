"""Bodies of ``POST /v1/chat/completions``: what every client sends is read, what is wrong is told where."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.amount_of_work import bytes_allocated, lines_run

from onplan.dialects.openai_chat.request import ChatRequest, read_request
from onplan.dialects.openai_errors import ParameterError
from onplan.types import (
    CustomTool,
    File,
    Grammar,
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

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
RECORDINGS = Path(__file__).parents[2] / "recordings" / "clients"
NAMED = {"name": "bird", "schema": CLOSED}


def parsed(body: Any) -> ChatRequest:
    return read_request(body if isinstance(body, bytes) else json.dumps(body).encode())


def recorded() -> list[Any]:
    """The chat requests of the recorded clients."""
    found = []
    for path in sorted(RECORDINGS.glob("*.json")):
        for entry in json.loads(path.read_text()):
            if "/chat/completions" in str(entry.get("request")):
                found.append(pytest.param(entry["body"], id=f"{path.stem}-{len(found)}"))
    return found


@pytest.mark.parametrize("body", recorded())
def test_what_clients_send_is_read(body: dict[str, Any]) -> None:
    """Every recorded request of every client, and nothing that it says gets lost."""
    text = json.dumps(body).replace('"<schema', '"x').replace('"parameters": "x', '"description": "x')
    heard = parsed(text.encode())
    assert heard.request.model == "gpt-5.5"
    assert len(heard.request.messages) == len(body["messages"])
    assert len(heard.request.tools) == len(body.get("tools", ()))
    assert heard.stream is body.get("stream", False)
    assert heard.include_usage is body.get("stream_options", {}).get("include_usage", False)
    assert heard.ignored_parameters == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["a", ""]}, {"stop": ["a"]}),
        ({"stop": []}, {"stop": []}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        ({"tool_choice": {"type": "required"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": ToolChoice("f")}),
        ({"tool_choice": {"type": "function", "name": "f"}}, {"tool_choice": ToolChoice("f")}),
        ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, {"tool_choice": ToolChoice("f")}),
        ({"tool_choice": {"type": "web_search"}}, {"tool_choice": ToolChoice("web_search")}),
        ({"response_format": {"type": "text"}}, {"response_format": None}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {**NAMED, "strict": None}}},
            {"response_format": {"type": "json_schema", "json_schema": NAMED}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {**NAMED, "strict": False}}},
            {"response_format": {"type": "json_schema", "json_schema": {**NAMED, "strict": False}}},
        ),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"service_tier": "auto"}, {"service_tier": None}),
        ({"service_tier": "priority"}, {"service_tier": "priority"}),
        ({"n": 1, "model": None}, {"model": None}),
        ({"prompt_cache_key": "mine"}, {"session_id": "mine"}),
        ({"reasoning_effort": "high", "verbosity": "low"}, {"reasoning_effort": "high", "verbosity": "low"}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ],
    ids=str,
)
def test_every_spelling_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Old names and short forms mean what they mean."""
    heard = parsed({**HELLO, **fields})
    assert expected == {name: getattr(heard.request, name) for name in expected}
    assert heard.ignored_parameters == ()


def test_messages_of_every_kind() -> None:
    """Each part in each spelling; names, marks of caches and what is empty change nothing."""
    page = {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    typed = {"id": "y", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.org/a.png"}]},
        {"role": "assistant", "content": None, "tool_calls": [call, typed], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "a"}]},
        {"role": "tool", "tool_call_id": "y", "content": None},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Later.", "cache_control": {"type": "e"}}],
        },
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": [], "reasoning_content": "Hm."},
        {"role": "user", "content": "", "name": "Ann"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "b"},
                "c",
                {"type": "image_url", "image_url": page},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,MQ==", "filename": "a.txt"}},
                {"type": "input_file", "file_url": "https://example.org/a.pdf"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "d"}], "refusal": "No."},
    ]
    assert parsed({"messages": messages}).request.messages == [
        Message.system("Be brief."),
        Message.user(Image(url="https://example.org/a.png")),
        Message.assistant(ToolCall("x", "f", '{"a":1}'), ToolCall("y", "sql", "select 1", is_custom=True)),
        Message("tool", [ToolResult("x", [Text("a")])]),
        Message("tool", [ToolResult("y", "")]),
        Message.developer("Later."),
        Message.user(""),
        Message.user(
            "b",
            "c",
            Image(url=page["url"], detail="low"),
            File(data=b"1", mime_type="text/plain", filename="a.txt"),
            File(url="https://example.org/a.pdf"),
        ),
        Message.assistant("d", Refusal("No.")),
    ]


def test_calls_from_before_there_were_tools() -> None:
    """A message of the role function is the result of the call of its name; without one, of none."""
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "2"},
        {"role": "function", "name": "g", "content": "3"},
    ]
    _, call, result, again, second, stray = parsed({"messages": messages}).request.messages
    assert call.content == [ToolCall("call_1_f", "f", '{"a":1}')]
    assert result.content == [ToolResult("call_1_f", "1")]
    assert second.content == [ToolResult(again.tool_calls[0].id, "2")]
    assert call.tool_calls[0].id != again.tool_calls[0].id
    assert stray.content == [ToolResult("g", "3")]


@pytest.mark.parametrize(
    ("details", "thinking"),
    [
        ([{"data": "x"}], [Thinking("", "x")]),
        ([{"data": "x"}, {"data": 5}, "z", {"data": "y"}], [Thinking("", "x"), Thinking("", "y")]),
        ({"data": "x"}, []),
        (None, []),
    ],
    ids=str,
)
def test_sealed_thinking_that_comes_back(details: Any, thinking: list[Thinking]) -> None:
    """It is kept, each piece as one of its own; the text of thinking is of no use to a server."""
    answer = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "reasoning_details": details}
    read = parsed({"messages": [*HELLO["messages"], answer]}).request.messages[1]
    assert read.content == [*thinking, Text("Hi")]


def test_tools() -> None:
    """Functions, nested and flat, custom tools, tools of the backend; other fields change nothing."""
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    grammar = {"syntax": "lark", "definition": "start: WORD"}
    tools = [
        {"type": "function", "function": {**function, "cache_control": {}}, "eager": True},
        {"type": "function", **function, "strict": False, "parameters": None, "description": None},
        {"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar", "grammar": grammar}}},
        {"type": "web_search", "search_context_size": "low"},
    ]
    assert parsed({**HELLO, "tools": tools}).request.tools == [
        ToolDefinition("f", "d", {"type": "object"}, True),
        ToolDefinition("f", "", strict=False),
        CustomTool("sql", "", Grammar("lark", "start: WORD")),
        HostedTool("web_search", {"search_context_size": "low"}),
    ]


def test_what_has_no_place_is_reported() -> None:
    """Parameters that there are no words for are listed; at their default values they say nothing."""
    quiet = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logprobs": False,
        "top_logprobs": 0,
        "logit_bias": {},
        "store": None,
        "modalities": ["text"],
        "functions": [],
        "audio": {},
        "function_call": "auto",
        "stream_options": {"include_obfuscation": False},
    }
    heard = parsed(
        {**HELLO, **quiet, "seed": 0, "user": "me", "sparkle": True, "logprobs": True, "long": "x" * 65}
    )

    assert set(heard.ignored_parameters) == {"seed", "user", "sparkle", "logprobs", "long"}
    assert "sparkle" not in repr(heard)
    assert (False, False) == (heard.stream, heard.include_usage)


def test_a_body_of_the_other_api() -> None:
    """Cursor posts bodies of the Responses API to this path (CLIProxyAPI issues 658 and 659)."""
    body = {
        "model": "gpt-5.5",
        "instructions": "Be brief.",
        "input": [
            {"role": "system", "content": "You are Cursor."},
            {"role": "user", "name": "me", "content": [{"type": "input_text", "text": "Hi", "mark": 1}]},
            {"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}", "mark": None},
            {"type": "function_call_output", "call_id": "x", "output": "1", "status": "completed", "mark": 1},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
        "tool_choice": {"type": "function", "name": "f"},
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", **NAMED}},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "background": False,
        "stream": True,
        "sparkle": 1,
    }
    heard = parsed(body)
    request = heard.request
    assert request.messages == [
        Message.developer("Be brief."),
        Message.system("You are Cursor."),
        Message.user("Hi"),
        Message.assistant(ToolCall("x", "f", "{}")),
        Message.tool("x", "1"),
    ]
    assert (request.max_tokens, request.reasoning_effort, request.reasoning_summary) == (50, "low", "auto")
    assert (request.verbosity, request.tool_choice) == ("low", ToolChoice("f"))
    assert request.response_format == {"type": "json_schema", "json_schema": NAMED}
    assert request.tools == [ToolDefinition("f", "", {"type": "object"}, False)]
    assert (heard.stream, heard.ignored_parameters) == (True, ("sparkle",))
    assert (heard.names["max_tokens"], heard.names["verbosity"]) == ("max_output_tokens", "text.verbosity")
    assert parsed({"input": "Hi"}).request.messages == [Message.user("Hi")]
    assert parsed({"input": "Hi", "messages": []}).request.messages == [Message.user("Hi")]


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi", **fields}]}


def schema(**fields: Any) -> dict[str, Any]:
    return {**HELLO, "response_format": {"type": "json_schema", **fields}}


FORMAT = "response_format"
WRONG: list[tuple[Any, str | None]] = [
    (b"", None),
    (b"{", None),
    (b'{"messages": "\xff"}', "messages"),
    (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', None),
    (b"[" * 5_000, None),
    ([], None),
    ("x", None),
    ({}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [{}]}, "messages[0].role"),
    (message(role="robot"), "messages[0].role"),
    (message(role=None), "messages[0].role"),
    (message(content=5), "messages[0].content"),
    (message(content=None), "messages[0].content"),
    (message(content=[5]), "messages[0].content[0]"),
    (message(content=[{"text": "x"}]), "messages[0].content[0].type"),
    (message(content=[{"type": "video"}]), "messages[0].content[0].type"),
    (message(content=[{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0].type"),
    (message(content=[{"type": "text"}]), "messages[0].content[0].text"),
    (message(content=[{"type": "image_url"}]), "messages[0].content[0].image_url"),
    (
        message(content=[{"type": "image_url", "image_url": {"url": "file:///a"}}]),
        "messages[0].content[0].image_url.url",
    ),
    (message(content=[{"type": "image_url", "image_url": "a.png"}]), "messages[0].content[0].image_url"),
    (message(content=[{"type": "file", "file": {"file_id": "f"}}]), "messages[0].content[0].file.file_data"),
    (
        message(content=[{"type": "file", "file": {"file_data": "data:x;base64,*"}}]),
        "messages[0].content[0].file.file_data",
    ),
    (
        message(content=[{"type": "file", "file": {"file_data": "é"}}]),
        "messages[0].content[0].file.file_data",
    ),
    (
        message(content=[{"type": "input_file", "file_url": "file:///etc/passwd"}]),
        "messages[0].content[0].file_url",
    ),
    (message(role="tool"), "messages[0].tool_call_id"),
    (message(role="tool", tool_call_id=5), "messages[0].tool_call_id"),
    (
        message(role="tool", tool_call_id="x", content=[{"type": "refusal", "refusal": "n"}]),
        "messages[0].content[0]",
    ),
    (message(role="assistant", tool_calls=[{"id": "x"}]), "messages[0].tool_calls[0].function"),
    (
        message(role="assistant", tool_calls=[{"id": "x", "function": {}}]),
        "messages[0].tool_calls[0].function.name",
    ),
    (message(role="assistant", tool_calls=[{"function": {"name": "f"}}]), "messages[0].tool_calls[0].id"),
    (message(role="assistant", tool_calls=5), "messages[0].tool_calls"),
    (
        message(role="assistant", tool_calls=[{"id": "", "function": {"name": "f"}}]),
        "messages[0].tool_calls[0].id",
    ),
    (message(role="assistant", function_call={}), "messages[0].function_call.name"),
    ({**HELLO, "model": 5}, "model"),
    ({**HELLO, "temperature": "hot"}, "temperature"),
    ({**HELLO, "temperature": True}, "temperature"),
    ({**HELLO, "max_tokens": True}, "max_tokens"),
    ({**HELLO, "max_tokens": 0}, "max_tokens"),
    ({**HELLO, "max_tokens": 10**30}, "max_tokens"),
    ({**HELLO, "stream": 1}, "stream"),
    ({**HELLO, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({**HELLO, "stream_options": []}, "stream_options"),
    ({**HELLO, "n": 2}, "n"),
    ({**HELLO, "audio": {"voice": "x"}}, "audio"),
    ({**HELLO, "modalities": ["text", "audio"]}, "modalities"),
    ({**HELLO, "functions": [{"name": "f"}]}, "functions"),
    ({**HELLO, "function_call": {"name": "f"}}, "function_call"),
    ({**HELLO, "web_search_options": {"a": 1}}, "web_search_options"),
    ({**HELLO, "tools": {}}, "tools"),
    ({**HELLO, "tools": ["f"]}, "tools[0]"),
    ({**HELLO, "tools": [{"type": 5}]}, "tools[0].type"),
    ({**HELLO, "tools": [{"type": "custom"}]}, "tools[0].name"),
    ({**HELLO, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({**HELLO, "tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
    ({**HELLO, "tools": [{"type": "function", "function": 5}]}, "tools[0].function"),
    (
        {**HELLO, "tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
        "tools[0].function.parameters",
    ),
    ({**HELLO, "tools": [{"type": "mcp", "server_url": "x"}]}, "tools[0].type"),
    (
        {**HELLO, "tools": [{"type": "custom", "custom": {"name": "a", "format": 5}}]},
        "tools[0].custom.format",
    ),
    ({**HELLO, "tool_choice": "maybe"}, "tool_choice"),
    ({**HELLO, "tool_choice": 5}, "tool_choice"),
    ({**HELLO, "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    ({**HELLO, "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools.tools"),
    ({**HELLO, "tool_choice": {"name": "f"}}, "tool_choice"),
    ({**HELLO, FORMAT: {"type": "xml"}}, f"{FORMAT}.type"),
    ({**HELLO, FORMAT: "json"}, f"{FORMAT}.type"),
    (schema(), f"{FORMAT}.json_schema.schema"),
    (schema(json_schema={"name": "x"}), f"{FORMAT}.json_schema.schema"),
    (schema(json_schema={"name": 5, "schema": CLOSED}), f"{FORMAT}.json_schema.name"),
    (schema(json_schema={"name": "x", "schema": {"type": "array"}}), f"{FORMAT}.json_schema.schema"),
    ({**HELLO, "metadata": {"a": 1}}, "metadata"),
    ({**HELLO, "stop": [1]}, "stop[0]"),
    ({**HELLO, "stop": 1}, "stop"),
    ({"input": 5}, "input"),
    ({"input": [{"type": "sparkle"}]}, "input[0].type"),
    ({"input": [{"type": 5}]}, "input[0].type"),
    ({"input": [{"role": "user", "content": [5]}]}, "input[0].content[0]"),
    ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
    ({"input": []}, "input"),
    ({"input": "x", "instructions": 5}, "instructions"),
    ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
    ({"input": "x", "reasoning": "low"}, "reasoning"),
    ({"input": "x", "reasoning": {"effort": 5}}, "reasoning.effort"),
    ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
    ({"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.json_schema.schema"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=str)
def test_what_cannot_be_read_is_refused(body: Any, param: str | None) -> None:
    """A body that is wrong is told where, in a sentence that begins with the place."""
    with pytest.raises(ParameterError) as caught:
        parsed(body)
    assert caught.value.param == param
    assert param is None or caught.value.message.startswith(param)
    assert "msgspec" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        lambda size: {"messages": [{"role": "user", "content": "x" * size}]},
        lambda size: {
            "messages": [*HELLO["messages"], {"role": "tool", "tool_call_id": "c", "content": "x" * size}]
        },
        lambda size: {**HELLO, "sparkle": "x" * size},
    ],
    ids=["a message", "a result", "a field that is not known"],
)
def test_the_work_does_not_grow_with_the_length_of_texts(body: Any) -> None:
    """Megabytes are decoded by one call, and never looked at piece by piece, nor copied."""
    small, large = (json.dumps(body(size)).encode() for size in (100, 1_000_000))
    parsed(small)
    assert lines_run(lambda: parsed(large)) == lines_run(lambda: parsed(small))
    assert bytes_allocated(lambda: parsed(large)) < 2_300_000


def test_the_work_grows_with_the_number_of_messages() -> None:
    """And not with its square."""

    def turns(count: int) -> bytes:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        turn = [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [call], "function_call": call["function"]},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
            {"role": "function", "name": "f", "content": "1"},
        ]
        return json.dumps({"messages": turn * count}).encode()

    few, many = (lines_run(partial(parsed, turns(count))) for count in (50, 500))
    assert many < 11 * few


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        ({}, "missing_required_parameter"),
        ({**HELLO, "model": 5}, "invalid_type"),
        ({**HELLO, "n": 2}, "unsupported_value"),
        ({**HELLO, "modalities": ["audio"]}, "unsupported_value"),
        ({**HELLO, "functions": [{"name": "f"}]}, "unsupported_parameter"),
        ({"input": "x", "conversation": "c"}, "unsupported_parameter"),
        ({**HELLO, "tools": [{"type": "mcp"}]}, "unsupported_value"),
        ({**HELLO, "tools": [{"type": 5}]}, "invalid_type"),
        ({**HELLO, "tool_choice": "maybe"}, "invalid_value"),
        ({**HELLO, "tool_choice": {"type": "function"}}, "missing_required_parameter"),
        (message(role="tool", content="x", tool_call_id=None), "missing_required_parameter"),
        (message(content=[{"type": "input_audio"}]), "unsupported_value"),
        (message(content=[{"type": "image_url", "image_url": "x"}]), "invalid_value"),
        (message(role="assistant", tool_calls=[{"id": 5}]), "invalid_type"),
        (schema(json_schema={"schema": {"type": "array"}}), "invalid_json_schema"),
        (message(content=[{"type": "file", "file": {}}]), "missing_required_parameter"),
        (message(content=[{"type": "image_url", "image_url": "HTTP://example.org/a.png"}]), None),
        (schema(json_schema={"schema": {"type": "object", "properties": {"a": {"$ref": "#/x"}}}}), None),
    ],
    ids=str,
)
def test_codes(body: Any, code: str | None) -> None:
    """Clients tell mistakes apart by them."""
    if code is None:
        parsed(body)
        return
    with pytest.raises(ParameterError) as caught:
        parsed(body)
    assert caught.value.told.code == code


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x"}] * 32_769,
        [{"role": "user", "content": [{"type": "text", "text": "x"}] * 32_768}],
    ],
    ids=["messages", "parts"],
)
def test_there_may_be_so_many_messages_with_their_parts(messages: list[Any]) -> None:
    """More than any model reads would keep the server busy for seconds."""
    with pytest.raises(ParameterError, match="messages has more than 32,768 elements") as caught:
        parsed({**HELLO, "messages": messages})
    assert caught.value.param == "messages"


def test_what_is_missing_and_what_is_empty() -> None:
    """The sentence says which."""
    for body, word in (({}, "missing"), ({"messages": []}, "empty")):
        with pytest.raises(ParameterError, match=word):
            parsed(body)


NOT_HERE = "file_search code_interpreter image_generation mcp computer computer_use_preview"


@pytest.mark.parametrize("kind", NOT_HERE.split())
def test_tools_that_there_are_not(kind: str) -> None:
    """Each is refused by its name."""
    with pytest.raises(ParameterError, match=kind):
        parsed({**HELLO, "tools": [{"type": kind}]})


def test_small_spellings() -> None:
    """A tool without its type is a function, and both APIs' fields at once are Chat Completions."""
    assert parsed({**HELLO, "tools": [{"function": {"name": "f"}}]}).request.tools == [ToolDefinition("f")]
    both = parsed({**HELLO, "input": "x"})
    assert (both.request.messages, both.ignored_parameters) == ([Message.user("Hi")], ("input",))
    assert parsed({**HELLO, "max_tokens": 1}).request.max_tokens == 1
    assert parsed({**HELLO, "service_tier": "default"}).request.service_tier is None
    assert parsed({**HELLO, "function_call": "none"}).ignored_parameters == ()
    assert parsed({"input": "x", "truncation": "auto"}).ignored_parameters == ()


def test_files() -> None:
    """By a data URL, whose type may be missing, or by base64 alone; in the form of either API."""
    parts = [
        {"type": "file", "file": {"file_data": "MQ=="}},
        {"type": "file", "file": {"file_data": "data:;base64,MQ=="}},
        {"type": "file", "file": {"file_data": "abcdef;g,MQ=="}},
        {"type": "input_file", "file_data": "DATA:text/plain;base64,MQ==", "filename": "a"},
    ]
    (read,) = parsed(message(content=parts)).request.messages
    assert read.content == [
        File(data=b"1"),
        File(data=b"1"),
        File(data=b"1"),
        File(data=b"1", mime_type="text/plain", filename="a"),
    ]
    with pytest.raises(ParameterError) as caught:
        parsed(message(content=[{"type": "input_file", "file_id": "f"}]))
    assert caught.value.param == "messages[0].content[0].file_data"


def test_messages_that_are_no_json_are_named() -> None:
    """Also where ``input`` stands beside them."""
    with pytest.raises(ParameterError) as caught:
        parsed(b'{"messages": "\xff", "input": "x"}')
    assert caught.value.param == "messages"
