"""Tools given as objects and as dicts, in the shapes of either API: as values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from onplan.errors import InvalidRequestError
from onplan.types import CompletionRequest, HostedTool, Tool, ToolDefinition
from onplan.types.tools import read_tools

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = ToolDefinition("weather", "The weather", SCHEMA, strict=True)
FIELDS = {"name": "weather", "description": "The weather", "parameters": SCHEMA, "strict": True}


class Model:
    """An object of the openai SDK, which is a model of pydantic."""

    def model_dump(self) -> dict[str, Any]:
        return {"type": "function", **FIELDS}


TOOLS: dict[str, tuple[Any, Tool]] = {
    "a function": (WEATHER, WEATHER),
    "of Chat Completions": ({"type": "function", "function": FIELDS}, WEATHER),
    "of the Responses API": ({"type": "function", **FIELDS}, WEATHER),
    "of the openai SDK": (Model(), WEATHER),
    "a name alone": ({"type": "function", "name": "now"}, ToolDefinition("now")),
    "absent fields": (
        {"type": "function", "function": {"name": "now", "description": None, "parameters": None}},
        ToolDefinition("now"),
    ),
    "hosted": (HostedTool("web_search"), HostedTool("web_search")),
    "hosted, as a dict": (
        {"type": "web_search", "search_context_size": "low"},
        HostedTool("web_search", {"search_context_size": "low"}),
    ),
    "hosted, as onplan writes it": (
        {"type": "hosted", "name": "web_search", "options": {"a": 1}},
        HostedTool("web_search", {"a": 1}),
    ),
}


@pytest.mark.parametrize(("given", "tool"), TOOLS.values(), ids=TOOLS)
def test_a_tool_may_be_a_dict(given: Any, tool: Tool) -> None:
    """Each shape becomes the tool that a program would have written with a class."""
    assert read_tools([given]) == [tool]
    assert CompletionRequest(messages="Hi", tools=(given,)).tools == [tool]


def test_what_onplan_writes_is_read_back() -> None:
    """A request with tools of both kinds survives JSON, and its tools are read as dicts, too."""
    request = CompletionRequest(messages="Hi", tools=[WEATHER, HostedTool("web_search", {"a": 1})])
    written = msgspec.json.encode(request)

    assert msgspec.json.decode(written, type=CompletionRequest) == request
    assert read_tools(msgspec.json.decode(written)["tools"]) == request.tools


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("weather", "tools has the wrong type: str"),
        ({"type": "function", "name": "now"}, "tools has the wrong type: dict"),
        (7, "tools has the wrong type: int"),
        ([7], r"tools\[0\] has the wrong type: int"),
        ([WEATHER, ToolDefinition], r"tools\[1\] has the wrong type: the class ToolDefinition"),
        ([{"name": "now"}], r"tools\[0\] has the wrong type: dict"),
        ([{"type": "function"}], r"tools\[0\]\.name is missing"),
        ([{"type": "function", "function": {}}], r"tools\[0\]\.function\.name is missing"),
        ([{"type": "function", "name": 5}], r"tools\[0\]\.name is wrong: expected `str`, got `int`"),
        ([{"type": "function", "name": "now", "colour": 5}], r"tools\[0\]\.colour is not known"),
        ([{"type": "hosted"}], r"tools\[0\]\.name is missing"),
        ([{"type": "custom", "name": "code"}], r"tools\[0\] is a custom tool"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(given: Any, says: str) -> None:
    """An error of ours that says where, and what to write instead."""
    with pytest.raises(InvalidRequestError, match=says) as caught:
        read_tools(given)
    assert caught.value.hint
