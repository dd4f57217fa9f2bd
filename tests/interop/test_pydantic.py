"""pydantic's types as response formats. `make interop` has pydantic beside us; nothing of ours imports it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn
from onplan.emulator.api.schema_instance import instance
from onplan.emulator.checks.schema import Subject, check_format_schema
from onplan.errors import InvalidRequestError, OutputError
from onplan.structured.output_format import output_format

pydantic = pytest.importorskip("pydantic")
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter  # noqa: E402
from pydantic.dataclasses import dataclass as pydantic_dataclass  # noqa: E402

pytestmark = [
    pytest.mark.interop,
    pytest.mark.stranger("pydantic", "models, adapters and dataclasses as response formats"),
]

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


class Bird(BaseModel):
    """A bird that was seen."""

    name: str = Field(description="its species", min_length=1)
    age: int = 3
    colour: Colour = Colour.RED
    friends: list[Bird] = []
    seen: datetime
    price: Decimal = Decimal(1)
    data: bytes = b""
    tags: set[int] = set()
    wing_span: float = Field(5.0, alias="wingSpan", ge=0)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tail: float


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Numbers(RootModel[list[int]]): ...


class Box(BaseModel, Generic[T]):
    item: T


class Nothing(BaseModel): ...


@pydantic_dataclass
class Checked:
    a: int


@dataclass
class Holder:
    cat: Cat
    count: int = 2


SEEN = "2026-11-30T07:00:00Z"
OWL = Bird(name="Owl", seen=datetime(2026, 11, 30, 7, tzinfo=UTC))
OWL_TEXT = json.dumps(
    {
        "name": "Owl",
        "seen": SEEN,
        **dict.fromkeys(("age", "colour", "friends", "price", "data", "tags", "wingSpan")),
    }
)

CAT = Cat(kind="cat", lives=9)
CAT_TEXT = '{"kind": "cat", "lives": 9}'

CASES: dict[str, tuple[Any, str, Any, bool, str]] = {
    "a model": (Bird, OWL_TEXT, OWL, True, "Bird"),
    "a list of models": (
        list[Cat],
        '{"value": [{"kind": "cat", "lives": 9}]}',
        [Cat(kind="cat", lives=9)],
        True,
        "",
    ),
    "several models": (Cat | Dog, '{"value": {"kind": "dog", "tail": 1}}', Dog(kind="dog", tail=1), True, ""),
    "told apart by a field": (
        Annotated[Cat | Dog, Field(discriminator="kind")],
        '{"value": {"kind": "dog", "tail": 1}}',
        Dog(kind="dog", tail=1),
        True,
        "",
    ),
    "a model or null": (Cat | None, '{"value": null}', None, True, ""),
    "an open model": (Open, '{"a": 1, "b": 2}', Open.model_validate({"a": 1, "b": 2}), False, "Open"),
    "a root model": (Numbers, '{"value": [1]}', Numbers([1]), True, "Numbers"),
    "a generic model": (Box[int], '{"item": 1}', Box[int](item=1), True, "Box_int_"),
    "an empty model": (Nothing, "{}", Nothing(), True, "Nothing"),
    "a dataclass of pydantic's": (Checked, '{"a": 1}', Checked(1), True, "Checked"),
    "a model in a dataclass": (
        Holder,
        '{"cat": {"kind": "cat", "lives": 9}, "count": null}',
        Holder(Cat(kind="cat", lives=9)),
        True,
        "Holder",
    ),
    "models by name": (
        dict[str, Cat],
        '{"a": {"kind": "cat", "lives": 9}}',
        {"a": Cat(kind="cat", lives=9)},
        False,
        "",
    ),
    "an adapter": (TypeAdapter(list[date]), '{"value": ["2026-11-30"]}', [date(2026, 11, 30)], True, ""),
    "a constraint": (Annotated[int, Field(ge=3)], '{"value": 3}', 3, True, ""),
}


@pytest.mark.parametrize(("given", "text", "value", "strict", "name"), CASES.values(), ids=CASES)
def test_each_kind(given: Any, text: str, value: Any, strict: bool, name: str) -> None:
    """Services take the schema, strictly where it can be, and the answer becomes what pydantic reads."""
    made = output_format(given)

    assert (made.strict, made.name) == (strict, name or "response")
    check_format_schema(made.schema, Subject("response_format 'r'", "text.format", None), strict=strict)
    assert made.parse(text) == value
    made.parse(json.dumps(instance(made.schema)))


def test_descriptions_are_kept() -> None:
    """What pydantic says of a field reaches the model, and what strict mode cannot hold is told in words."""
    properties = output_format(Bird).schema["properties"]

    assert properties["name"]["description"] == "its species. Shortest length: 1."
    assert properties["wingSpan"]["anyOf"][0]["minimum"] == 0


MISFITS: dict[str, tuple[Any, str, str]] = {
    "a type": (Bird, f'{{"name": "x", "seen": "{SEEN}", "friends": [{{"name": 3}}]}}', "$.friends[0].name"),
    "a limit": (Annotated[int, Field(ge=3)], '{"value": 1}', "$"),
    "a length": (Bird, f'{{"name": "", "seen": "{SEEN}"}}', "$.name"),
}


@pytest.mark.parametrize(("given", "text", "path"), MISFITS.values(), ids=MISFITS)
def test_misfits(given: Any, text: str, path: str) -> None:
    """What pydantic complains of is told with its place."""
    with pytest.raises(OutputError) as caught:
        output_format(given).parse(text)

    assert caught.value.path == path


class Unfinished(BaseModel):
    other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037


class Unspeakable(BaseModel):
    function: Callable[[int], int]


@pytest.mark.parametrize("given", [Unfinished, Unspeakable])
def test_models_without_a_schema(given: Any) -> None:
    """A model that has no JSON schema is refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="response_format cannot be used"):
        output_format(given)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.mark.stranger("pydantic", "values of runs, maps, conversations and streams, over sockets")
def test_values_of_every_way_to_ask(signed_in: Emulator) -> None:
    """What ``run``, ``map``, a conversation and a stream answer is a model, too."""
    lookup = Call("weather", {"city": "Oslo"})
    signed_in.play(Turn(tool_calls=[lookup]), *[Turn(text=CAT_TEXT)] * 6)
    with onplan.Client(model="gpt-5.5") as client:
        ran = client.run("A cat?", tools=[weather], response_format=Cat)
        mapped = [result.response_or_raise() for result in client.map(["A?", "B?"], response_format=Cat)]
        talk = client.conversation()
        said = talk.say("A cat?", response_format=Cat)
        with talk.stream("Again?", response_format=Cat) as stream:
            streamed = stream.read()
        run_in_talk = talk.run("And again?", tools=[weather], response_format=Cat)

    assert signed_in.turns_left == 0
    assert [answer.parsed for answer in (ran, *mapped, said, streamed, run_in_talk)] == [CAT] * 6


async def test_values_of_every_way_to_ask_asynchronously(signed_in: Emulator) -> None:
    """``AsyncClient`` answers the same."""
    lookup = Call("weather", {"city": "Oslo"})
    signed_in.play(Turn(tool_calls=[lookup]), *[Turn(text=CAT_TEXT)] * 3)
    async with onplan.AsyncClient(model="gpt-5.5", transport="sse") as client:
        ran = await client.run("A cat?", tools=[weather], response_format=Cat)
        mapped = [result async for result in client.map(["A?"], response_format=Cat)]
        said = await client.conversation().say("A cat?", response_format=Cat)

    assert (ran.parsed, mapped[0].response_or_raise().parsed, said.parsed) == (CAT, CAT, CAT)


def test_functions_get_models_and_return_them(signed_in: Emulator) -> None:
    """A parameter that is a model arrives as one; arguments that it refuses are told; a result is JSON."""
    seen: list[Bird] = []

    def record(bird: Bird) -> Cat:
        """Record a bird."""
        seen.append(bird)
        return CAT

    wrong = json.loads(OWL_TEXT) | {"name": ""}
    calls = [Call("record", {"bird": json.loads(OWL_TEXT)}), Call("record", {"bird": wrong})]
    signed_in.play(Turn(tool_calls=calls), Turn(text="Well."))
    with onplan.Client(model="gpt-5.5") as client:
        answer = client.run("Record them.", tools=[record])

    assert seen == [OWL]
    assert [run.outcome for run in answer.steps[0].calls] == ["returned", "wrong_arguments"]
    assert json.loads(str(answer.steps[0].calls[0].result.content)) == {"kind": "cat", "lives": 9}


def test_a_misfit_is_repaired(signed_in: Emulator) -> None:
    """The model is told in pydantic's words what is wrong."""
    signed_in.play(Turn(text='{"kind": "cat", "lives": "nine"}'), Turn(text=CAT_TEXT))
    with onplan.Client(model="gpt-5.5") as client:
        answer = client.complete("A cat?", response_format=Cat, repairs=1)

    assert (answer.parsed, answer.repairs) == (CAT, 1)
    told = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses")][-1]["input"]
    assert "$.lives" in json.dumps(told[-1])
