"""Whole answers, as a Chat Completions server sends them."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.dialects.openai_chat.answer import finish_reason_of, response_body
from onplan.types import (
    CompletionResponse,
    ContentPart,
    FinishReason,
    HostedToolCall,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)

CALL = ToolCall("x", "f", "{}")


def answer(*parts: ContentPart, reason: FinishReason = FinishReason.STOP) -> CompletionResponse:
    return CompletionResponse(
        message=Message.assistant(*parts),
        usage=Usage(10, 5, 15, 4, 2, 3),
        finish_reason=reason,
        model="gpt-9",
    )


def message(*parts: ContentPart) -> dict[str, Any]:
    said: dict[str, Any] = response_body(answer(*parts), "c", "m", 7)["choices"][0]["message"]
    return said


def test_the_fields_of_the_api() -> None:
    """Thinking and what is sealed of it, calls with what servers signed, and the counts."""
    signed = ToolCall("x", "f", '{"a":1}', signature='{"extra_content":{"google":{"thought_signature":"c"}}}')
    inside = ToolCall("y", "g", "{}", signature='{"function":{"thought_signature":"d"}}')
    custom = ToolCall("z", "sql", "select 1", is_custom=True)
    parts = [Thinking("Hm."), Thinking("Oh.", "sealed"), Text("So."), signed, inside, custom]
    whole = response_body(answer(*parts, reason=FinishReason.TOOL_CALLS), "chatcmpl-1", "gpt-9", 7)
    assert whole == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-9",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "So.",
                    "refusal": None,
                    "annotations": [],
                    "reasoning_content": "Hm.\n\nOh.",
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": "sealed", "index": 0}],
                    "tool_calls": [
                        {
                            "id": "x",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a":1}'},
                            "extra_content": {"google": {"thought_signature": "c"}},
                        },
                        {
                            "id": "y",
                            "type": "function",
                            "function": {"name": "g", "arguments": "{}", "thought_signature": "d"},
                        },
                        {"id": "z", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
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
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 3,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


def test_a_service_tier() -> None:
    """It is that which was asked for."""
    assert response_body(answer(Text("Hi")), "c", "m", 7, "priority")["service_tier"] == "priority"


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([Text("Hi "), Text("you")], "Hi you"),
        ([], ""),
        ([Thinking("Hm.")], ""),
        ([CALL], None),
        ([Refusal("No.")], None),
        ([Text("Hi"), CALL], "Hi"),
    ],
)
def test_the_text(parts: list[ContentPart], content: str | None) -> None:
    """Without any it is null where there is something else, and empty where there is not."""
    assert message(*parts)["content"] == content
    assert message(*parts)["refusal"] == ("No." if Refusal("No.") in parts else None)


@pytest.mark.parametrize(
    ("parts", "reason", "expected"),
    [
        ([Text("Hi")], FinishReason.STOP, "stop"),
        ([CALL], FinishReason.TOOL_CALLS, "tool_calls"),
        ([CALL], FinishReason.STOP, "tool_calls"),
        ([Text("Hi"), CALL], FinishReason.STOP, "tool_calls"),
        ([CALL], FinishReason.LENGTH, "length"),
        ([Text("Hi")], FinishReason.LENGTH, "length"),
        ([Text("Hi")], FinishReason.CONTENT_FILTER, "content_filter"),
        ([Refusal("No.")], FinishReason.CONTENT_FILTER, "stop"),
    ],
)
def test_why_it_ended(parts: list[ContentPart], reason: FinishReason, expected: str) -> None:
    """Calls are the reason wherever there are any (CLIProxyAPI issue 2443), unless the answer was cut off."""
    assert finish_reason_of(answer(*parts, reason=reason)) == expected


def test_citations_are_places_in_the_whole_message() -> None:
    """Texts are joined in this API; other annotations than of pages have no form in it."""
    page = {"type": "url_citation", "url": "https://a.example"}
    first = Text("By us. ", None, [{"type": "file_path", "file_id": "f"}])
    second = Text("By me.", None, [{**page, "start_index": 3, "end_index": 5}, page])
    inner = {"url": "https://a.example"}
    assert message(HostedToolCall("web_search"), first, Thinking("Hm."), second)["annotations"] == [
        {"type": "url_citation", "url_citation": {**inner, "start_index": 10, "end_index": 12}},
        {"type": "url_citation", "url_citation": inner},
    ]
