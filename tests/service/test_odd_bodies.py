"""Bodies with odd values in every place: each is answered or refused as the OpenAPI document says."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator

from .conftest import Asking, serving

PIXEL = f"data:image/png;base64,{b64encode((Path(__file__).parents[1] / 'pixel.png').read_bytes()).decode()}"
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
ODD = (None, True, -1, 1e300, "", "\x00", [None], [{}], {"type": {}}, {"type": []}, {"a": None})
EVERY = 7  # of thousands of bodies

RESPONSES: dict[str, Any] = {
    "model": "gpt-5.5",
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": PIXEL}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "reasoning", "summary": [], "id": "rs_1"},
        {"role": "assistant", "content": "a"},
    ],
    "instructions": "x",
    "stream": True,
    "prompt_cache_key": "k",
    "max_output_tokens": 50,
    "include": ["reasoning.encrypted_content"],
    "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
    "temperature": 0.5,
    "metadata": {"a": "b"},
}
CHAT: dict[str, Any] = {
    "model": "gpt-5.5",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}], "name": "n"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 50,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": False}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "temperature": 1,
    "n": 1,
    "user": "u",
}
IMAGES: dict[str, Any] = {
    "prompt": "x",
    "model": "gpt-image-2",
    "n": 1,
    "size": "auto",
    "quality": "auto",
    "images": [{"image_url": PIXEL}],
    "user": "u",
}


def variants(value: Any) -> Iterator[Any]:
    """``value`` with something odd in one place, or without one of its parts."""
    yield from ODD
    if isinstance(value, dict):
        yield {**value, "a\r\nb": 1}
        for name, inner in value.items():
            yield {key: kept for key, kept in value.items() if key != name}
            yield from ({**value, name: odd} for odd in variants(inner))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], odd, *value[at + 1 :]] for odd in variants(inner))


@pytest.mark.parametrize(
    ("path", "body"),
    [("responses", RESPONSES), ("chat/completions", CHAT), ("images/edits", IMAGES)],
    ids=["responses", "chat", "images"],
)
def test_odd_values_are_the_clients_mistakes(signed_in: Emulator, path: str, body: dict[str, Any]) -> None:
    """None is a failure of the server, and no name of a parameter gets into a header that is no name."""

    async def use(asking: Asking) -> list[int]:
        whole = await asking.ask("POST", f"/v1/{path}", body)
        bodies = islice(variants(body), 0, None, EVERY)
        answers = [await asking.ask("POST", f"/v1/{path}", odd) for odd in bodies]
        assert not any("\n" in value for answer in answers for value in answer.headers.values())
        return [whole.status, *(answer.status for answer in answers)]

    first, *others = serving(use, transport="sse")
    assert first == 200
    assert max(others) < 500


MANY = 40_000
TEXT = {"type": "input_text", "text": "x"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}] * MANY}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [TEXT] * MANY}]}, "messages"),
        ("/v1/chat/completions", {"input": [{"role": "user", "content": "x"}] * MANY}, "input"),
        ("/v1/chat/completions", {"input": [{"role": "user", "content": [TEXT] * MANY}]}, "input"),
        ("/v1/chat/completions", {**CHAT, "tools": CHAT["tools"] * MANY}, "tools"),
        ("/v1/responses", {"input": [{"role": "user", "content": "x"}] * MANY}, "input"),
        ("/v1/responses", {"input": [{"role": "user", "content": [TEXT] * MANY}]}, "input"),
        ("/v1/responses", {**RESPONSES, "tools": RESPONSES["tools"] * MANY}, "tools"),
    ],
)
def test_lists_are_bounded(signed_in: Emulator, path: str, body: dict[str, Any], param: str) -> None:
    """More than any model reads is refused at once, and nothing is asked of the backend."""

    async def use(asking: Asking) -> None:
        answer = await asking.ask("POST", path, {"model": "gpt-5.5", **body})
        assert (answer.status, answer.error["param"]) == (400, param)
        assert answer.error["code"] == "array_above_max_length"

    serving(use)
    assert signed_in.journal() == []


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_others_have_their_turn_while_a_large_body_is_read(signed_in: Emulator, path: str) -> None:
    """It is read on another thread: the event loop goes on before the body is refused."""

    async def use(asking: Asking) -> None:
        turns = asyncio.create_task(asyncio.sleep(0))
        answer = await asking.ask("POST", path, {"model": 1, "user": "x" * 300_000})
        assert answer.status == 400
        assert turns.done()

    serving(use)
