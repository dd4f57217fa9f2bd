"""Histories of ``llm`` that a program has changed: what the model is sent then."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("llm")

import llm
from llm.parts import Message, TextPart, ToolCallPart, ToolResultPart

from .edited_histories import EditedHistories
from .llm_plugin import MODEL, registered, user_folder  # noqa: F401
from .samples import weather


class TestLLM(EditedHistories):
    """Of messages that were stored as JSON."""

    refusal = llm.ModelError

    def answer(self) -> Any:
        response = llm.get_model(MODEL).prompt("Oslo?", tools=[weather])
        response.text()
        [message] = response.messages()
        return Message.from_dict(json.loads(json.dumps(message.to_dict())))

    def send(self, message: Any) -> None:
        calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
        results = [ToolResultPart(call.name, "rain", call.tool_call_id) for call in calls]
        history = [llm.user("Oslo?"), message, *([llm.tool_message(*results)] if results else [])]
        llm.get_model(MODEL).prompt("And?", messages=history, tools=[weather]).text()

    def with_arguments(self, message: Any, arguments: dict[str, Any]) -> Any:
        return self._changed(message, ToolCallPart, arguments=arguments)

    def with_id(self, message: Any, call_id: str) -> Any:
        return self._changed(message, ToolCallPart, tool_call_id=call_id)

    def with_text(self, message: Any, text: str) -> Any:
        return self._changed(message, TextPart, text=text)

    def _changed(self, message: Any, kind: type[Any], **changes: Any) -> Any:
        parts = [replace(part, **changes) if isinstance(part, kind) else part for part in message.parts]
        return replace(message, parts=parts)

    def without_calls(self, message: Any) -> Any:
        return replace(message, parts=[part for part in message.parts if not isinstance(part, ToolCallPart)])
