"""What is added to msgspec's schemas: how points in time are written, and what fields are for."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NotRequired, Required, TypedDict

import msgspec
import pytest

from onplan.structured.type_schema import schema_of

MOMENT = {"type": "string", "format": "date-time"}
CLOCK = {"type": "string", "format": "time"}
NAIVE = msgspec.Meta(tz=False)
AWARE = msgspec.Meta(tz=True)

PLAIN: dict[str, tuple[Any, dict[str, Any]]] = {
    "datetime": (datetime, MOMENT),
    "datetime with a zone": (Annotated[datetime, AWARE], MOMENT),
    "datetime without one": (Annotated[datetime, NAIVE], {"type": "string"}),
    "time": (time, CLOCK),
    "time with a zone": (Annotated[time, AWARE], CLOCK),
    "time without one": (Annotated[time, NAIVE], {"type": "string", "format": "partial-time"}),
    "Decimal": (Decimal, {"type": "number"}),
    "a list": (list[time], {"type": "array", "items": CLOCK}),
    "a tuple": (
        tuple[int, datetime],
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, MOMENT],
            "items": False,
            "minItems": 2,
            "maxItems": 2,
        },
    ),
    "a dict": (dict[str, datetime], {"type": "object", "additionalProperties": MOMENT}),
    "a union": (int | datetime | None, {"anyOf": [{"type": "integer"}, MOMENT, {"type": "null"}]}),
    "a union with a list": (
        list[time] | None,
        {"anyOf": [{"type": "array", "items": CLOCK}, {"type": "null"}]},
    ),
    "a union with a tuple": (
        tuple[time, ...] | int,
        {"anyOf": [{"type": "array", "items": CLOCK}, {"type": "integer"}]},
    ),
    "a union with a dict": (
        dict[str, time] | None,
        {"anyOf": [{"type": "object", "additionalProperties": CLOCK}, {"type": "null"}]},
    ),
    "a Decimal or null": (Decimal | None, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
    "a Decimal among numbers": (
        float | Decimal,
        {"anyOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]},
    ),
    "anything": (Any, {}),
}


def in_any_order(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "anyOf": sorted(schema.get("anyOf", ()), key=str)}


@pytest.mark.parametrize(("given", "schema"), PLAIN.values(), ids=PLAIN)
def test_points_in_time_and_numbers(given: Any, schema: dict[str, Any]) -> None:
    """A text that is a point in time has its format; an exact number is a number."""
    assert in_any_order(schema_of(given)) == in_any_order(schema)


class Doc:
    """As in PEP 727."""

    def __init__(self, documentation: str) -> None:
        self.documentation = documentation


@dataclass
class Data:
    annotated: Annotated[int, "by a text"]
    documented: Annotated[int, Doc("by a Doc")]
    by_msgspec: Annotated[int, msgspec.Meta(description="by msgspec"), "not this one"]
    by_metadata: int = field(default=1, metadata={"description": "by metadata"})
    other_metadata: int = field(default=1, metadata={"description": 3})
    other_remark: Annotated[int, 3, "after another"] = 1
    none: int = 1


class Typed(TypedDict):
    always: Required[Annotated[int, "always"]]
    perhaps: NotRequired[Annotated[int, "perhaps"]]


class Named(NamedTuple):
    first: Annotated[int, "first"]
    second: int = 2


class Struct(msgspec.Struct, rename="camel"):
    long_name: Annotated[int, "of a Struct"]


class Row(msgspec.Struct, array_like=True):
    number: Annotated[int, "of a row"]


@dataclass
class Holder:
    inner: list[Struct]
    when: datetime | None
    me: Holder | None = None


DESCRIBED: dict[str, tuple[Any, list[str | None]]] = {
    "a dataclass": (
        Data,
        ["by a text", "by a Doc", "by msgspec", "by metadata", None, "after another", None],
    ),
    "a TypedDict": (Typed, ["always", "perhaps"]),
    "a NamedTuple": (Named, ["first", None]),
    "a Struct": (Struct, ["of a Struct"]),
    "a Struct like an array": (Row, ["of a row"]),
}


@pytest.mark.parametrize(("given", "words"), DESCRIBED.values(), ids=DESCRIBED)
def test_what_fields_are_for(given: Any, words: list[str | None]) -> None:
    """What a class says of its fields is in their schemas."""
    definition = schema_of(given)["$defs"][given.__name__]
    fields = [*definition.get("properties", {}).values(), *definition.get("prefixItems", ())]

    assert [inner.get("description") for inner in fields] == words


def test_classes_in_classes() -> None:
    """The fields of inner classes are described, too, and a class that refers to itself has an end."""
    definitions = schema_of(Holder)["$defs"]

    assert definitions["Struct"]["properties"]["longName"]["description"] == "of a Struct"
    assert definitions["Holder"]["properties"]["when"]["anyOf"][0] == MOMENT


def test_two_classes_of_one_name() -> None:
    """They keep apart, as msgspec names them by their modules then."""
    one = make_dataclass("Same", [("a", datetime)], namespace={"__module__": "one"})
    two = make_dataclass("Same", [("b", time)], namespace={"__module__": "two"})
    for class_, module in ((one, "one"), (two, "two")):
        class_.__module__ = module
    pair = make_dataclass("Pair", [("one", one), ("two", two)])
    definitions = schema_of(pair)["$defs"]

    assert definitions["one.Same"]["properties"]["a"] == MOMENT
    assert definitions["two.Same"]["properties"]["b"] == CLOCK


def test_what_msgspec_cannot_read() -> None:
    """Its own error says why."""
    with pytest.raises(TypeError, match="not supported"):
        schema_of(complex)
