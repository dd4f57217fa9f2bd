"""What is read of chunks whose fields have other types than the API says: values in, values out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.chat.decode import decode_chunk
from onplan.chat.events import CallDelta, Choice, Chunk, Custom, Delta, Function, Groq
from onplan.chat.halves import Halves
from onplan.errors import StreamCorruptError

ODD = {"model": 5}  # which alone makes a chunk one that the quick decoder does not take


def decoded(**fields: Any) -> Chunk | None:
    return decode_chunk(json.dumps({**ODD, **fields}).encode(), Halves())


def choice(**fields: Any) -> Choice:
    chunk = decoded(choices=[fields])
    assert chunk is not None
    assert chunk.choices is not None
    (found,) = chunk.choices
    return found


CHUNKS: list[tuple[dict[str, Any], Chunk]] = [
    ({}, Chunk(model="5")),
    ({"model": "m"}, Chunk(model="m")),
    ({"model": False}, Chunk()),
    ({"model": []}, Chunk()),
    ({"model": 1.5}, Chunk(model="1.5")),
    ({"choices": None}, Chunk(model="5")),
    ({"choices": False}, Chunk(model="5")),
    ({"choices": ""}, Chunk(model="5")),
    ({"choices": []}, Chunk(model="5")),
    ({"choices": {"text": "x"}}, Chunk([Choice(text="x")], model="5")),
    ({"choices": [{"text": "x"}, None]}, Chunk([Choice(text="x")], model="5")),
    ({"usage": {"total_tokens": 1}}, Chunk(model="5", usage={"total_tokens": 1})),
    ({"usage": "none"}, Chunk(model="5")),
    ({"x_groq": {"usage": {"total_tokens": 1}}}, Chunk(model="5", x_groq=Groq({"total_tokens": 1}))),
    ({"x_groq": {"usage": 5}}, Chunk(model="5", x_groq=Groq())),
    ({"x_groq": "x"}, Chunk(model="5")),
    ({"id": 7, "error": "x", "more": 1}, Chunk(id=7, model="5", error="x")),
]


@pytest.mark.parametrize(("fields", "chunk"), CHUNKS, ids=str)
def test_a_chunk(fields: dict[str, Any], chunk: Chunk) -> None:
    """False, an empty text and an empty list are no values; a single entry is a list of one."""
    assert decoded(**fields) == chunk


CHOICES: list[tuple[dict[str, Any], Choice]] = [
    ({"delta": "Hi"}, Choice(Delta("Hi"))),
    ({"delta": {"content": "Hi"}}, Choice(Delta("Hi"))),
    ({"delta": None}, Choice()),
    ({"delta": []}, Choice()),
    ({"message": {"content": "Hi"}}, Choice(message=Delta("Hi"))),
    ({"text": 5}, Choice(text="5")),
    ({"index": "1"}, Choice(index=1)),
    ({"index": 1.0}, Choice(index=1)),
    ({"index": True}, Choice()),
    ({"index": "first"}, Choice()),
    ({"index": None}, Choice()),
    ({"index": [1]}, Choice()),
    ({"finish_reason": "stop"}, Choice(finish_reason="stop")),
    ({"finish_reason": {"type": "stop"}}, Choice(finish_reason="stop")),
    ({"finish_reason": {"reason": "stop"}}, Choice(finish_reason="stop")),
    ({"finish_reason": 0}, Choice()),
    ({"finish_reason": False}, Choice()),
    ({"finish_reason": 3}, Choice(finish_reason="3")),
    ({"usage": {"total_tokens": 1}}, Choice(usage={"total_tokens": 1})),
    ({"usage": []}, Choice()),
    ({"error": [1], "native_finish_reason": 2}, Choice(error=[1], native_finish_reason=2)),
]


@pytest.mark.parametrize(("fields", "expected"), CHOICES, ids=str)
def test_a_choice(fields: dict[str, Any], expected: Choice) -> None:
    """Numbers may be texts and texts numbers; a reason may be the object of one."""
    assert choice(**fields) == expected


DELTAS: list[tuple[dict[str, Any], Delta]] = [
    ({"content": 5}, Delta("5")),
    ({"content": ""}, Delta("")),
    ({"content": False}, Delta()),
    ({"content": ["a"]}, Delta(["a"])),
    ({"content": {"type": "text", "text": "a"}}, Delta([{"type": "text", "text": "a"}])),
    ({"content": {"type": "output_text", "text": "a"}}, Delta([{"type": "output_text", "text": "a"}])),
    ({"content": {"type": "refusal", "refusal": "a"}}, Delta([{"type": "refusal", "refusal": "a"}])),
    ({"content": {"type": "thinking", "thinking": "a"}}, Delta([{"type": "thinking", "thinking": "a"}])),
    ({"content": {"type": "reasoning", "text": "a"}}, Delta([{"type": "reasoning", "text": "a"}])),
    ({"content": {"bird": "wren"}}, Delta('{"bird":"wren"}')),
    ({"content": {"type": "bird"}}, Delta('{"type":"bird"}')),
    ({"refusal": 5}, Delta(refusal="5")),
    ({"refusal": []}, Delta()),
    ({"reasoning_details": [{"a": 1}]}, Delta(reasoning_details=[{"a": 1}])),
    ({"reasoning_details": {"a": 1}}, Delta(reasoning_details=[{"a": 1}])),
    ({"reasoning_details": "x"}, Delta()),
    ({"thinking_blocks": {"a": 1}}, Delta(thinking_blocks=[{"a": 1}])),
    ({"function_call": {"name": 5, "arguments": "{}"}}, Delta(function_call=Function("5", "{}"))),
    ({"function_call": ""}, Delta()),
    ({"tool_calls": {"id": 5}}, Delta(tool_calls=[CallDelta(id="5")])),
    (
        {"tool_calls": [{"index": "1", "id": "x", "name": 5, "function": {"name": "f", "arguments": {}}}]},
        Delta(tool_calls=[CallDelta(Function("f", {}), 1, "x", "5")]),
    ),
    ({"tool_calls": [{"function": []}]}, Delta(tool_calls=[CallDelta()])),
    (
        {"tool_calls": [{"type": "custom", "custom": {"name": "run", "input": "x"}}]},
        Delta(tool_calls=[CallDelta(custom=Custom("run", "x"))]),
    ),
    ({"tool_calls": False}, Delta()),
]


@pytest.mark.parametrize(("fields", "expected"), DELTAS, ids=str)
def test_a_delta(fields: dict[str, Any], expected: Delta) -> None:
    """One part is a list of parts; any other object is the JSON that was asked for."""
    assert choice(delta=fields).delta == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": "x"},
        {"choices": [5]},
        {"choices": [{"delta": 5}]},
        {"choices": [{"delta": {"content": True}}]},
        {"choices": [{"delta": {"tool_calls": [5]}}]},
        {"choices": [{"message": "Hi"}]},
        {"choices": [{"text": {}}]},
        {"model": {"a": 1}},
        {"model": True},
    ],
    ids=str,
)
def test_what_cannot_be_converted(fields: dict[str, Any]) -> None:
    """Skipping it could lose a part of the answer, so it is an error."""
    with pytest.raises(StreamCorruptError, match="not a valid chunk"):
        decoded(**fields)


@pytest.mark.parametrize(
    ("payload", "is_none"), [(b"[1]", True), (b" [DONE]", True), (b' {"choices": []}', False)]
)
def test_what_is_no_object_is_no_chunk(payload: bytes, is_none: bool) -> None:
    """White space before one does not matter."""
    assert (decode_chunk(payload, Halves()) is None) is is_none
