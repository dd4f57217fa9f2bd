"""What other APIs put around a JSON schema."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.errors import InvalidRequestError
from onplan.structured.wrappers import NamedSchema, unwrapped

SCHEMA = {"type": "object", "properties": {"format": {"type": "string"}}}
NAMED = {"name": "bird", "schema": SCHEMA, "strict": True}

CASES: dict[str, tuple[dict[str, Any], NamedSchema]] = {
    "none": (SCHEMA, NamedSchema(SCHEMA)),
    "a property of no wrapper": (
        {"type": "object", "format": {"type": "json_schema"}},
        NamedSchema({"type": "object", "format": {"type": "json_schema"}}),
    ),
    "no type": ({"format": "date"}, NamedSchema({"format": "date"})),
    "Responses API": ({"type": "json_schema", **NAMED}, NamedSchema(SCHEMA, "bird", True)),
    "its text parameter": (
        {"verbosity": "low", "format": {"type": "json_schema", **NAMED}},
        NamedSchema(SCHEMA, "bird", True),
    ),
    "Chat Completions": ({"type": "json_schema", "json_schema": NAMED}, NamedSchema(SCHEMA, "bird", True)),
    "no name": ({"type": "json_schema", "schema": SCHEMA}, NamedSchema(SCHEMA)),
    "null": (
        {"type": "json_schema", "schema": SCHEMA, "name": None, "strict": None, "description": None},
        NamedSchema(SCHEMA),
    ),
    "a description": (
        {"type": "json_schema", "schema": SCHEMA, "description": "A bird."},
        NamedSchema({"description": "A bird.", **SCHEMA}),
    ),
    "any JSON object": ({"type": "json_object"}, NamedSchema({"type": "object"}, json_object=True)),
    "any JSON object, as text.format": (
        {"format": {"type": "json_object"}},
        NamedSchema({"type": "object"}, json_object=True),
    ),
}


@pytest.mark.parametrize(("given", "schema"), CASES.values(), ids=CASES)
def test_wrappers(given: dict[str, Any], schema: NamedSchema) -> None:
    """The schema is taken out of each wrapper, with its name and whether it is to be strict."""
    assert unwrapped(given) == schema


WRONG = {
    "any text": {"format": {"type": "text"}},
    "no schema": {"type": "json_schema"},
    "no schema inside": {"type": "json_schema", "json_schema": {"name": "bird"}},
    "a type for a schema": {"type": "json_schema", "schema": int},
    "a number for a name": {"type": "json_schema", "schema": SCHEMA, "name": 1},
    "a word for strict": {"type": "json_schema", "schema": SCHEMA, "strict": "yes"},
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_wrappers_without_a_schema(given: dict[str, Any]) -> None:
    """A wrapper in which something is missing or wrong is refused."""
    with pytest.raises(InvalidRequestError, match="response_format"):
        unwrapped(given)
