"""Histories of LangChain that a program has changed: what the model is sent then."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, message_chunk_to_message

from onplan.integrations.langchain import ChatOnplan

from .asking import turns
from .edited_histories import EditedHistories
from .langchain_model import added, model, weather  # noqa: F401


class TestLangChain(EditedHistories):
    """Of whole answers."""

    @pytest.fixture(autouse=True)
    def _model(self, model: ChatOnplan) -> None:
        self.bound = model.bind_tools([weather])

    def answer(self) -> Any:
        return self.bound.invoke("Oslo?")

    def send(self, message: Any) -> None:
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        results = [ToolMessage("rain", tool_call_id=call["id"]) for call in calls]
        self.bound.invoke([HumanMessage("Oslo?"), message, *results, HumanMessage("And?")])

    def with_arguments(self, message: Any, arguments: dict[str, Any]) -> Any:
        return self._with_call(message, args=arguments)

    def with_id(self, message: Any, call_id: str) -> Any:
        return self._with_call(message, id=call_id)

    def _with_call(self, message: Any, **changes: Any) -> Any:
        [call] = message.tool_calls
        return message.model_copy(update={"tool_calls": [{**call, **changes}]})

    def with_text(self, message: Any, text: str) -> Any:
        return message.model_copy(update={"content": text})

    def without_calls(self, message: Any) -> Any:
        return message.model_copy(update={"tool_calls": []})


class TestLangChainStreams(TestLangChain):
    """Of streams, whose chunks LangChain adds."""

    def answer(self) -> Any:
        return message_chunk_to_message(added(self.bound.stream("Oslo?")))


def test_the_text_for_a_custom_tool(model: ChatOnplan, signed_in: Emulator) -> None:
    """Changed, and copied with another id, it goes back to the custom tool."""
    signed_in.play(Turn(thinking="Hm.", tool_calls=[Call("run", "print(1)\n")]))
    bound = model.bind_tools([onplan.CustomTool("run", "Runs Python.")])
    called = bound.invoke("?")
    call = {**called.tool_calls[0], "id": "mine", "args": {"__arg1": "print(2)\n"}}
    for changes in ({"args": call["args"]}, {"id": "mine"}):
        signed_in.clear_journal()
        changed = {**called.tool_calls[0], **changes}
        edited = called.model_copy(update={"tool_calls": [changed]})
        bound.invoke([HumanMessage("?"), edited, ToolMessage("ok", tool_call_id=changed["id"])])
        [body] = turns(signed_in)
        [sent] = [item for item in body["input"] if item["type"] == "custom_tool_call"]
        assert (sent["call_id"], sent["input"]) == (changed["id"], changed["args"]["__arg1"])


def test_a_refusal_that_was_changed(model: ChatOnplan, signed_in: Emulator) -> None:
    """The model reads what the message says now."""
    signed_in.arm("refusal", 1)
    refused = model.invoke("x")
    edited = refused.model_copy(deep=True)
    edited.additional_kwargs["refusal"] = "Not today."
    model.invoke([HumanMessage("x"), edited, HumanMessage("y")])
    said = [item["content"] for item in turns(signed_in)[-1]["input"] if item.get("role") == "assistant"]
    assert [part["refusal"] for content in said for part in content] == ["Not today."]


def test_blocks_of_a_call_that_was_changed(model: ChatOnplan, signed_in: Emulator) -> None:
    """``content_blocks`` have the arguments that the message has."""
    signed_in.play(Turn(thinking="Hm.", tool_calls=[Call("weather", '{"n" : 1}')]))
    called = model.bind_tools([weather]).invoke("Oslo?")
    edited = AIMessage.model_validate(called.model_dump())
    edited.tool_calls = [{**called.tool_calls[0], "args": {"n": True}}]
    [block] = [block for block in edited.content_blocks if block["type"] == "tool_call"]
    assert block["args"]["n"] is True
