"""A body of the Responses API in the place of a Chat Completions request."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_chat.responses_body import CLIENT_NAMES, as_chat_fields, read_input
from onplan.dialects.openai_errors import ParameterError
from onplan.types import Image, Message, Text, Thinking, ToolCall

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def fields_of(**fields: Any) -> dict[str, Any]:
    """The fields of Chat Completions, decoded."""
    given = {name: raw(value) for name, value in fields.items()}
    return {name: json.loads(bytes(value)) for name, value in as_chat_fields(given).items()}


def said(items: Any, instructions: Any = None) -> list[Message]:
    return read_input(raw(items), raw(instructions) if instructions is not None else None)


# --- the conversation ---


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ("Hi", [Message.user("Hi")]),
        ([{"role": "user", "content": "Hi"}], [Message.user("Hi")]),
        (
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            [Message.user("Hi")],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "data:,", "detail": "low", "id": "x"}],
                }
            ],
            [Message.user(Image(url="data:,", detail="low"))],
        ),
        (
            [
                {"role": "user", "content": "Hi", "id": "msg_1", "status": "completed"},
                {
                    "type": "message",
                    "role": "assistant",
                    "phase": "commentary",
                    "content": [{"type": "output_text", "text": "Hm.", "annotations": [], "logprobs": []}],
                },
                {**CALL, "id": "fc_1", "status": "completed"},
                {"type": "function_call_output", "call_id": "c1", "output": "5", "id": "fco_1"},
            ],
            [
                Message.user("Hi"),
                Message.assistant(Text("Hm.", "commentary"), ToolCall("c1", "f", "{}")),
                Message.tool("c1", "5"),
            ],
        ),
        (
            [
                {"role": "user", "content": "Hi"},
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "encrypted_content": "sealed",
                },
                CALL,
            ],
            [Message.user("Hi"), Message.assistant(Thinking("Hm.", "sealed"), ToolCall("c1", "f", "{}"))],
        ),
    ],
    ids=["text", "message", "parts", "image", "call and result", "reasoning"],
)
def test_the_input_is_a_conversation(items: Any, messages: list[Message]) -> None:
    """With what clients add to items and parts left out."""
    assert said(items) == messages
    assert said(items, "Be brief.") == [Message.developer("Be brief."), *messages]


@pytest.mark.parametrize(
    ("items", "instructions", "param"),
    [
        ([], None, "input"),
        ("", None, "input"),
        (5, None, "input"),
        ([5], None, "input[0]"),
        ("Hi", 5, "instructions"),
        (
            [{"role": "user", "content": "Hi"}, {"role": "of tomorrow", "content": "Hi"}],
            None,
            "input[1].role",
        ),
        ([{"type": "function_call", "name": "f"}], None, "input[0].call_id"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_with_its_place(items: Any, instructions: Any, param: str) -> None:
    """As the client wrote it: under ``input``, and not under ``messages``."""
    with pytest.raises(ParameterError) as caught:
        said(items, instructions)
    assert caught.value.param == param
    assert "messages" not in caught.value.message


@pytest.mark.parametrize(
    "items",
    [
        [{"role": "user", "content": "x"}] * 32_769,
        [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * 32_768}],
    ],
    ids=["items", "parts"],
)
def test_a_conversation_may_have_so_many_parts(items: Any) -> None:
    """More than any model reads would keep the server busy for seconds."""
    with pytest.raises(ParameterError, match="more than 32,768 elements") as caught:
        said(items)
    assert caught.value.param == "input"


# --- the other fields ---


def test_fields_are_renamed() -> None:
    """Those that are called otherwise in Chat Completions, and those inside of others."""
    assert fields_of(
        model="gpt-5.5",
        max_output_tokens=5,
        reasoning={"effort": "low", "summary": "auto", "more": 1},
        text={"format": {"type": "text"}, "verbosity": "low"},
        tools=[],
    ) == {
        "model": "gpt-5.5",
        "max_completion_tokens": 5,
        "reasoning_effort": "low",
        "reasoning_summary": "auto",
        "response_format": {"type": "text"},
        "verbosity": "low",
        "tools": [],
    }
    assert CLIENT_NAMES == {
        "max_completion_tokens": "max_output_tokens",
        "reasoning_effort": "reasoning.effort",
        "reasoning_summary": "reasoning.summary",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
    }


@pytest.mark.parametrize(
    "name",
    ["input", "instructions", "messages", "include", "store", "truncation", "reasoning", "text"],
)
def test_what_this_api_does_without_is_left_out(name: str) -> None:
    """What it asks for happens anyway, or cannot be seen in the answer."""
    assert fields_of(**{name: {}, "model": "x"}) == {"model": "x"}


def test_a_null_inside_says_nothing() -> None:
    """As one outside."""
    assert fields_of(reasoning={"effort": None, "summary": "auto"}, text={"format": None}) == {
        "reasoning_summary": "auto"
    }


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "background", "prompt"])
def test_what_needs_the_other_path_is_refused(name: str) -> None:
    """The error names the path; ``false`` asks for nothing."""
    with pytest.raises(ParameterError, match="one of /v1/responses") as caught:
        fields_of(**{name: "x"})
    assert (caught.value.param, caught.value.told.code) == (name, "unsupported_parameter")
    assert fields_of(**{name: False}) == {}


@pytest.mark.parametrize("name", ["reasoning", "text"])
def test_an_object_is_none_of_its_own_words(name: str) -> None:
    """What should hold fields, and does not, is named."""
    with pytest.raises(ParameterError) as caught:
        fields_of(**{name: "low"})
    assert caught.value.param == name
