"""Histories of DSPy that a program has changed: what the model is sent then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from onplan.emulator import Emulator

pytest.importorskip("dspy")

from dspy import lm15

from onplan.integrations.dspy import Engine

from .edited_histories import EditedHistories

TOOL = lm15.FunctionTool("weather", "The weather.", {"type": "object", "properties": {}})
QUESTION = lm15.Message.user("Oslo?")


class TestDSPy(EditedHistories):
    """Of whole answers."""

    refusal = lm15.InvalidRequestError

    @pytest.fixture(autouse=True)
    def _engine(self, signed_in: Emulator) -> None:
        self.engine = Engine(reasoning_summary="auto")

    def request(self, *messages: Any) -> Any:
        config = lm15.Config(reasoning=lm15.Reasoning("low", summary="auto"))
        return lm15.Request("onplan/gpt-5.5", messages, tools=(TOOL,), config=config)

    def answer(self) -> Any:
        return self.engine.complete(self.request(QUESTION)).message

    def send(self, message: Any) -> None:
        calls = message.parts_of(lm15.ToolCallPart)
        results = [lm15.Message.tool(call.id, "rain") for call in calls]
        self.engine.complete(self.request(QUESTION, message, *results, lm15.Message.user("And?")))

    def with_arguments(self, message: Any, arguments: dict[str, Any]) -> Any:
        changed = self._changed(message, "tool_call", input={})
        for call in changed.parts_of(lm15.ToolCallPart):
            call.input.update(arguments)  # DSPy itself looks only at those that a part is made with
        return changed

    def with_id(self, message: Any, call_id: str) -> Any:
        return self._changed(message, "tool_call", id=call_id)

    def with_text(self, message: Any, text: str) -> Any:
        return self._changed(message, "text", text=text)

    def _changed(self, message: Any, kind: str, **changes: Any) -> Any:
        parts = [replace(part, **changes) if part.type == kind else part for part in message.parts]
        return replace(message, parts=tuple(parts))

    def without_calls(self, message: Any) -> Any:
        return replace(message, parts=tuple(part for part in message.parts if part.type != "tool_call"))


class TestDSPyStreams(TestDSPy):
    """Of streams."""

    def answer(self) -> Any:
        asked = self.request(QUESTION)
        return lm15.materialize_response(self.engine.stream(asked), asked).message

    @pytest.mark.parametrize("written", ['{"n": NaN}', '{"n" : -Infinity}', "[1]", "5", '{"n'])
    def test_a_number_that_the_model_wrote_and_json_does_not_have(
        self, signed_in: Emulator, written: str
    ) -> None:
        """Nor what else is no JSON object, which DSPy's streams put into an object of their own."""
        super().test_a_number_that_the_model_wrote_and_json_does_not_have(signed_in, written)
