"""Histories of Haystack that a program has changed: what the model is sent then."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from onplan.emulator import Emulator

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when Haystack is imported
pytest.importorskip("haystack")

from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools import create_tool_from_function

from onplan.integrations.haystack import OnplanChatGenerator

from .edited_histories import EditedHistories
from .samples import weather

WEATHER = create_tool_from_function(weather)
QUESTION = ChatMessage.from_user("Oslo?")
FIELDS: dict[str, Any] = {"tools": [WEATHER], "generation_kwargs": {"reasoning_summary": "auto"}}


class TestHaystack(EditedHistories):
    """Of whole answers."""

    @pytest.fixture(autouse=True)
    def _generator(self, signed_in: Emulator) -> None:
        self.generator = OnplanChatGenerator("gpt-5.5")

    def answer(self) -> Any:
        [answer] = self.generator.run([QUESTION], **FIELDS)["replies"]
        return ChatMessage.from_dict(answer.to_dict())

    def send(self, message: Any) -> None:
        results = [ChatMessage.from_tool("rain", call) for call in message.tool_calls]
        asked = [QUESTION, message, *results, ChatMessage.from_user("And?")]
        self.generator.run(asked, **FIELDS)

    def with_arguments(self, message: Any, arguments: dict[str, Any]) -> Any:
        return self._with_call(message, arguments=arguments)

    def with_id(self, message: Any, call_id: str) -> Any:
        return self._with_call(message, id=call_id)

    def _with_call(self, message: Any, **changes: Any) -> Any:
        [call] = message.tool_calls
        return self._made(message, message.text, [replace(call, **changes)])

    def with_text(self, message: Any, text: str) -> Any:
        return self._made(message, text, message.tool_calls)

    def without_calls(self, message: Any) -> Any:
        return self._made(message, message.text, [])

    def _made(self, message: Any, text: str | None, calls: list[Any]) -> Any:
        return ChatMessage.from_assistant(
            text, meta=message.meta, reasoning=message.reasoning, tool_calls=calls
        )


class TestHaystackStreams(TestHaystack):
    """Of streams."""

    def answer(self) -> Any:
        [answer] = self.generator.run([QUESTION], streaming_callback=hear, **FIELDS)["replies"]
        return answer


def hear(chunk: StreamingChunk) -> None:
    """A callback."""
