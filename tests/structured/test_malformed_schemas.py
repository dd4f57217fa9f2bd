"""Schemas whose keywords have any shape: services refuse them, and nothing here breaks on them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from onplan.errors import InvalidRequestError, OutputError
from onplan.structured.output_format import output_format
from onplan.structured.references import with_object_root
from onplan.structured.strict_form import strict_form

_KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems", "anyOf", "oneOf"),
        *("allOf", "not", "if", "then", "else", "$ref", "$defs", "definitions", "enum", "const", "format"),
        *("pattern", "minLength", "minimum", "multipleOf", "uniqueItems", "title", "description", "default"),
        *("examples", "discriminator", "patternProperties", "propertyNames", "minItems", "minProperties"),
    ]
)
_ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1.5,
        "",
        "a",
        "#",
        "#/$defs/a",
        "string",
        "object",
        [],
        {},
        ["a"],
        [1, []],
        [{}],
        ["null"],
    ]
)
_schemas = st.recursive(
    _ODD,
    lambda inner: st.one_of(
        st.dictionaries(_KEYWORDS, inner, max_size=4),
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    ),
    max_leaves=8,
)
_roots = st.dictionaries(_KEYWORDS, _schemas, min_size=1, max_size=4)
VALUES: list[Any] = [None, 1, 1.5, "a", [], {}, {"a": None}, {"a": {"a": 1}}, {"value": 1}, [1, None], True]


@given(_roots)
@example({"required": [{}]})
@example({"allOf": 1})
@example({"$defs": [], "type": "string"})
@example({"additionalProperties": False, "properties": 1, "patternProperties": 1})
def test_nothing_breaks(schema: dict[str, Any]) -> None:
    """A format is made or refused, and a value fits or does not."""
    with suppress(InvalidRequestError):
        made = output_format(schema)
        assert made.schema["type"] == "object"
        for value in VALUES:
            with suppress(OutputError):
                made.parse(json.dumps(value))


@given(_roots)
@example({"allOf": 1})
def test_nothing_breaks_in_schemas_of_types(schema: dict[str, Any]) -> None:
    """Pydantic lets a program add anything to a type's schema."""
    with suppress(RecursionError):
        form = strict_form(with_object_root(schema)[0], of_type=True)
        if form:
            for value in VALUES:
                form.without_nulls(value)
