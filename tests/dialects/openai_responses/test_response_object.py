"""The ``response`` object: each field that clients read without looking whether it is there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_responses.response_object import (
    NULL,
    output_item,
    response_object,
    told_usage,
)
from onplan.types import Usage

DEFAULTS = {
    "object": "response",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
    "created_at": 0,
}
RESTORED = (
    *("instructions", "max_output_tokens", "metadata", "previous_response_id", "prompt_cache_key", "store"),
    *("temperature", "text", "tool_choice", "tools", "top_p", "truncation", "user"),
)
GIVEN = {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}
TOLD = {
    **GIVEN,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


# --- the response ---


def test_every_field_is_there() -> None:
    """Whatever the backend leaves out."""
    assert response_object({}, {}) == DEFAULTS


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_field_says_what_the_client_said(name: str) -> None:
    """And not what the backend was told; what the client did not decide is the backend's to say."""
    is_restored = name in RESTORED
    given = GIVEN if name == "usage" else "of the backend"
    sent = response_object({name: given}, {})
    expected = TOLD if name == "usage" else given
    assert sent == ({**DEFAULTS} if is_restored else {**DEFAULTS, name: expected})
    echoed = response_object({}, {name: "of the client"})
    assert echoed == ({**DEFAULTS, name: "of the client"} if is_restored else DEFAULTS)
    assert response_object({name: None}, {}) == response_object({name: NULL}, {}) == DEFAULTS


def test_changes_come_last() -> None:
    """A usage that was read is not read again; unknown fields of the backend stay."""
    told = response_object(
        {"id": "resp_1", "status": "x", "of_tomorrow": msgspec.Raw(b"1")},
        {"store": False},
        status="completed",
        store=5,
        usage={"a": 1},
    )
    assert told == {
        **DEFAULTS,
        "id": "resp_1",
        "of_tomorrow": msgspec.Raw(b"1"),
        "status": "completed",
        "store": 5,
        "usage": {"a": 1},
    }


# --- the usage ---


@pytest.mark.parametrize("given", [None, 5, [], "x"])
def test_without_counts_there_is_no_usage(given: Any) -> None:
    """Clients take null for that."""
    assert told_usage(given, Usage()) is None


def test_counts_have_their_details() -> None:
    """The Codex CLI cannot read them without; others that the backend tells stay."""
    given = {
        "input_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0, "more": 7},
        "input_tokens_details": None,
        "of_tomorrow": 8,
    }
    usage = Usage(3, 9, 12, cache_read_tokens=2, cache_write_tokens=1, reasoning_tokens=4)
    assert told_usage(given, usage) == {
        "of_tomorrow": 8,
        "input_tokens": 3,
        "output_tokens": 9,
        "total_tokens": 12,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "output_tokens_details": {"reasoning_tokens": 4, "more": 7},
    }


# --- its items ---


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (
            {
                "type": "message",
                "id": "other",
                "content": [{"type": "output_text", "text": "a"}, {"x": 1}, 5],
            },
            {
                "type": "message",
                "status": "incomplete",
                "content": [
                    {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                    {"x": 1},
                    5,
                ],
            },
        ),
        (
            {
                "type": "message",
                "status": "completed",
                "content": [{"type": "output_text", "annotations": [1], "logprobs": [2]}],
            },
            {
                "type": "message",
                "status": "completed",
                "content": [{"type": "output_text", "annotations": [1], "logprobs": [2]}],
            },
        ),
        ({"type": "message", "content": "x"}, {"type": "message", "content": "x", "status": "incomplete"}),
        (
            {"type": "function_call", "id": "fc_9", "arguments": {"a": 1}},
            {"type": "function_call", "status": "incomplete", "call_id": "fc_9", "arguments": '{"a":1}'},
        ),
        (
            {"type": "custom_tool_call", "call_id": "call_1", "input": "x"},
            {"type": "custom_tool_call", "status": "incomplete", "call_id": "call_1", "input": "x"},
        ),
        (
            {"type": "function_call", "arguments": "{}"},
            {"type": "function_call", "status": "incomplete", "call_id": "item_1", "arguments": "{}"},
        ),
        ({"type": "web_search_call"}, {"type": "web_search_call", "status": "incomplete"}),
        ({"type": "reasoning", "summary": None}, {"type": "reasoning", "summary": []}),
        ({"type": "reasoning", "summary": [1]}, {"type": "reasoning", "summary": [1]}),
        ({"type": "of tomorrow", "content": []}, {"type": "of tomorrow", "content": []}),
        ({}, {}),
    ],
    ids=str,
)
def test_an_item_has_the_fields_of_its_kind(item: dict[str, Any], told: dict[str, Any]) -> None:
    """An id, a state, the id of a call, and lists where there may be some."""
    before = repr(item)
    assert output_item(item, "item_1", "incomplete") == {**told, "id": "item_1"}
    assert repr(item) == before
