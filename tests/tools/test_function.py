"""Functions described to a model, and the model's arguments read for them."""

from __future__ import annotations

import copy
import enum
import functools
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

import onplan
from onplan.tools.function import is_async
from onplan.tools.parameters import Arguments, WrongArgumentsError


class Unit(enum.Enum):
    """Degrees."""

    CELSIUS = "C"
    FAHRENHEIT = "F"


@dataclass
class Place:
    """Where."""

    latitude: float
    longitude: Annotated[float, "East is positive."] = 0.0


class Wish(TypedDict):
    """What is wanted."""

    wind: bool


class Bird(msgspec.Struct):
    """A bird."""

    name: str


class Pair(NamedTuple):
    """Two numbers."""

    one: int
    other: int


def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """The weather in a city.

    Of today.

    Args:
        city: its name, in any language.
        unit: of the temperature.
    """
    return f"{city} {unit}"


def read(function: Callable[..., Any], arguments: str) -> Any:
    """What the function returns for what a model wrote."""
    tool = onplan.tool(function)
    given = tool.reader.read(arguments)
    return tool(*given.positional, **given.named)


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = onplan.tool(function).parameters["properties"]
    return found


def test_a_function_is_described_by_its_signature_and_docstring() -> None:
    """Name, description, types, texts and defaults; closed, so that it can be strict."""
    tool = onplan.tool(weather)
    assert (tool.name, tool.description) == ("weather", "The weather in a city.\n\nOf today.")
    assert tool.parameters["properties"]["city"] == {
        "type": "string",
        "description": "its name, in any language.",
    }
    unit = str(tool.parameters["properties"]["unit"])
    assert 'of the temperature. Default: "C".' in unit
    assert tool.parameters["additionalProperties"] is False
    assert "title" not in tool.parameters
    assert isinstance(tool, onplan.ToolDefinition)


def test_a_tool_can_be_called_like_its_function() -> None:
    """Also where it decorates it, with another name, description or schema."""

    @onplan.tool
    def plain(city: str) -> str:
        return city

    @onplan.tool(name="other", description="Other.")
    def named(city: str) -> str:
        return city

    assert (plain("Oslo"), named(city="Rome")) == ("Oslo", "Rome")
    assert (plain.name, named.name, named.description) == ("plain", "other", "Other.")
    again = onplan.tool(named, name="again")
    assert (again.name, again.description, again.function) == ("again", "Other.", named.function)


def test_what_a_model_leaves_out_keeps_the_default_of_the_function() -> None:
    """Also where a strict schema makes the model write null for it."""
    assert read(weather, '{"city": "Oslo"}') == "Oslo C"
    assert read(weather, '{"city": "Oslo", "unit": null}') == "Oslo C"
    assert read(weather, '{"city": "Oslo", "unit": "F"}') == "Oslo F"


def test_arguments_become_what_the_annotations_say() -> None:
    """Enumerations, dates, classes of every kind, and what is made of them."""

    def everything(
        unit: Unit,
        day: date,
        place: Place,
        wish: Wish,
        bird: Bird,
        pair: Pair,
        *,
        count: int | None,
        names: list[str],
        numbers: dict[str, int],
    ) -> tuple[Any, ...]:
        return unit, day, place, wish, bird, pair, count, names, numbers

    written = (
        '{"unit": "F", "day": "2026-11-30", "place": {"latitude": 1.5}, "wish": {"wind": true}, '
        '"bird": {"name": "owl"}, "pair": [1, 2], "count": null, "names": ["a"], "numbers": {"b": 2}}'
    )
    assert read(everything, written) == (
        Unit.FAHRENHEIT,
        date(2026, 11, 30),
        Place(1.5, 0.0),
        {"wind": True},
        Bird("owl"),
        Pair(1, 2),
        None,
        ["a"],
        {"b": 2},
    )


def test_parameters_without_annotations_have_the_type_of_their_default() -> None:
    """Without one, anything."""

    def guess(anything, count=5, flag=False, other=()):  # type: ignore[no-untyped-def]
        return anything, count, flag, other

    described = onplan.tool(guess).parameters
    assert described["properties"]["anything"] == {}
    assert described["properties"]["count"]["type"] == "integer"
    assert described["properties"]["flag"]["type"] == "boolean"
    assert described["required"] == ["anything"]
    assert read(guess, '{"anything": [1], "count": 2}') == ([1], 2, False, ())


def test_text_in_an_annotation_has_priority() -> None:
    """It stands nearer to the parameter; without any, the default is said alone."""

    def near(
        city: Annotated[str, "Near."], count: Annotated[int, "How many."] = 2, more: float = 1.5
    ) -> None:
        """X.

        Args:
            city: Far.
        """

    found = properties(near)
    assert found["city"]["description"] == "Near."
    assert "How many. Default: 2." in str(found["count"])
    assert "Default: 1.5." in str(found["more"])


def test_words_of_the_docstring_are_for_types_of_every_kind() -> None:
    """Beside a reference and to a union there are none, for strict mode would refuse them."""

    def say(city: str, unit: Unit, count: int | None = None, place: Place | None = None) -> None:
        """X.

        Args:
            city: Where.
            unit: The unit.
            count: How many.
            place: The place.
        """

    found = properties(say)
    assert found["city"]["description"] == "Where."
    assert found["count"]["description"].startswith("How many.") or "How many." in str(found["count"])
    assert "Default" not in str(found)


def test_a_parameter_called_self_is_one_if_it_has_a_type() -> None:
    """Only a bare one is that of a method without its object."""

    def about(self: str, cls: int = 1) -> str:
        return f"{self}{cls}"

    assert read(about, '{"self": "a"}') == "a1"


def test_blanks_are_no_arguments() -> None:
    """Some models write a line end where there is nothing to say."""

    def nothing() -> str:
        return "done"

    for text in ("", " \n", "{}"):
        assert read(nothing, text) == "done"


class Doc:
    """As ``typing_extensions.Doc`` is (PEP 727)."""

    def __init__(self, documentation: str) -> None:
        self.documentation = documentation


def test_text_in_a_doc() -> None:
    """What an annotation says by PEP 727; other remarks say nothing."""

    def near(city: Annotated[str, 5, Doc("Near.")]) -> None:
        """X.

        Args:
            city: Far.
        """

    assert properties(near)["city"]["description"] == "Near."


def test_what_may_be_left_out_may_come_first() -> None:
    """Parameters that are given by name have any order."""

    def say(one: int = 1, *, two: str) -> str:
        return f"{one}{two}"

    assert read(say, '{"two": "b"}') == "1b"


class Model:
    """As a model of pydantic is."""

    __pydantic_core_schema__ = ()


class TypeAdapter:
    """In the place of pydantic's, which describes no field of a dataclass."""

    def __init__(self, type_: Any) -> None: ...

    def json_schema(self) -> dict[str, Any]:
        fields = {
            "model": {"$ref": "#/$defs/Model"},
            "city": {"type": "string"},
            "unit": {"type": "string", "description": "Its own."},
            "either": {"anyOf": [{"type": "string", "description": "Of a branch."}, {"type": "null"}]},
            "silent": {"type": "string"},
        }
        model = {"type": "object", "properties": {}, "additionalProperties": False}
        return {
            "type": "object",
            "title": "Arguments",
            "properties": fields,
            "required": list(fields),
            "$defs": {"Model": model},
        }

    def validate_json(self, data: bytes, /) -> Any: ...


def test_what_pydantic_does_not_describe_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the docstring; what has words of its own, and a reference, stays as it is."""
    pydantic = ModuleType("pydantic")
    pydantic.TypeAdapter = TypeAdapter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pydantic", pydantic)

    def say(model: Model, city: str, unit: str, either: str | None, silent: str) -> None:
        """X.

        Args:
            model: Far.
            city: Far.
            unit: Far.
            either: Far.
        """

    found = onplan.tool(say).parameters
    described = {name: field.get("description") for name, field in found["properties"].items()}
    assert described == {"model": None, "city": "Far.", "unit": "Its own.", "either": None, "silent": None}
    assert "title" not in found


def test_only_a_closed_schema_is_strict() -> None:
    """Whether another one is to be strict is left to the backend."""

    def say(city: str) -> None: ...

    def guess(anything: Any) -> None: ...

    assert [onplan.tool(each).strict for each in (say, guess)] == [True, None]


class Waits:
    async def __call__(self) -> None: ...


async def _waits() -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (weather, False),
        (_waits, True),
        (Waits(), True),
        (dict, False),
        (functools.partial(_waits), True),
    ],
    ids=["a function", "asynchronous", "an object", "a class", "a partial"],
)
def test_which_functions_are_asynchronous(function: Callable[..., Any], expected: bool) -> None:
    """They are awaited, the others run on a thread."""
    assert is_async(function) is expected


def test_a_default_that_is_no_json_is_not_told() -> None:
    """It is the function's own affair."""
    nothing: Any = object()

    def keep(city: str = nothing) -> bool:
        return city is nothing

    assert "Default" not in str(properties(keep))
    assert read(keep, "{}")


def test_positional_only_parameters_are_given_by_position() -> None:
    """One that is left out has its default."""

    def divide(one: int, other: int = 2, /, *, digits: int = 1) -> float:
        return round(one / other, digits)

    assert read(divide, '{"one": 5}') == 2.5
    assert read(divide, '{"one": 5, "other": 3, "digits": 2}') == 1.67


class Station:
    """A place where the weather is measured."""

    def __init__(self, city: str) -> None:
        self.city = city

    def wind(self, unit: str) -> str:
        """The wind here."""
        return f"{self.city} {unit}"

    @classmethod
    def count(cls, country: str) -> str:
        """How many there are."""
        return f"{cls.__name__} {country}"

    def __call__(self, unit: str) -> str:
        """All that is measured."""
        return f"{self.city} {unit}"


class Silent:
    """A class that says more than its call."""

    def __call__(self, unit: str) -> str:
        return unit


def test_methods_and_objects_are_functions() -> None:
    """Of an object, of a class, and objects that can be called; these have the name of their class."""
    station = Station("Oslo")
    assert read(station.wind, '{"unit": "m/s"}') == "Oslo m/s"
    assert read(Station.count, '{"country": "NO"}') == "Station NO"
    assert read(station, '{"unit": "C"}') == "Oslo C"
    assert [onplan.tool(each).description for each in (station.wind, station, Silent())] == [
        "The wind here.",
        "All that is measured.",
        "A class that says more than its call.",
    ]
    assert onplan.tool(station).name == "Station"


def test_what_a_partial_holds_is_not_the_models_to_choose() -> None:
    """It is neither described nor taken."""
    fixed = functools.partial(functools.partial(weather, unit="F"))
    assert list(properties(fixed)) == ["city"]
    assert onplan.tool(fixed).name == "weather"
    assert read(fixed, '{"city": "Oslo"}') == "Oslo F"
    with pytest.raises(WrongArgumentsError, match="no parameter 'unit'"):
        read(fixed, '{"city": "Oslo", "unit": "C"}')
    assert read(functools.partial(onplan.tool(weather), "Oslo"), "{}") == "Oslo C"


def test_a_decorated_function_is_described_as_the_one_inside() -> None:
    """And called with what stands around it."""

    def twice(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **named: Any) -> str:
            return function(*arguments, **named) * 2

        return wrapper

    decorated = twice(weather)
    assert properties(decorated) == properties(weather)
    assert read(decorated, '{"city": "O"}') == "O CO C"


def test_a_schema_takes_the_place_of_the_signature() -> None:
    """The function gets its properties by name, as they are in JSON, once they fit it."""

    def anything(**given: Any) -> dict[str, Any]:
        return given

    schema = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = onplan.tool(anything, parameters=schema)
    assert tool.parameters == {"type": "object", **schema, "additionalProperties": False}
    assert tool.reader.read('{"city": "Oslo", "more": 1}') == Arguments((), {"city": "Oslo", "more": 1})
    with pytest.raises(WrongArgumentsError, match="lacks the property 'city'"):
        tool.reader.read("{}")
    again = onplan.tool(tool, name="again")
    assert (again.name, again.parameters) == ("again", tool.parameters)


def _local() -> Callable[..., Any]:
    class Inner:
        pass

    def function(inner: Inner) -> None: ...

    return function


def _several(*cities: str) -> None: ...


def _named(**cities: str) -> None: ...


def _unknown(file: Station) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (5, "A tool is a function, and not of the type int"),
        (_several, "The tool _several takes *cities, which cannot be described"),
        (_named, r"The tool _named takes **cities, which cannot be described"),
        (lambda: None, "A tool cannot be called '<lambda>'"),
        (Station.wind, "The tool wind is a method without its object"),
        (_unknown, "The parameter file of the tool _unknown cannot be described to a model: "),
        (_local(), "The annotations of the tool function cannot be read: name 'Inner' is not defined"),
        (dict, "The tool dict has no signature that Python can read"),
    ],
)
def test_what_cannot_be_described_is_refused(function: Any, sentence: str) -> None:
    """When the tool is made, with a hint."""
    with pytest.raises(onplan.InvalidRequestError) as raised:
        onplan.tool(function)
    assert sentence in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("schema", [{"type": "string"}, 5, {"type": "array", "items": {}}])
def test_a_schema_that_is_no_object_is_refused(schema: Any) -> None:
    """A function has named parameters."""
    with pytest.raises(onplan.InvalidRequestError, match="The parameters of the tool weather are"):
        onplan.tool(weather, parameters=schema)


@pytest.mark.parametrize("name", ["", "with space", "é", "x" * 65, 5])
def test_names_that_servers_refuse_are_refused(name: Any) -> None:
    """They take letters, digits, underscores and hyphens, 64 at most."""
    with pytest.raises(onplan.InvalidRequestError, match="cannot be called"):
        onplan.tool(weather, name=name)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("[1]", "expected `object`, got `array`"),
        ('{"city": "a", "city": "b"}', "'city' twice"),
        ('{"unit": "K", "city": "Oslo"}', "at $.unit: "),
        ("[" * 2_000, "it is nested too deeply"),
    ],
)
def test_arguments_that_do_not_fit(arguments: str, sentence: str) -> None:
    """The sentence is for the model, and says where."""
    with pytest.raises(WrongArgumentsError) as raised:
        onplan.tool(weather).reader.read(arguments)
    assert sentence in str(raised.value)


def test_a_tool_is_sent_and_kept_as_its_description() -> None:
    """Encoded, pickled, and in a request; copies in this process keep the function."""
    tool = onplan.tool(weather)
    definition = onplan.ToolDefinition(
        name=tool.name, description=tool.description, parameters=tool.parameters, strict=True
    )
    assert msgspec.json.encode(tool) == msgspec.json.encode(definition)
    assert pickle.loads(pickle.dumps(tool)) == definition
    assert copy.copy(tool) is copy.deepcopy(tool) is tool
    request = onplan.CompletionRequest(messages="hi", tools=[tool])
    assert request.tools[0] is tool


def test_each_tool_has_a_schema_of_its_own():
    """A program that changes the parameters of one tool changes no other, and not what it gave."""
    given = {"type": "object", "properties": {"city": {"type": "string"}}}
    one, other = (onplan.tool(lambda city: city, name="weather", parameters=given) for _ in range(2))

    one.parameters["properties"]["city"]["description"] = "its name"

    assert "description" not in str(other.parameters) + str(given)
