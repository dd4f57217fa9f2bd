"""What is told of requests, answers and errors, as tables of values."""

from __future__ import annotations

import json
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, File, FinishReason, Image, Message, Refusal, Text, Thinking, ToolCall
from onplan.backends import ROWS
from onplan.errors import InvalidRequestError
from onplan.telemetry import attributes
from onplan.telemetry.contents import call_contents, request_contents, response_contents, result_contents
from onplan.types import HostedToolCall, Usage, Window


@pytest.mark.parametrize(
    ("url", "provider", "host", "port"),
    [
        ("https://chatgpt.com/backend-api/codex", "openai", "chatgpt.com", 443),
        ("https://api.openai.com/v1", "openai", "api.openai.com", 443),
        ("http://127.0.0.1:11434/v1", "openai", "127.0.0.1", 11434),
        ("http://[::1]/v1", "openai", "::1", 80),
        ("https://api.anthropic.com/v1", "anthropic", "api.anthropic.com", 443),
        ("https://api.cohere.ai/compatibility/v1", "cohere", "api.cohere.ai", 443),
        ("https://api.cohere.com/compatibility/v1", "cohere", "api.cohere.com", 443),
        ("https://api.deepseek.com", "deepseek", "api.deepseek.com", 443),
        ("https://api.groq.com/openai/v1", "groq", "api.groq.com", 443),
        ("https://api.mistral.ai/v1", "mistral_ai", "api.mistral.ai", 443),
        ("https://api.moonshot.ai/v1", "moonshot_ai", "api.moonshot.ai", 443),
        ("https://api.perplexity.ai", "perplexity", "api.perplexity.ai", 443),
        ("https://api.x.ai/v1", "x_ai", "api.x.ai", 443),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gcp.gemini",
            "generativelanguage.googleapis.com",
            443,
        ),
        ("https://bedrock-runtime.eu.amazonaws.com", "aws.bedrock", "bedrock-runtime.eu.amazonaws.com", 443),
        ("https://my.openai.azure.com/openai/v1", "azure.ai.openai", "my.openai.azure.com", 443),
        ("https://eu-aiplatform.googleapis.com/v1", "gcp.vertex_ai", "eu-aiplatform.googleapis.com", 443),
        ("https://notapi.groq.com/v1", "openai", "notapi.groq.com", 443),
    ],
)
def test_the_server_is_named(url: str, provider: str, host: str, port: int) -> None:
    """With its provider where the host tells, else the one whose API it speaks."""
    assert attributes.server_attributes(url) == {
        "gen_ai.provider.name": provider,
        "server.address": host,
        "server.port": port,
    }


def test_only_what_was_asked_for_is_told() -> None:
    """A plain request has little; attributes of OpenAI's own are for its own services."""
    own, theirs = (next(row for row in ROWS if row.is_compatible is kind) for kind in (False, True))
    chat = next(row for row in ROWS if row.api == "chat" and not row.is_compatible)
    plain = CompletionRequest(messages="hi")
    full = CompletionRequest(
        messages="hi",
        max_tokens=9,
        temperature=0.5,
        top_p=0.1,
        stop=["a", "b"],
        service_tier="flex",
        response_format=int,
        session_id="session-1",
        reasoning_effort="high",
    )

    assert attributes.request_attributes(plain, None, theirs) == {"gen_ai.request.stream": True}
    assert attributes.request_attributes(plain, None, chat)["openai.api.type"] == "chat_completions"
    told = {
        "gen_ai.request.model": "gpt-5.5",
        "gen_ai.conversation.id": "session-1",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.1,
        "gen_ai.request.stop_sequences": ("a", "b"),
        "gen_ai.output.type": "json",
        "onplan.request.reasoning_effort": "high",
    }
    of_openai = {"openai.api.type": "responses", "openai.request.service_tier": "flex"}
    assert attributes.request_attributes(full, "gpt-5.5", theirs) == told
    assert attributes.request_attributes(full, "gpt-5.5", own) == {**told, **of_openai}


def answer(reason: FinishReason = FinishReason.STOP, **fields: Any) -> onplan.CompletionResponse:
    message = fields.pop("message", Message.assistant("hello"))
    usage = fields.pop("usage", Usage(prompt_tokens=5, completion_tokens=7, total_tokens=12))
    return onplan.CompletionResponse(message, usage, reason, fields.pop("model", "m"), **fields)


def test_tokens_that_were_not_counted_are_not_told() -> None:
    """A server that does not count says 0; parts of the counts are told where there are some."""
    assert attributes.usage_attributes(Usage()) == {}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert attributes.usage_attributes(Usage(**{name: 1})) != {}
    whole = Usage(5, 7, 12, cache_read_tokens=2, cache_write_tokens=3, reasoning_tokens=4)
    assert attributes.usage_attributes(whole) == {
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 4,
    }


def test_an_answer_is_told_without_its_words() -> None:
    """With the ids that the server gave it."""
    usage = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 7}
    assert attributes.response_attributes(answer(response_id="resp_1", request_id="req_1")) == {
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "onplan.response.request_id": "req_1",
        "gen_ai.usage.cache_read.input_tokens": 0,
        **usage,
    }


def test_what_became_of_parameters_is_told() -> None:
    """By their names, as the response lists them."""
    told = attributes.response_attributes(
        answer(FinishReason.LENGTH, ignored_parameters=["top_p"], emulated_parameters=["stop"], model="")
    )
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    assert told["onplan.response.ignored_parameters"] == ("top_p",)
    assert told["onplan.response.emulated_parameters"] == ("stop",)
    assert "gen_ai.response.model" not in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (onplan.ConnectError("x"), {"error.type": "connect"}),
        (
            onplan.ServerError("x", status_code=500, request_id="req_1"),
            {
                "error.type": "server_error",
                "http.response.status_code": 500,
                "onplan.response.request_id": "req_1",
            },
        ),
        (ValueError("secret"), {"error.type": "ValueError"}),
        (KeyboardInterrupt(), {"error.type": "KeyboardInterrupt"}),
    ],
)
def test_an_error_is_told_without_its_words(error: BaseException, told: dict[str, object]) -> None:
    """By its code, or its class."""
    assert attributes.error_attributes(error) == told


def test_windows_are_told_by_their_names() -> None:
    """How much of each is used, in per cent."""
    limits = onplan.Limits(windows=[Window(300, 12.5), Window(None, 3.0)])
    assert attributes.windows(limits) == [
        (12.5, {"onplan.plan.window": "5-hour"}),
        (3.0, {"onplan.plan.window": "usage"}),
    ]


def test_messages_have_the_form_of_the_conventions() -> None:
    """Every kind of part; content of images and files, and sealed thinking, is left out."""
    request = CompletionRequest(
        messages=[
            Message.developer("be brief"),
            Message.user(
                "what is this?", Image("https://x.example/a.png"), File(data=b"12", filename="a.pdf")
            ),
            Message.user(Image("data:image/png;base64,AAAA"), Image(path="a.png")),
            Message.assistant(
                Thinking("hm"), Thinking(encrypted="sealed"), ToolCall("c1", "f", '{"a": 1}', signature="s")
            ),
            Message.assistant(
                HostedToolCall("web_search", {"id": "ws_1"}), ToolCall("c2", "f", "no JSON"), Refusal("no")
            ),
            Message.tool("c1", ["two", Text("parts")]),
        ],
        tools=[onplan.ToolDefinition("f", "secret description")],
    )
    told = request_contents(request)

    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "what is this?"},
                {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"},
                {"type": "attachment", "modality": "document", "filename": "a.pdf", "size": 2},
            ],
        },
        {"role": "user", "parts": [{"type": "attachment", "modality": "image"}] * 2},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}},
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {
                    "type": "server_tool_call",
                    "name": "web_search",
                    "server_tool_call": {"id": "ws_1", "type": "web_search"},
                },
                {"type": "tool_call", "id": "c2", "name": "f", "arguments": "no JSON"},
                {"type": "refusal", "content": "no"},
            ],
        },
        {
            "role": "tool",
            "parts": [
                {
                    "type": "tool_call_response",
                    "id": "c1",
                    "response": [{"type": "text", "content": "two"}, {"type": "text", "content": "parts"}],
                }
            ],
        },
    ]
    assert json.loads(told["gen_ai.tool.definitions"]) == [{"type": "function", "name": "f"}]


@pytest.mark.parametrize(
    ("reason", "told"), [(FinishReason.TOOL_CALLS, "tool_call"), (FinishReason.LENGTH, "length")]
)
def test_an_answer_has_the_reason_of_its_end(reason: FinishReason, told: str) -> None:
    """In the words of the schema for messages."""
    contents = response_contents(answer(reason))
    assert json.loads(contents["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hello"}], "finish_reason": told}
    ]


def test_half_a_character_is_written_as_what_it_is() -> None:
    """No exporter could send it, and all spans of its batch would be lost."""
    half = "half: \ud800"
    for told in (
        request_contents(CompletionRequest(messages=half)),
        response_contents(answer(message=Message.assistant(half))),
        call_contents(ToolCall("c", "f", half)),
        call_contents(ToolCall("c", "f", half, is_custom=True)),
    ):
        for text in told.values():
            assert "half: \\ud800" in text
            text.encode()
    with pytest.raises(InvalidRequestError):
        result_contents(half)


def test_letters_of_every_script_are_written_as_they_are() -> None:
    """JSON needs no escapes for them."""
    told = request_contents(CompletionRequest(messages="Gr\u00fc\u00dfe"))
    assert "Gr\u00fc\u00dfe" in told["gen_ai.input.messages"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("c", "f", '{"a": 1}'), '{"a": 1}'),
        (ToolCall("c", "f", ""), "{}"),
        (ToolCall("c", "f", "SELECT 1", is_custom=True), "SELECT 1"),
        (ToolCall("c", "f", "", is_custom=True), ""),
    ],
    ids=["a function", "one without arguments", "free text", "no text"],
)
def test_what_a_tool_is_called_with(call: ToolCall, told: str) -> None:
    """As the model wrote it; a function without arguments gets an empty object."""
    assert call_contents(call) == {"gen_ai.tool.call.arguments": told}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "text"),
        ({"a": 1}, '{"a":1}'),
        (None, "null"),
        (Text("x"), '[{"type": "text", "content": "x"}]'),
    ],
)
def test_results_of_tools(value: object, told: str) -> None:
    """As the model is told them."""
    assert result_contents(value) == {"gen_ai.tool.call.result": told}
