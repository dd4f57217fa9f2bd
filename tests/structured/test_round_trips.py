"""Any value of a type can be said in an answer, and is read as that value."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onplan.structured.output_format import output_format


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(msgspec.Struct, tag=True, omit_defaults=True):
    size: int = 3
    label: str | None = "x"


class Branch(msgspec.Struct, tag=True, omit_defaults=True):
    leaves: list[Leaf | Branch]
    main: Leaf | None = None
    other: Leaf = msgspec.field(default_factory=Leaf)


class Kinds(msgspec.Struct, omit_defaults=True, rename="camel"):
    text: str
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    ratio: float = 0.5
    price: Decimal = Decimal("1.50")
    seen_at: datetime | None = None
    day: date = date(2026, 11, 30)
    id: UUID | int | None = None
    colour: Colour = Colour.RED
    tags: frozenset[str] = frozenset()
    data: bytes = b""
    tree: Leaf | Branch = msgspec.field(default_factory=Leaf)
    on: bool | None = True


_leaves = st.builds(Leaf, size=st.integers(-5, 5), label=st.none() | st.text(max_size=3))
_branches = st.recursive(
    st.builds(Branch, leaves=st.lists(_leaves, max_size=2), main=st.none() | _leaves, other=_leaves),
    lambda inner: st.builds(Branch, leaves=st.lists(inner | _leaves, max_size=2)),
    max_leaves=4,
)
_kinds = st.builds(
    Kinds,
    text=st.text(max_size=5),
    count=st.integers(0, 2**60),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    price=st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**9, min_value=-(10**9)),
    seen_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    day=st.dates(),
    id=st.none() | st.uuids() | st.integers(0, 9),
    colour=st.sampled_from(Colour),
    tags=st.frozensets(st.text(max_size=3), max_size=3),
    data=st.binary(max_size=5),
    tree=_leaves | _branches,
    on=st.none() | st.booleans(),
)


def with_nulls(value: Any) -> Any:
    """What a strict server says: null for each property that has been left out and cannot be null itself."""
    if isinstance(value, list):
        return [with_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Leaf":
        value = {"size": None, **value}
    if value.get("type") == "Branch":
        value = {"other": None, **value}
    if "text" in value:
        names = ("count", "ratio", "price", "day", "colour", "tags", "data", "tree")
        value = {**dict.fromkeys(names), **value}
    return {name: with_nulls(inner) for name, inner in value.items()}


@given(_kinds)
def test_values_are_read_as_they_were(value: Kinds) -> None:
    """With and without what is left to its default, and with null in its place; also inside a list."""
    encoded = json.loads(msgspec.json.Encoder(decimal_format="number").encode(value), parse_float=Decimal)
    one, several = output_format(Kinds), output_format(list[Kinds])

    assert one.strict
    for said in (encoded, with_nulls(encoded)):
        text = msgspec.json.Encoder(decimal_format="number").encode(said).decode()
        assert one.parse(text) == value
        assert several.parse(f'{{"value": [{text}]}}') == [value]
