"""The fields of a request: what is refused where it is made."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.errors import InvalidRequestError
from onplan.types import CompletionRequest, ToolChoice, ToolDefinition

REQUESTS: dict[str, dict[str, Any]] = {
    "no messages at all": {"messages": None},
    "a tool of a dictionary": {"messages": "hi", "tools": [{"type": "function"}]},
    "tools in a string": {"messages": "hi", "tools": "look"},
    "a model that is a number": {"messages": "hi", "model": 5},
    "a temperature in words": {"messages": "hi", "temperature": "high"},
    "half a token": {"messages": "hi", "max_tokens": 1.5},
    "no tokens": {"messages": "hi", "max_tokens": 0},
    "an empty stop": {"messages": "hi", "stop": ["END", ""]},
    "True tokens": {"messages": "hi", "max_tokens": True},
    "a number for a yes": {"messages": "hi", "parallel_tool_calls": 1},
    "a stop that is a number": {"messages": "hi", "stop": [5]},
    "metadata in a list": {"messages": "hi", "metadata": ["a"]},
    "metadata that is a number": {"messages": "hi", "metadata": {"a": 5}},
}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_request_of_the_wrong_types_is_refused_where_it_is_made(fields: dict[str, Any]) -> None:
    """By an error of ours that names the field and says what belongs there."""
    with pytest.raises(InvalidRequestError) as caught:
        CompletionRequest(**fields)
    assert caught.value.hint.startswith(("Give it", "Leave it out", "See https://"))


@pytest.mark.parametrize("choice", ["weather", 5, ["auto"], ToolDefinition("weather")])
def test_a_tool_choice_is_a_word_or_names_a_tool(choice: Any) -> None:
    """A name alone could be one of the words, so it is given as ``ToolChoice``."""
    with pytest.raises(InvalidRequestError, match="neither auto, none nor required") as caught:
        CompletionRequest(messages="Hi", tool_choice=choice)
    assert "ToolChoice(NAME)" in caught.value.hint
    assert CompletionRequest(messages="Hi", tool_choice=ToolChoice("weather")).tool_choice


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("web_search", "web_search"),
        ("image_generation", "image_generation"),
        ({"type": "web_search"}, "web_search"),
        ({"type": "function", "name": "weather"}, "weather"),
        ({"type": "function", "function": {"name": "weather"}}, "weather"),
        ({"type": "custom", "name": "sql"}, "sql"),
        ({"type": "custom", "custom": {"name": "sql"}}, "sql"),
    ],
)
def test_a_tool_choice_may_have_the_shapes_of_openais_apis(choice: Any, name: str) -> None:
    """A hosted tool is named by its type, as there."""
    request = CompletionRequest(messages="Hi", tool_choice=choice)
    assert request.tool_choice == ToolChoice(name)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"type": 5},
        {"type": "function"},
        {"type": "function", "function": {}},
        {"type": "function", "name": ""},
        {"type": "function", "name": 5},
        {"type": "allowed_tools", "mode": "auto", "tools": []},
    ],
)
def test_a_tool_choice_that_names_no_tool_is_refused(choice: Any) -> None:
    """It is not sent as something else."""
    with pytest.raises(InvalidRequestError, match="neither auto, none nor required"):
        CompletionRequest(messages="Hi", tool_choice=choice)


def test_lists_and_dicts_may_be_absent() -> None:
    """None is the same as nothing, as other libraries say that there are none."""
    request = CompletionRequest(messages="Hi", tools=None, stop=None, metadata=None, extra_body=None)

    assert request == CompletionRequest(messages="Hi")
    assert (request.tools, request.stop, request.metadata, request.extra_body) == ([], [], {}, {})


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["me"] = circle
    return circle


@pytest.mark.parametrize("given", [{"a": object()}, {"a": "\ud800"}, {"a": 1 + 2j}, _circle()])
def test_an_extra_body_that_is_no_json(given: dict[str, Any]) -> None:
    """It is refused where it is given."""
    with pytest.raises(InvalidRequestError, match="extra_body"):
        CompletionRequest(messages="Hi", extra_body=given)
