"""Histories of LlamaIndex that a program has changed: what the model is sent then."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.emulator import Emulator

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool

from onplan.integrations.llama_index import Onplan

from .edited_histories import EditedHistories
from .samples import weather

TOOLS = [FunctionTool.from_defaults(weather)]
QUESTION = ChatMessage("Oslo?")


class TestLlamaIndex(EditedHistories):
    """Of whole answers."""

    has_arguments_as_text = True

    @pytest.fixture(autouse=True)
    def _llm(self, signed_in: Emulator) -> None:
        self.llm = Onplan(model="gpt-5.5", reasoning_summary="auto")

    def answer(self) -> Any:
        answer = self.llm.chat_with_tools(TOOLS, chat_history=[QUESTION])
        return ChatMessage.model_validate_json(answer.message.model_dump_json())

    def send(self, message: Any) -> None:
        ids = [block.tool_call_id for block in message.blocks if block.block_type == "tool_call"]
        results = [
            ChatMessage(role="tool", content="rain", additional_kwargs={"tool_call_id": id_}) for id_ in ids
        ]
        self.llm.chat_with_tools(TOOLS, chat_history=[QUESTION, message, *results, ChatMessage("And?")])

    def with_arguments(self, message: Any, arguments: dict[str, Any]) -> Any:
        return self._changed(message, "tool_call", tool_kwargs=arguments)

    def with_id(self, message: Any, call_id: str) -> Any:
        return self._changed(message, "tool_call", tool_call_id=call_id)

    def with_text(self, message: Any, text: str) -> Any:
        return self._changed(message, "text", text=text)

    def _changed(self, message: Any, kind: str, **changes: Any) -> Any:
        blocks = [
            block.model_copy(update=changes) if block.block_type == kind else block
            for block in message.blocks
        ]
        return message.model_copy(update={"blocks": blocks})

    def without_calls(self, message: Any) -> Any:
        blocks = [block for block in message.blocks if block.block_type != "tool_call"]
        return message.model_copy(update={"blocks": blocks})


class TestLlamaIndexStreams(TestLlamaIndex):
    """Of streams."""

    def answer(self) -> Any:
        *_, last = self.llm.stream_chat_with_tools(TOOLS, chat_history=[QUESTION])
        return last.message
