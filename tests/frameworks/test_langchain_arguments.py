"""Arguments of LangChain's chat model that have odd values: none of them makes the adapter stumble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan.emulator import Emulator

from .odd_arguments import Calls, odd, require_words

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import ValidationError

from onplan import ConfigurationError, InvalidRequestError
from onplan.integrations.langchain import ChatOnplan

MODEL = "gpt-5.5"


def weather(city: str) -> str:
    """The weather."""
    return city


def made(**given: Any) -> Any:
    """Make a model, and ask it."""
    return ChatOnplan(**{"model": MODEL, **given}).invoke("x")


def asked(**given: Any) -> Any:
    """Ask with arguments."""
    return ChatOnplan(model=MODEL).invoke("x", **given)


def said(content: Any) -> Any:
    """Ask with the content of a message, as a program can have changed it."""
    return ChatOnplan(model=MODEL).invoke([HumanMessage.model_construct(content=content)])


def answered(**given: Any) -> Any:
    """Ask after an answer with these fields, as a program can have changed it."""
    fields = {"content": "", "additional_kwargs": {}, "tool_calls": [], "invalid_tool_calls": [], **given}
    answer = AIMessage.model_construct(response_metadata={}, **fields)
    return ChatOnplan(model=MODEL).invoke([answer, ToolMessage("rain", tool_call_id="1"), HumanMessage("x")])


def called(**given: Any) -> Any:
    """Ask after a call with these fields."""
    return answered(tool_calls=[{"name": "weather", "args": {}, "id": "1", "type": "tool_call", **given}])


def typed(**given: Any) -> Any:
    """Ask for typed output."""
    schema = {"title": "bird", "type": "object", "properties": {}}
    return ChatOnplan(model=MODEL).with_structured_output(**{"schema": schema, **given})


OPTIONS = (
    *("model", "temperature", "max_tokens", "stop", "reasoning_effort", "extra_body", "account", "backend"),
    *("store", "base_url", "timeout", "max_retries", "unsupported", "client_options", "clients"),
)
FIELDS = (
    "stop",
    "tools",
    "tool_choice",
    "temperature",
    "max_tokens",
    "response_format",
    "extra_body",
    "model",
)
URL = {"url": "https://example.org/a.png"}
CALLS: Calls = {
    **{f"{name} made": lambda value, name=name: made(**{name: value}) for name in OPTIONS},
    **{f"{name} asked": lambda value, name=name: asked(**{name: value}) for name in FIELDS},
    **{
        f"{name} typed": lambda value, name=name: typed(**{name: value})
        for name in ("schema", "method", "strict", "tools")
    },
    "tools called": lambda value: typed(method="function_calling", tools=value),
    "tools": lambda value: ChatOnplan(model=MODEL).bind_tools(value),
    "tools[0]": lambda value: ChatOnplan(model=MODEL).bind_tools([value]),
    "tool_choice bound": lambda value: ChatOnplan(model=MODEL).bind_tools([weather], tool_choice=value),
    "tools counted": lambda value: ChatOnplan().get_num_tokens_from_messages([HumanMessage("x")], value),
    "messages counted": lambda value: ChatOnplan().get_num_tokens_from_messages(value),
    "text": lambda value: ChatOnplan().get_num_tokens(value),
    "messages[0].content": said,
    "messages[0].content[0]": lambda value: said([value]),
    "messages[0].content answered": lambda value: answered(content=value),
    **{
        f"messages[0].content[0] {kind} {field}": lambda value, kind=kind, field=field: said(
            [{"type": kind, **URL, field: value}]
        )
        for kind in ("image_url", "image", "file", "input_image", "input_file", "text-plain", "text")
        for field in ("image_url", "url", "base64", "source", "file", "mime_type", "text", "detail", "type")
    },
    "tool_calls": lambda value: answered(tool_calls=value),
    "name": lambda value: called(name=value),
    "arguments": lambda value: called(args=value),
    "id": lambda value: called(id=value),
    "onplan": lambda value: answered(additional_kwargs={"onplan": value}),
}


@odd(CALLS)
def test_an_odd_argument(signed_in: Emulator, name: str, call: Callable[[Any], object], value: Any) -> None:
    """It is taken, or refused in words that name it."""
    require_words(name, call, value, InvalidRequestError, ConfigurationError, ValidationError)


@pytest.mark.parametrize("block", ["image_url", "input_image", "image", "file"])
def test_a_file_of_this_machine(signed_in: Emulator, block: str) -> None:
    """No URL names one. The error says what LangChain has for it."""
    url = "file:///etc/passwd"
    with pytest.raises(InvalidRequestError) as caught:
        said([{"type": "text", "text": "See"}, {"type": block, "image_url": {"url": url}, "url": url}])
    said_of_it = str(caught.value)
    assert said_of_it.startswith("messages[0].content[1] cannot be sent: url is not a URL")
    assert '{"type": "' in said_of_it
    assert '"base64": …' in said_of_it
    assert "path=" not in said_of_it
