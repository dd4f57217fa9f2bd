"""Arguments of LlamaIndex' class that have odd values: none of them makes the adapter stumble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan.emulator import Emulator

from .odd_arguments import Calls, odd, require_words

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import (
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.tools import FunctionTool
from pydantic import ValidationError

from onplan import ConfigurationError, InvalidRequestError
from onplan.integrations.llama_index import Onplan

MODEL = "gpt-5.5"


def weather(city: str) -> str:
    """The weather."""
    return city


def made(**given: Any) -> Any:
    """Make a model, and ask it."""
    llm = Onplan(**{"model": MODEL, **given})
    return llm.metadata, llm.chat([ChatMessage("x")])


def asked(**given: Any) -> Any:
    """Ask with arguments."""
    return Onplan(model=MODEL).chat([ChatMessage("x")], **given)


def with_tools(**given: Any) -> Any:
    """Ask with a tool."""
    tools = [FunctionTool.from_defaults(weather)]
    return Onplan(model=MODEL).chat_with_tools(**{"tools": tools, "user_msg": "x", **given})


def said(block: type[Any], **fields: Any) -> Any:
    """Ask with a block, as a program can have changed it."""
    return Onplan(model=MODEL).chat([ChatMessage(role="user", blocks=[block.model_construct(**fields)])])


def image(**fields: Any) -> Any:
    """Ask with an image."""
    return said(ImageBlock, **{"url": None, "path": None, "image": None, "detail": None, **fields})


def document(**fields: Any) -> Any:
    """Ask with a document."""
    return said(DocumentBlock, **{"url": None, "path": None, "title": "a", "data": None, **fields})


def answered(**fields: Any) -> Any:
    """Ask after an answer."""
    given = {"blocks": [TextBlock(text="y")], "additional_kwargs": {}, **fields}
    answer = ChatMessage.model_construct(role=MessageRole.ASSISTANT, **given)
    return Onplan(model=MODEL).chat([answer, ChatMessage("x")])


def called(**fields: Any) -> Any:
    """Ask after a call."""
    block = ToolCallBlock.model_construct(
        **{"tool_name": "w", "tool_call_id": "1", "tool_kwargs": {}, **fields}
    )
    return answered(blocks=[block])


CALLS: Calls = {
    **{
        f"{name} made": lambda value, name=name: made(**{name: value})
        for name in (
            "model",
            "temperature",
            "max_tokens",
            "context_window",
            "additional_kwargs",
            "profile",
            "store",
        )
    },
    **{
        f"{name} asked": lambda value, name=name: asked(**{name: value})
        for name in ("tools", "tool_choice", "temperature", "stop", "response_format", "extra_body", "model")
    },
    "messages": lambda value: Onplan(model=MODEL).chat(value),
    "prompt": lambda value: Onplan(model=MODEL).complete(value),
    "tools": lambda value: with_tools(tools=value),
    "tools[0]": lambda value: with_tools(tools=[value]),
    "chat_history": lambda value: with_tools(chat_history=value),
    "tool_choice": lambda value: with_tools(tool_choice=value),
    "response": lambda value: Onplan(model=MODEL).get_tool_calls_from_response(value),
    "image": lambda value: image(image=value),
    "url": lambda value: image(url=value),
    "path": lambda value: image(path=value) if value is not None else None,
    "data": lambda value: document(data=value),
    "path document": lambda value: document(path=value) if value is not None else None,
    "additional_kwargs answered": lambda value: answered(additional_kwargs=value),
    "onplan": lambda value: answered(additional_kwargs={"onplan": value}),
    "tool_calls": lambda value: answered(additional_kwargs={"tool_calls": value}),
    "name": lambda value: called(tool_name=value),
    "arguments": lambda value: called(tool_kwargs=value),
    "tool_call_id": lambda value: Onplan(model=MODEL).chat(
        [ChatMessage(role="tool", content="x", additional_kwargs={"tool_call_id": value})]
    ),
}


@odd(CALLS)
def test_an_odd_argument(signed_in: Emulator, name: str, call: Callable[[Any], object], value: Any) -> None:
    """It is taken, or refused in words that name it."""
    require_words(name, call, value, InvalidRequestError, ConfigurationError, ValidationError)


def test_a_name_that_is_meant(signed_in: Emulator) -> None:
    """A misspelt argument is one of the class; the error says which is meant."""
    for wrong, meant in (("context_windw", "context_window"), ("profil", "profile")):
        with pytest.raises(ConfigurationError, match=f"Onplan has no option '{wrong}'") as caught:
            Onplan(**{wrong: 1})
        assert caught.value.hint == f"Did you mean {meant!r}?"
