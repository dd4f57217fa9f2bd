"""Structured output over sockets, for both clients and every backend: what is sent, read and repaired."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec
import pytest

import onplan
from onplan import CompletionRequest, FinishReason, Message, RetryPolicy, Usage
from onplan.emulator import Call, Emulator, Turn

from .test_answers import WEATHER, bodies
from .test_openai_backend import api, over_http, platform

__all__ = ["api", "platform"]

ONCE = RetryPolicy(attempts=1)


@dataclass
class Bird:
    """A bird that was seen."""

    name: str
    age: int = 5
    tags: list[str] = field(default_factory=list)


class Fish(TypedDict):
    name: str


class Tree(msgspec.Struct, tag=True):
    height: float


class Rock(msgspec.Struct, tag=True):
    weight: float


class Colour(enum.Enum):
    RED = "red"


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}

# What is asked for, what the emulator's model makes of its schema, and whether it is sent as strict.
CASES: dict[str, tuple[Any, Any, bool]] = {
    "a dataclass": (Bird, Bird("text", 0, []), True),
    "a TypedDict": (Fish, {"name": "text"}, True),
    "tagged Structs": (Tree | Rock, Tree(0), True),
    "an Enum": (Colour, Colour.RED, True),
    "an int": (int, 0, True),
    "a list": (list[Bird], [], True),
    "an object or null": (Bird | None, Bird("text", 0, []), True),
    "a dict": (dict[str, int], {}, False),
    "a schema": (SCHEMA, {"n": 3}, True),
    "a schema in the wrapper of an API": (
        {"type": "json_schema", "json_schema": {"name": "number", "schema": SCHEMA, "strict": False}},
        {"n": 3},
        False,
    ),
}


@pytest.mark.parametrize(("given", "value", "strict"), CASES.values(), ids=CASES)
def test_an_answer_has_the_value_that_was_asked_for(
    signed_in: Emulator, driver: Any, given: Any, value: Any, strict: bool
) -> None:
    """The backend takes the schema, the model obeys it, and the answer has a value of the type."""
    answer = driver().complete("A bird", response_format=given)

    assert answer.parsed == value
    assert type(answer.parsed) is type(value)
    assert bodies(signed_in)[-1]["text"]["format"]["strict"] is strict


@over_http
@pytest.mark.parametrize("given", [Bird, list[Bird], dict[str, int], SCHEMA], ids=str)
def test_an_answer_of_the_platform(platform: Emulator, driver: Any, api: str, given: Any) -> None:
    """Either API of the platform takes the schemas, too."""
    expected = next(value for wanted, value, _ in CASES.values() if wanted == given)

    assert driver().complete("A bird", response_format=given).parsed == expected


def test_the_last_chunk_of_a_stream_has_the_value(signed_in: Emulator, driver: Any) -> None:
    """The text arrives piece by piece, and the response at its end can be read."""
    chunks = driver().chunks(CompletionRequest(messages="A bird", response_format=Bird))

    assert chunks[-1].type == "done"
    assert chunks[-1].response.parsed == Bird("text", 0, [])
    assert json.loads("".join(chunk.text for chunk in chunks if chunk.type == "text"))["name"] == "text"


def test_a_stream_that_was_read_has_the_value(signed_in: Emulator) -> None:
    """It is in the response, once the stream has been read to its end."""
    with onplan.Client() as client, client.stream("A bird", response_format=Bird) as stream:
        text = "".join(stream.text)

    assert json.loads(text)["name"] == "text"
    assert stream.response.parsed == Bird("text", 0, [])


async def test_an_asynchronous_stream_has_the_value_too(signed_in: Emulator) -> None:
    """As with the synchronous client."""
    async with (
        onplan.AsyncClient() as client,
        client.stream("Birds", response_format=list[Bird]) as stream,
    ):
        assert (await stream.read()).parsed == []


def test_null_stands_for_a_default(signed_in: Emulator, driver: Any) -> None:
    """A strict schema requires all properties; the model says null where it would leave one out."""
    signed_in.play(Turn(text='{"name": "Owl", "age": null, "tags": null}'))

    assert driver().complete("A bird", response_format=Bird).parsed == Bird("Owl")


def test_an_answer_that_does_not_fit(signed_in: Emulator, driver: Any) -> None:
    """The answer is there all the same; asking for its value says where the text does not fit."""
    signed_in.play(Turn(text='{"name": "Owl", "age": "old", "tags": []}'))
    answer = driver().complete("A bird", response_format=Bird)

    assert answer.finish_reason is FinishReason.STOP
    with pytest.raises(onplan.OutputError, match="expected `int`, got `str`") as caught:
        _ = answer.parsed
    assert caught.value.path == "$.age"
    assert caught.value.text == answer.text == '{"name": "Owl", "age": "old", "tags": []}'
    assert len(bodies(signed_in)) == 1


WRONG = Turn(text="An owl.", input_tokens=10, output_tokens=2)
RIGHT = Turn(text='```json\n{"name": "Owl", "age": 3}\n```', input_tokens=20, output_tokens=4)


def test_the_model_corrects_itself_once(signed_in: Emulator, driver: Any) -> None:
    """It is told in the same conversation what does not fit; the usage is that of both answers."""
    signed_in.play(WRONG, RIGHT)
    answer = driver().complete("A bird", response_format=Bird, repairs=1, session_id="birds")

    assert (answer.parsed, answer.repairs) == (Bird("Owl", 3), 1)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (30, 6)
    first, second = bodies(signed_in)
    assert first["text"] == second["text"]
    assert first.get("prompt_cache_key") == second.get("prompt_cache_key")
    told = json.dumps(second["input"][-1])
    assert "That answer cannot be used: it is not JSON" in told


def test_a_repair_in_vain(signed_in: Emulator, driver: Any) -> None:
    """No more is asked than the program allows; the last answer says what is wrong with it."""
    signed_in.play(WRONG, WRONG, RIGHT)
    answer = driver().complete("A bird", response_format=Bird, repairs=1)

    with pytest.raises(onplan.OutputError, match="it is not JSON"):
        _ = answer.parsed
    assert (answer.repairs, len(bodies(signed_in)), signed_in.turns_left) == (1, 2, 1)


def test_an_answer_that_fits_costs_one_turn(signed_in: Emulator, driver: Any) -> None:
    """Repairs that are not needed are not made."""
    answer = driver().complete("A bird", response_format=Bird, repairs=1)

    assert (answer.repairs, len(bodies(signed_in))) == (0, 1)


ENDINGS: dict[str, tuple[Turn, type[onplan.OutputError], str]] = {
    "a refusal": (Turn(fault="refusal"), onplan.OutputRefusedError, "I'm sorry, but I can't help with that."),
    "a cut": (
        Turn(text='{"name', fault="incomplete_max_output_tokens"),
        onplan.OutputTruncatedError,
        '{"name',
    ),
    "a filter": (
        Turn(text='{"name', fault="incomplete_content_filter"),
        onplan.OutputRefusedError,
        '{"name',
    ),
    "calls": (Turn(tool_calls=[Call("weather", {"city": "Oslo"})]), onplan.OutputError, ""),
}


@pytest.mark.parametrize(("turn", "kind", "text"), ENDINGS.values(), ids=ENDINGS)
def test_an_answer_that_has_no_value(
    signed_in: Emulator, driver: Any, turn: Turn, kind: type[onplan.OutputError], text: str
) -> None:
    """A refusal, a cut answer and calls are what they are, and are not asked again."""
    signed_in.play(turn)
    answer = driver(retry=ONCE).complete("A bird", response_format=Bird, repairs=1, tools=[WEATHER])

    with pytest.raises(kind) as caught:
        _ = answer.parsed
    assert caught.value.text == text
    assert len(bodies(signed_in)) == 1


def test_what_has_no_schema_is_refused_before_anything_is_sent(signed_in: Emulator, driver: Any) -> None:
    """The error says so where the request is made."""
    with pytest.raises(onplan.InvalidRequestError, match="response_format cannot be used"):
        driver().complete("A bird", response_format=object)
    with pytest.raises(onplan.InvalidRequestError, match="no response_format"):
        driver().complete("A bird", repairs=1)

    assert bodies(signed_in) == []


def test_a_conversation_goes_on_after_a_value(signed_in: Emulator, driver: Any) -> None:
    """The message of a typed answer is a message like any other."""
    answer = driver().complete("A bird", response_format=Bird)
    history = [Message.user("A bird"), answer.message, Message.user("Another")]

    assert driver().complete(history).text == "You said: Another"
    assert isinstance(answer.usage, Usage)
