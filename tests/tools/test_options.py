"""What a run is started with: a request, tools, and the keywords beside it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

import onplan
from onplan.structured.output_format import output_format
from onplan.tools.loop import Ask
from onplan.tools.options import started
from onplan.tools.toolbox import toolbox_of
from onplan.types import read_by

DEFINITION = onplan.ToolDefinition(name="other")


@dataclass
class Said:
    text: str


def weather(city: str) -> str:
    """The weather."""
    return city


def first(request: Any = "hi", defaults: Any = None, **options: Any) -> onplan.CompletionRequest:
    step = next(started(request, options, defaults or {}))  # type: ignore[arg-type]
    assert isinstance(step, Ask)
    return step.request


def test_a_run_is_a_request_with_tools() -> None:
    """The keywords of a request are its fields, and the client's defaults hold."""
    request = first(tools=[weather], model="x", max_turns=2, defaults={"verbosity": "low"})
    assert (request.model, request.verbosity, request.messages[0].text) == ("x", "low", "hi")
    assert [tool.name for tool in request.tools] == ["weather"]


def test_a_run_may_be_approved() -> None:
    """By any function of the call; None is no approval."""
    for approve in (lambda call: True, None):
        assert first(tools=[weather], approve=approve).messages[0].text == "hi"


def test_the_tools_may_stand_in_the_request() -> None:
    """If there are no others."""
    request = onplan.CompletionRequest(messages="hi", tools=[onplan.tool(weather)])
    assert [tool.name for tool in first(request).tools] == ["weather"]


def test_hosted_tools_are_offered_and_not_carried_out() -> None:
    """Also as dicts; the order is kept."""
    box = toolbox_of([onplan.HostedTool("web_search"), weather, {"type": "image_generation"}])
    assert [tool.name for tool in box.offered] == ["web_search", "weather", "image_generation"]
    assert list(box.functions) == ["weather"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "There are no tools to run"),
        ({"tools": None}, "There are no tools to run"),
        ({"tools": []}, "There are no tools to run"),
        ({"tools": "weather"}, "tools has the wrong type: str"),
        ({"tools": {"weather": weather}}, "tools has the wrong type: dict"),
        ({"tools": 5}, "tools has the wrong type: int"),
        ({"tools": [weather, weather]}, "Two tools are called weather"),
        ({"tools": [DEFINITION]}, "The tool other has no function"),
        ({"tools": [{"type": "function", "name": "other"}]}, "The tool other has no function"),
        ({"tools": [weather], "aprove": True}, "run has no option 'aprove'"),
        ({"tools": [weather], "repair": 1}, "run has no option 'repair'"),
        ({"tools": [weather], "max_turn": 1}, "run has no option 'max_turn'"),
        ({"tools": [weather], "token_budgets": 1}, "run has no option 'token_budgets'"),
        ({"tools": [weather], "modle": "x"}, "A request has no field 'modle'"),
        ({"tools": [weather], "approve": True}, "approve cannot be called"),
        ({"tools": [weather], "on_tool_error": "skip"}, "on_tool_error is 'skip'"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], sentence: str) -> None:
    """When the run is started, with a hint."""
    with pytest.raises(onplan.InvalidRequestError) as raised:
        first(**options)
    assert sentence in raised.value.message
    assert raised.value.hint


def test_an_answer_of_a_run_can_be_sent_to_another_process() -> None:
    """With its steps, its conversation and its value."""
    message = onplan.Message.assistant('{"text": "Well."}')
    response: onplan.RunResponse[Any] = onplan.RunResponse(
        message=message,
        usage=onplan.Usage(1, 2, 3),
        finish_reason=onplan.FinishReason.STOP,
        model="x",
        messages=[message],
        steps=[onplan.Step(None)],
    )
    read_by(response, output_format(Said))
    copied = pickle.loads(pickle.dumps(response))
    assert copied.parsed == response.parsed == Said("Well.")
    assert (copied, copied.steps, type(copied)) == (response, response.steps, onplan.RunResponse)
