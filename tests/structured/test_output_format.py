"""What ``response_format`` may be: the schema that is sent for each kind, and the value that is read."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import msgspec
import pytest

from onplan.emulator.api.schema_instance import instance
from onplan.emulator.checks.schema import Subject, check_format_schema
from onplan.errors import InvalidRequestError, OutputError
from onplan.structured.output_format import OutputFormat, output_format

T = TypeVar("T")


@dataclass
class Bird:
    """A bird that was seen."""

    name: str
    age: int = 5
    note: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, frozen=True)
class Slotted:
    name: str
    parent: Slotted | None = None


@dataclass
class Nothing: ...


@dataclass
class Box(Generic[T]):
    item: T


@dataclass
class Loose:
    anything: Any


class Partial(TypedDict, total=False):
    name: Required[str]
    age: int


class Marked(TypedDict):
    name: str
    age: NotRequired[int]


class Pair(NamedTuple):
    one: int
    other: str = "x"


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True, rename="camel", forbid_unknown_fields=True):
    tail_length: float = 0.5


class Row(msgspec.Struct, array_like=True):
    number: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


Huge = enum.Enum("Huge", {f"N{number}": f"n{number}" for number in range(1_001)})
UserId = NewType("UserId", int)
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Word = Annotated[str, msgspec.Meta(min_length=2, pattern="^[a-z]+$")]


@dataclass
class Case:
    """A type, how its schema is sent, and an answer with its value."""

    given: Any
    answer: str
    value: Any
    strict: bool = True
    wrapped: bool = False
    name: str = "response"


def wrapped(given: Any, answer: str, value: Any, *, strict: bool = True, name: str = "response") -> Case:
    return Case(given, f'{{"value": {answer}}}', value, strict=strict, wrapped=True, name=name)


CASES = {
    "a dataclass": Case(
        Bird,
        '{"name": "Owl", "age": 2, "note": null, "tags": ["a"]}',
        Bird("Owl", 2, None, ["a"]),
        name="Bird",
    ),
    "null for a default": Case(
        Bird, '{"name": "Owl", "age": null, "note": null, "tags": null}', Bird("Owl"), name="Bird"
    ),
    "a dataclass that refers to itself": Case(
        Slotted,
        '{"name": "a", "parent": {"name": "b", "parent": null}}',
        Slotted(name="a", parent=Slotted(name="b")),
        name="Slotted",
    ),
    "an empty dataclass": Case(Nothing, "{}", Nothing(), name="Nothing"),
    "a generic dataclass": Case(Box[int], '{"item": 3}', Box(3), name="Box_int_"),
    "anything in a dataclass": Case(Loose, '{"anything": [1]}', Loose([1]), strict=False, name="Loose"),
    "a TypedDict that is not total": Case(
        Partial, '{"name": "Owl", "age": null}', {"name": "Owl"}, name="Partial"
    ),
    "a TypedDict with NotRequired": Case(
        Marked, '{"name": "Owl", "age": 3}', {"name": "Owl", "age": 3}, name="Marked"
    ),
    "a NamedTuple": wrapped(Pair, "[1]", Pair(1), strict=False, name="Pair"),
    "a Struct": Case(Cat, '{"type": "Cat", "lives": 9}', Cat(9), name="Cat"),
    "a Struct with other names": Case(Dog, '{"type": "Dog", "tailLength": null}', Dog(), name="Dog"),
    "a Struct like an array": wrapped(Row, "[7]", Row(7), strict=False, name="Row"),
    "tagged Structs": wrapped(Cat | Dog, '{"type": "Dog", "tailLength": 2}', Dog(2)),
    "one of them, a number or null": wrapped(
        Cat | Dog | int | None, '{"type": "Dog", "tailLength": null}', Dog()
    ),
    "a list of objects": wrapped(list[Bird], '[{"name": "Owl", "age": null}]', [Bird("Owl")]),
    "an object or null": wrapped(Bird | None, '{"name": "Owl", "age": null}', Bird("Owl")),
    "null of an object or null": wrapped(Bird | None, "null", None),
    "an Enum": wrapped(Colour, '"blue"', Colour.BLUE, name="Colour"),
    "an IntEnum": wrapped(Level, "2", Level.HIGH, name="Level"),
    "a huge Enum": wrapped(Huge, '"n1000"', Huge["N1000"], strict=False, name="Huge"),
    "a Literal": wrapped(Literal["a", "b"], '"b"', "b"),
    "a Literal of several types": wrapped(Literal[1, None], "null", None),
    "int": wrapped(int, "3", 3),
    "an int that is written as a float": wrapped(int, "3.0", 3),
    "float": wrapped(float, "3", 3.0),
    "bool": wrapped(bool, "true", True),
    "str": wrapped(str, '"a"', "a"),
    "None's type": wrapped(type(None), "null", None),
    "bytes": wrapped(bytes, '"AAE="', b"\0\1"),
    "Decimal": wrapped(Decimal, "0.10000000000000000000001", Decimal("0.10000000000000000000001")),
    "Decimal or null": wrapped(Decimal | None, "1.10", Decimal("1.10")),
    "Decimal in an object": Case(Box[Decimal], '{"item": 1e3}', Box(Decimal(1000)), name="Box_Decimal_"),
    "datetime": wrapped(datetime, '"2026-11-30T07:00:00Z"', datetime(2026, 11, 30, 7, tzinfo=UTC)),
    "datetime or null": wrapped(
        datetime | None, '"2026-11-30T07:00:00+00:00"', datetime(2026, 11, 30, 7, tzinfo=UTC)
    ),
    "date": wrapped(date, '"2026-11-30"', date(2026, 11, 30)),
    "time": wrapped(list[time], '["07:00:00Z"]', [time(7, tzinfo=UTC)]),
    "timedelta": wrapped(timedelta, '"PT5M"', timedelta(minutes=5)),
    "UUID": wrapped(UUID, '"00000000-0000-4000-8000-000000000000"', UUID(int=0x4000_8000_0000_0000_0000)),
    "set": wrapped(set[int], "[1, 1, 2]", {1, 2}),
    "frozenset": wrapped(frozenset[str], '["a"]', frozenset({"a"})),
    "tuple": wrapped(tuple[int, str], '[1, "a"]', (1, "a"), strict=False),
    "a tuple of any length": wrapped(tuple[int, ...], "[1, 2]", (1, 2)),
    "Sequence": wrapped(Sequence[int], "[1]", [1]),
    "list of anything": wrapped(list, '[1, "a"]', [1, "a"], strict=False),
    "dict": Case(dict[str, int], '{"a b": 1}', {"a b": 1}, strict=False),
    "dict with numbers for names": Case(dict[int, str], '{"1": "a"}', {1: "a"}, strict=False),
    "dict of anything": Case(dict, '{"a": null}', {"a": None}, strict=False),
    "Mapping": Case(Mapping[str, Bird], '{"a": {"name": "Owl"}}', {"a": Bird("Owl")}, strict=False),
    "Any": wrapped(Any, '{"a": 1}', {"a": 1}, strict=False),
    "NewType": wrapped(UserId, "3", 3),
    "a number with limits": wrapped(Percent, "100", 100),
    "a text with limits": wrapped(Word, '"ab"', "ab"),
    "a union of plain types": wrapped(int | str | None, '"a"', "a"),
    "numbers": wrapped(int | float, "0.5", 0.5),
    "what cannot be hashed in Annotated": wrapped(Annotated[int, ["unhashable"]], "3", 3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_kind_of_type(case: Case) -> None:
    """Each type is sent strictly where it can be, and its value is read out of the answer."""
    made = output_format(case.given)

    assert (made.name, made.strict, made.wrapped) == (case.name, case.strict, case.wrapped)
    assert case.value == made.parse(case.answer)
    assert type(made.parse(case.answer)) is type(case.value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_services_take_each_schema(case: Case) -> None:
    """What is sent as strict is in the subset of the services, and any schema has an object as its root."""
    made = output_format(case.given)

    check_format_schema(made.schema, Subject("response_format 'r'", "text.format", None), strict=made.strict)


@pytest.mark.parametrize(
    "case", [case for case in CASES.values() if case.given not in (bytes, Word)], ids=lambda case: case.name
)
def test_the_least_answer_is_read(case: Case) -> None:
    """The smallest value that the sent schema describes can be read as the type."""
    made = output_format(case.given)

    made.parse(json.dumps(instance(made.schema)))


@dataclass
class Told:
    """What is told."""

    first: Annotated[str, "the first one"]
    second: Annotated[str, msgspec.Meta(description="the second one", min_length=1)]
    third: str = field(default="x", metadata={"description": "the third one"})
    fourth: Colour = Colour.RED
    when: datetime | None = None


def test_descriptions_reach_the_model() -> None:
    """Docstrings, descriptions of fields, defaults and limits beyond strict mode are told in the schema."""
    assert output_format(Told).schema == {
        "title": "Told",
        "description": "What is told.",
        "type": "object",
        "properties": {
            "first": {"type": "string", "description": "the first one"},
            "second": {"type": "string", "description": "the second one. Shortest length: 1."},
            "third": {
                "anyOf": [
                    {"type": "string", "description": 'the third one. Default: "x".'},
                    {"type": "null"},
                ]
            },
            "fourth": {
                "anyOf": [
                    {"anyOf": [{"$ref": "#/$defs/Colour"}], "description": 'Default: "red".'},
                    {"type": "null"},
                ]
            },
            "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        },
        "required": ["first", "second", "third", "fourth", "when"],
        "additionalProperties": False,
        "$defs": {"Colour": {"title": "Colour", "type": "string", "enum": ["blue", "red"]}},
    }


class Plain:
    name: str


@dataclass
class Lost:
    name: Nowhere  # type: ignore[name-defined]  # noqa: F821


@dataclass
class Fish:
    name: str


NO_FORMAT: dict[str, tuple[Any, str, str]] = {
    "a string": ("json", "a str is neither", "dataclass"),
    "a list": ([int], "a list is neither", "dataclass"),
    "None": (None, "a NoneType is neither", "dataclass"),
    "an object": (Bird("Owl"), "not supported", "dataclass"),
    "a class without fields": (Plain, "Plain'> is not supported", "dataclass"),
    "object": (object, "<class 'object'> is not supported", "dataclass"),
    "complex": (complex, "<class 'complex'> is not supported", "dataclass"),
    "a function": (Callable[[int], int], "Callable'> is not supported", "dataclass"),
    "Iterable": (Iterable[int], "Iterable'> is not supported", "dataclass"),
    "classes that cannot be told apart": (Bird | Fish, "more than one dataclass", "tag=True"),
    "a name that is not defined": (Lost, "'Nowhere' is not defined", "top level"),
    "a class made in a function": (
        dataclasses.make_dataclass("Made", [("a", "Gone")]),
        "'Gone'",
        "top level",
    ),
    "a wrapper without a schema": ({"type": "json_schema"}, "no JSON schema under", '"properties"'),
    "a schema that is no object": ({"type": "json_schema", "schema": []}, "no JSON schema", '"properties"'),
    "a name that is a number": (
        {"type": "json_schema", "name": 1, "schema": {}},
        "name is not a string",
        '"properties"',
    ),
}


@pytest.mark.parametrize(("given", "says", "advice"), NO_FORMAT.values(), ids=NO_FORMAT)
def test_what_is_no_format(given: Any, says: str, advice: str) -> None:
    """What has no JSON schema is refused with the reason, and the hint says what to give instead."""
    with pytest.raises(InvalidRequestError) as caught:
        output_format(given)

    assert says in str(caught.value)
    assert advice in caught.value.hint


def test_a_schema_that_is_not_json_is_refused() -> None:
    """What stands in it must be what JSON has."""
    with pytest.raises(InvalidRequestError, match=r"cannot be used: the JSON schema is not JSON \(.*complex"):
        output_format({"type": "number", "default": 1j})


def test_a_schema_that_is_changed_later_is_another() -> None:
    """A format is made of what the schema was then."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    before = output_format(schema)
    schema["properties"]["a"] = {"type": "string"}

    assert before.schema == {"type": "object", "properties": {}}
    assert output_format(schema).schema["properties"] == {"a": {"type": "string"}}


def test_a_schema_without_end_is_refused() -> None:
    """A JSON schema that contains itself as a Python object cannot be sent."""
    cyclic: dict[str, Any] = {"type": "object"}
    cyclic["properties"] = {"again": cyclic}

    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        output_format(cyclic)


# --- JSON schemas -------------------------------------------------------------------------------------

CLOSED = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
OPTIONAL = {**CLOSED, "required": []}
LIST = {"type": "array", "items": {"type": "integer"}, "title": "Numbers!"}

SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any], bool, str]] = {
    "strict already": (CLOSED, CLOSED, True, "response"),
    "not closed": (OPEN, CLOSED, True, "response"),
    "an optional property": (OPTIONAL, OPTIONAL, False, "response"),
    "a default": (
        {**CLOSED, "properties": {"n": {"type": "integer", "default": 3}}},
        {**CLOSED, "properties": {"n": {"type": "integer", "description": "Default: 3."}}},
        True,
        "response",
    ),
    "a format that strict mode lacks": (
        {**CLOSED, "properties": {"n": {"type": "string", "format": "uri"}}},
        {**CLOSED, "properties": {"n": {"type": "string", "format": "uri"}}},
        False,
        "response",
    ),
    "any object": ({"type": "object"}, {"type": "object"}, False, "response"),
    "no type beside the properties": (
        {name: value for name, value in OPEN.items() if name != "type"},
        CLOSED,
        True,
        "response",
    ),
    "no object": (
        LIST,
        {
            "title": "Numbers!",
            "type": "object",
            "properties": {"value": LIST},
            "required": ["value"],
            "additionalProperties": False,
        },
        True,
        "Numbers_",
    ),
    "a title of other letters": (
        {**CLOSED, "title": "Größe 1"},
        {**CLOSED, "title": "Größe 1"},
        True,
        "Gr__e_1",
    ),
    "in the wrapper of the Responses API": (
        {"type": "json_schema", "name": "bird-1_x y", "schema": OPEN, "strict": True},
        CLOSED,
        True,
        "bird-1_x_y",
    ),
    "in the text parameter of the Responses API": (
        {"format": {"type": "json_schema", "name": "bird", "schema": OPEN}},
        CLOSED,
        True,
        "bird",
    ),
    "in the wrapper of Chat Completions": (
        {"type": "json_schema", "json_schema": {"name": "bird", "schema": OPEN, "description": "A bird."}},
        {"description": "A bird.", **CLOSED},
        True,
        "bird",
    ),
    "not strict by the program's wish": (
        {"type": "json_schema", "name": "bird", "schema": CLOSED, "strict": False},
        CLOSED,
        False,
        "bird",
    ),
    "strict by the program's wish": (
        {"type": "json_schema", "name": "bird", "schema": OPTIONAL, "strict": True},
        OPTIONAL,
        True,
        "bird",
    ),
}


@pytest.mark.parametrize(("given", "sent", "strict", "name"), SCHEMAS.values(), ids=SCHEMAS)
def test_each_kind_of_schema(given: dict[str, Any], sent: dict[str, Any], strict: bool, name: str) -> None:
    """A JSON schema is sent without its wrapper, strict where the same texts fit it then."""
    before = json.dumps(given)
    made = output_format(given)

    assert (made.schema, made.strict, made.name) == (sent, strict, name)
    assert json.dumps(given) == before


def test_the_answer_to_a_schema_is_json() -> None:
    """The value of a JSON schema is made of dicts, lists, strings, numbers, True, False and None."""
    assert output_format(CLOSED).parse('{"n": 3}') == {"n": 3}
    assert output_format(LIST).parse('{"value": [1, 2]}') == [1, 2]
    assert output_format({"type": "number"}).parse('{"value": 0.5}') == 0.5
    assert output_format({}).parse('{"value": null}') is None


# --- answers that do not fit ---------------------------------------------------------------------------


@dataclass
class Flock:
    birds: list[Bird]
    odd: dict[str, Bird] = field(default_factory=dict)


NESTED = {
    "type": "object",
    "properties": {"n": {"$ref": "#/$defs/n"}},
    "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
}

MISFITS: dict[str, tuple[Any, str, str, str]] = {
    "no text": (Bird, "", "$", "it is empty"),
    "prose": (Bird, "A bird is an animal.", "$", "it is not JSON"),
    "text before": (Bird, 'Here it is: {"name": "Owl"}', "$", "it is not JSON"),
    "text after": (Bird, '{"name": "Owl"} I hope that helps.', "$", "trailing characters"),
    "two values": (Bird, '{"name": "Owl"}{"name": "Owl"}', "$", "trailing characters"),
    "half": (Bird, '{"name": "O', "$", "truncated"),
    "NaN": (float, '{"value": NaN}', "$", "it is not JSON"),
    "a property twice": (Bird, '{"name": "Owl", "name": "Emu"}', "$", "has the property 'name' twice"),
    "too deep for its schema": (NESTED, '{"n": ' + "[" * 500 + "]" * 500 + "}", "$", "nested too deeply"),
    "too deep": (Any, '{"value": ' + "[" * 10_000 + "]" * 10_000 + "}", "$", "nested too deeply"),
    "another type": (Flock, '{"birds": [{"name": 3}]}', "$.birds[0].name", "expected `str`, got `int`"),
    "nothing for a name": (Bird, '{"age": 3}', "$", "missing required field `name`"),
    "null for a name": (Bird, '{"name": null}', "$.name", "expected `str`, got `null`"),
    "an array": (Bird, "[]", "$", "expected `object`, got `array`"),
    "not wrapped": (list[int], "[1]", "$", "expected object, got array"),
    "wrapped in something else": (list[int], '{"items": [1]}', "$", "lacks the property 'value'"),
    "a name that is none of them": (Colour, '{"value": "green"}', "$", "invalid enum value 'green'"),
    "a number out of its limits": (Percent, '{"value": 101}', "$", "<= 100"),
    "too short": (Word, '{"value": "a"}', "$", "length >= 2"),
    "a fraction for an int": (int, '{"value": 1.5}', "$", "expected `int`, got `float`"),
    "text for an int": (int, '{"value": "1"}', "$", "expected `int`, got `str`"),
    "no date": (date, '{"value": "tomorrow"}', "$", "invalid RFC3339"),
    "a schema's type": (CLOSED, '{"n": "x"}', "$.n", "expected integer, got string"),
    "a schema's property": (CLOSED, "{}", "$", "lacks the property 'n'"),
    "a property too many": (CLOSED, '{"n": 1, "a b": 2}', "$['a b']", "has no place in the schema"),
    "a list in a schema": (LIST, '{"value": [1, null]}', "$[1]", "expected integer, got null"),
}


@pytest.mark.parametrize(("given", "text", "path", "words"), MISFITS.values(), ids=MISFITS)
def test_an_answer_that_does_not_fit(given: Any, text: str, path: str, words: str) -> None:
    """The error holds the text, and says where it does not fit and why."""
    with pytest.raises(OutputError) as caught:
        output_format(given).parse(text)

    error = caught.value
    assert (error.text, error.path) == (text, path)
    assert words in error.problem
    assert error.problem in str(error)
    assert path == "$" or f" at {path}:" in str(error)


def test_a_type_is_resolved_once() -> None:
    """Asking for the same type or schema again costs no new one."""
    assert output_format(Flock) is output_format(Flock)
    assert output_format(CLOSED) is output_format(json.loads(json.dumps(CLOSED)))
    assert isinstance(output_format(Flock), OutputFormat)
