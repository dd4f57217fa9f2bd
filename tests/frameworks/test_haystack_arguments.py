"""Arguments of Haystack's component that have odd values: none of them makes the adapter stumble."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import Any

import pytest

from onplan.emulator import Emulator
from onplan.emulator.wire.png import png_of

from .odd_arguments import Calls, odd, require_words

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when Haystack is imported
pytest.importorskip("haystack")

from haystack.dataclasses import ChatMessage, FileContent, ImageContent, ReasoningContent, ToolCall

from onplan.integrations.haystack import OnplanChatGenerator

MODEL = "gpt-5.5"


def made(**given: Any) -> Any:
    """Make a component, and ask it."""
    return OnplanChatGenerator(**{"model": MODEL, **given}).run("x")


def run(**given: Any) -> Any:
    """Ask with arguments."""
    return OnplanChatGenerator(MODEL).run(**{"messages": "x", **given})


def run_async(**given: Any) -> Any:
    """The same, asynchronously."""
    return asyncio.run(OnplanChatGenerator(MODEL).run_async(**{"messages": "x", **given}))


def said(*parts: Any) -> Any:
    """Ask with a message of the user that has these parts."""
    return run(messages=[ChatMessage.from_user(content_parts=[*parts])])


def called(call: ToolCall, result: Any = "rain") -> Any:
    """Ask after a call and its result."""
    return run(messages=[ChatMessage.from_assistant(tool_calls=[call]), ChatMessage.from_tool(result, call)])


def thought(extra: Any) -> Any:
    """Ask after an answer with thinking."""
    answer = ChatMessage.from_assistant("y", reasoning=ReasoningContent("t", extra))
    return run(messages=[answer, ChatMessage.from_user("x")])


OPTIONS = (
    "model",
    "streaming_callback",
    "generation_kwargs",
    "tools",
    "profile",
    "store",
    "timeout",
    "retry",
)
ARGUMENTS = ("messages", "streaming_callback", "generation_kwargs", "tools")
FIELDS = (
    "temperature",
    "max_tokens",
    "stop",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "extra_body",
)
IMAGE = base64.b64encode(png_of("x", 8, 8)).decode()
CALLS: Calls = {
    **{f"{name} made": lambda value, name=name: made(**{name: value}) for name in OPTIONS},
    **{f"{name} run": lambda value, name=name: run(**{name: value}) for name in ARGUMENTS},
    **{f"{name} async": lambda value, name=name: run_async(**{name: value}) for name in ARGUMENTS},
    **{f"{name} field": lambda value, name=name: run(generation_kwargs={name: value}) for name in FIELDS},
    "n field": lambda value: run(generation_kwargs={"n": value}),
    "messages each": lambda value: run(messages=[value]),
    "base64_image": lambda value: said(ImageContent(value or None, mime_type="image/png", validation=False)),
    "mime_type": lambda value: said(ImageContent(IMAGE, mime_type=value, validation=False)),
    "base64_data": lambda value: said(FileContent(value, mime_type="application/pdf", validation=False)),
    "name": lambda value: called(ToolCall(value, {}, "1")),
    "id": lambda value: called(ToolCall("weather", {}, value)),
    "arguments": lambda value: called(ToolCall("weather", value, "1")),
    "result": lambda value: called(ToolCall("weather", {}, "1"), value),
    "extra": thought,
    "response_format saved": lambda value: OnplanChatGenerator(
        MODEL, generation_kwargs={"response_format": value}
    ).to_dict(),
}


@odd(CALLS)
def test_an_odd_argument(signed_in: Emulator, name: str, call: Callable[[Any], object], value: Any) -> None:
    """It is taken, or refused in words that name it."""
    require_words(name, call, value)
