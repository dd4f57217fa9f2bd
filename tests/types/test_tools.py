"""Tools given as objects and as dicts, in the shapes of either API: as values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from onplan.errors import InvalidRequestError
from onplan.types import CompletionRequest, CustomTool, Grammar, HostedTool, Tool, ToolDefinition
from onplan.types.tools import read_tools

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = ToolDefinition("weather", "The weather", SCHEMA, strict=True)
SQL = CustomTool("sql", format=Grammar("regex", "a+"))
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
    "custom": (SQL, SQL),
    "custom, of Chat Completions": (
        {
            "type": "custom",
            "custom": {
                "name": "sql",
                "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
            },
        },
        SQL,
    ),
    "custom, of the Responses API": (
        {
            "type": "custom",
            "name": "sql",
            "format": {"type": "grammar", "syntax": "regex", "definition": "a+"},
        },
        SQL,
    ),
    "custom, any text": (
        {"type": "custom", "name": "note", "description": None, "format": {"type": "text"}},
        CustomTool("note"),
    ),
    "custom, a name alone": ({"type": "custom", "custom": {"name": "note"}}, CustomTool("note")),
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
    """A request with tools of all kinds survives JSON, and its tools are read as dicts, too."""
    tools = [WEATHER, HostedTool("web_search", {"a": 1}), SQL, CustomTool("note")]
    request = CompletionRequest(messages="Hi", tools=tools)
    written = msgspec.json.encode(request)

    assert msgspec.json.decode(written, type=CompletionRequest) == request
    assert read_tools(msgspec.json.decode(written)["tools"]) == request.tools


@pytest.mark.parametrize("tools", [len, [len]], ids=["alone", "in a list"])
def test_a_function_that_is_not_wrapped_is_refused(tools: Any) -> None:
    """A plain function is for `run`; the error says how to offer it without."""
    with pytest.raises(InvalidRequestError) as caught:
        read_tools(tools)
    assert caught.value.hint == "Only `run` takes functions. Here, wrap it: `onplan.tool(function)`."


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
        ([{"type": "custom"}], r"tools\[0\]\.name is missing"),
        ([{"type": "custom", "custom": {}}], r"tools\[0\]\.custom\.name is missing"),
        ([{"type": "custom", "name": "sql", "parameters": {}}], r"tools\[0\]\.parameters is not known"),
        ([{"type": "custom", "name": "sql", "format": 5}], r"tools\[0\]\.format is of the type int"),
        ([{"type": "custom", "name": "sql", "format": "json"}], r"tools\[0\]\.format is 'json'"),
        (
            [{"type": "custom", "name": "sql", "format": {"type": "xml"}}],
            r"tools\[0\]\.format\.type is wrong",
        ),
        (
            [
                {
                    "type": "custom",
                    "name": "sql",
                    "format": {"type": "grammar", "syntax": "peg", "definition": ""},
                }
            ],
            r"tools\[0\]\.format\.syntax is wrong",
        ),
        (
            [{"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar", "grammar": {}}}}],
            r"tools\[0\]\.custom\.format\.grammar\.syntax is missing",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(given: Any, says: str) -> None:
    """An error of ours that says where, and what to write instead."""
    with pytest.raises(InvalidRequestError, match=says) as caught:
        read_tools(given)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Grammar("peg", "a"), "syntax of a Grammar is not 'peg'"),  # type: ignore[arg-type]
        (lambda: Grammar("regex", re.compile("a")), "Grammar.definition is a string, and not Pattern"),  # type: ignore[arg-type]
        (lambda: ToolDefinition(5), "ToolDefinition.name is a string, and not int"),  # type: ignore[arg-type]
        (lambda: ToolDefinition("a", None), "ToolDefinition.description is a string"),  # type: ignore[arg-type]
        (lambda: ToolDefinition("a", strict="yes"), "ToolDefinition.strict is True or False"),  # type: ignore[arg-type]
        (lambda: CustomTool(5), "CustomTool.name is a string, and not int"),  # type: ignore[arg-type]
        (lambda: CustomTool("a", None), "CustomTool.description is a string"),  # type: ignore[arg-type]
        (lambda: CustomTool("a", format="json"), "CustomTool.format is 'json'"),  # type: ignore[arg-type]
    ],
)
def test_a_tool_is_checked_where_it_is_made(make: Callable[[], object], says: str) -> None:
    """Not when it is sent."""
    with pytest.raises(InvalidRequestError, match=says) as caught:
        make()
    assert caught.value.hint


def test_the_format_of_a_custom_tool_may_be_a_dict() -> None:
    """In the shape of either API."""
    grammar = {"syntax": "regex", "definition": "a+"}
    assert CustomTool("sql", format={"type": "grammar", **grammar}) == SQL
    assert CustomTool("sql", format={"type": "grammar", "grammar": grammar}) == SQL
    assert CustomTool("note", format={"type": "text"}) == CustomTool("note")
