"""Arguments of the models of ``llm`` that have odd values: none of them makes the plug-in stumble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llm
import pytest
from llm.parts import AttachmentPart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from pydantic import ValidationError

from onplan.emulator import Emulator
from onplan.integrations.llm.models import OnplanModel, OnplanOptions

from .llm_plugin import registered, user_folder  # noqa: F401
from .odd_arguments import Calls, odd, require_words


def asked(**given: Any) -> str:
    """Ask with arguments."""
    return str(OnplanModel("gpt-5.5").prompt("x", **given).text())


def after(*messages: Any) -> str:
    """Ask after messages."""
    question = Message("user", [TextPart("x")])
    return str(OnplanModel("gpt-5.5").prompt(messages=[question, *messages]).text())


def called(call: ToolCallPart, *results: ToolResultPart) -> str:
    """Ask after a call."""
    given = results or (ToolResultPart("weather", "rain", "1"),)
    return after(Message("assistant", [call]), Message("tool", [*given]))


CALL = ToolCallPart("weather", {}, "1")
CALLS: Calls = {
    **{
        f"{name} option": lambda value, name=name: asked(**{name: value})
        for name in OnplanOptions.model_fields
    },
    "messages[1]": after,
    "parts": lambda value: after(Message("user", value)),
    "parts each": lambda value: after(Message("user", [value])),
    "role": lambda value: after(Message(value, [TextPart("y")])),
    "text": lambda value: after(Message("user", [TextPart(value)])),
    "text thought": lambda value: after(Message("assistant", [ReasoningPart(value)])),
    "provider_metadata": lambda value: after(Message("assistant", [TextPart("y", provider_metadata=value)])),
    "onplan": lambda value: after(Message("assistant", [TextPart("y", provider_metadata={"onplan": value})])),
    "arguments": lambda value: called(ToolCallPart("weather", value, "1")),
    "arguments holds": lambda value: called(ToolCallPart("weather", {"city": value}, "1")),
    "name": lambda value: called(ToolCallPart(value, {}, "1")),
    "result": lambda value: called(CALL, ToolResultPart("weather", value, "1")),
    "attachments": lambda value: called(CALL, ToolResultPart("weather", "rain", "1", attachments=value)),
    "attachment": lambda value: after(Message("user", [AttachmentPart(value)])),
    "path": lambda value: asked(attachments=[llm.Attachment(path=value or 7, type="image/png")]),
    "data": lambda value: asked(attachments=[llm.Attachment(content=value, type="image/png")]),
    "description": lambda value: asked(tools=[llm.Tool("weather", value, {"type": "object"})]),
}


@odd(CALLS)
def test_an_odd_argument(signed_in: Emulator, name: str, call: Callable[[Any], object], value: Any) -> None:
    """It is taken, or refused in words that name it."""
    require_words(name, call, value, llm.ModelError, ValidationError)


def test_arguments_that_are_no_dict(signed_in: Emulator) -> None:
    """Those of a call in a history are named, with what they must be."""
    with pytest.raises(
        llm.ModelError, match=r"ToolCallPart\.arguments has the wrong type: list\. Give it a dict"
    ):
        called(ToolCallPart("weather", ["Oslo"], "1"))
