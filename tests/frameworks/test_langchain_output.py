"""Typed output of LangChain on the plan."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

pytest.importorskip("langchain_core")

from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from typing_extensions import TypedDict

from onplan.integrations.langchain import ChatOnplan

from .langchain_model import BIRD, Bird, bodies, model, weather  # noqa: F401


@dataclass
class Plane:
    """A class that is neither pydantic's nor a TypedDict."""

    name: str
    wingspan: int = 30


class BirdDict(TypedDict):
    """A bird, as a dict."""

    name: str
    wingspan: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Bird, BirdDict, Bird.model_json_schema()])
async def test_structured_output(model: ChatOnplan, signed_in: Emulator, method: Any, schema: Any) -> None:
    """By each method, from each kind of schema, sync, async and streamed."""
    name = "Bird" if schema is not BirdDict else "BirdDict"
    said = (
        Turn(tool_calls=[Call(name, json.loads(BIRD))]) if method == "function_calling" else Turn(text=BIRD)
    )
    signed_in.play(said, said, said, said)
    typed = model.with_structured_output(schema, method=method)
    found = [typed.invoke("A bird"), await typed.ainvoke("A bird")]
    *_, last = typed.stream("A bird")
    *_, async_last = [part async for part in typed.astream("A bird")]
    for value in [*found, last, async_last]:
        read = value.model_dump() if schema is Bird else value
        assert read == {"name": "Wren", "wingspan": 15}


def test_structured_output_of_other_classes(model: ChatOnplan, signed_in: Emulator) -> None:
    """onplan reads more than LangChain does: dataclasses, lists, and null for a default in strict mode."""
    jumbo = '{"name": "Jumbo", "wingspan": null}'
    signed_in.play(Turn(text=jumbo), Turn(text=f'{{"value": [{jumbo}]}}'))
    assert model.with_structured_output(Plane).invoke("?") == Plane("Jumbo")
    assert model.with_structured_output(list[Plane]).invoke("?") == [Plane("Jumbo")]
    untitled = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert model.with_structured_output(untitled).invoke("?").keys() == {"a"}
    assert all(body["text"]["format"]["strict"] is True for body in bodies(signed_in))


@pytest.mark.parametrize(("strict", "sent"), [(None, True), (True, True), (False, False)])
def test_strict_schemas(model: ChatOnplan, signed_in: Emulator, strict: Any, sent: bool) -> None:
    """Where the schema allows it the backend holds the model to it, unless it is told not to."""
    model.with_structured_output(Bird, strict=strict).invoke("?")
    [body] = bodies(signed_in)
    assert body["text"]["format"]["strict"] is sent
    assert body["text"]["format"]["name"] == "Bird"


def test_include_raw(model: ChatOnplan, signed_in: Emulator) -> None:
    """The message is beside the value, or beside the error."""
    signed_in.play(Turn(text=BIRD), Turn(text='{"name": 7}'))
    typed = model.with_structured_output(Bird, include_raw=True)
    good, bad = typed.invoke("?"), typed.invoke("?")
    assert good["parsed"] == Bird(name="Wren", wingspan=15)
    assert good["parsing_error"] is None
    assert bad["parsed"] is None
    assert isinstance(bad["parsing_error"], OutputParserException)
    assert bad["raw"].content == '{"name": 7}'


@pytest.mark.parametrize("schema", [Bird, BirdDict])
@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_half_answers_have_no_value(
    model: ChatOnplan, signed_in: Emulator, schema: Any, how: str, method: Any
) -> None:
    """Neither cut answers nor refusals become values, although LangChain completes JSON that is cut off."""
    typed = model.with_structured_output(schema, method=method)
    refused: Any = getattr(exceptions, "ModelRefusalError", OutputParserException)
    for fault, error in (("incomplete_max_output_tokens", OutputParserException), ("refusal", refused)):
        signed_in.arm(fault, 1)
        with pytest.raises(error):
            typed.invoke("?") if how == "invoke" else list(typed.stream("?"))


def test_typed_output_beside_tools(model: ChatOnplan, signed_in: Emulator) -> None:
    """The model may call a tool before it answers; then there is no value yet."""
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]))
    result = model.with_structured_output(Bird, tools=[weather], include_raw=True).invoke("?")
    assert result["parsed"] is None
    assert result["parsing_error"] is None
    assert result["raw"].tool_calls


@pytest.mark.parametrize(
    ("schema", "options", "words"),
    [
        (Bird, {"method": "json"}, "no method 'json'"),
        (Bird, {"method": "json_mode", "strict": True}, "strict says nothing"),
        (None, {}, "needs a schema"),
        (Bird, {"method": "function_calling", "tool_choice": "any"}, "tool_choice"),
        (5, {}, "response_format cannot be used"),
        (onplan.web_search(), {"method": "function_calling"}, "of another kind"),
        (dict[str, int], {"strict": True}, "cannot be strict"),
    ],
)
def test_typed_output_that_cannot_be(model: ChatOnplan, schema: Any, options: Any, words: str) -> None:
    """Wrong arguments are said where they are given."""
    with pytest.raises(onplan.InvalidRequestError, match=words):
        model.with_structured_output(schema, **options)
