"""JSON values by JSON schemas, draft 2020-12."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.structured.misfit import Misfit
from onplan.structured.validation import fits, validate

TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
SHAPE = {
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {"side": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
    ]
}
TUPLE = {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}
NAMES = {"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": {"type": "integer"}}
IF = {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"maxProperties": 0}}

FITS: dict[str, tuple[Any, Any]] = {
    "anything": ({"a": [None]}, {}),
    "true": (1, True),
    "integer": (1, {"type": "integer"}),
    "a whole float": (1.0, {"type": "integer"}),
    "number": (0.5, {"type": "number"}),
    "one of several types": (None, {"type": ["string", "null"]}),
    "an unknown type": (1, {"type": "whole"}),
    "enum": ("a", {"enum": ["a", "b"]}),
    "const": ({"a": 1}, {"const": {"a": 1}}),
    "pattern": ("xab", {"pattern": "ab$"}),
    "a pattern in another dialect": ("x", {"pattern": "(?<a"}),
    "a keyword of another shape": ({"a": 1}, {"properties": [], "required": "a", "minimum": "x", "anyOf": 1}),
    "an unknown keyword": (1, {"x-order": 1}),
    "a format": ("x", {"type": "string", "format": "date"}),
    "a limit that is no number": (1, {"minimum": "x", "maximum": None}),
    "a limit of another type": ("x", {"minimum": 3, "maximum": 1, "minItems": 2, "maxItems": 0}),
    "exclusive limits of another type": ("x", {"exclusiveMinimum": 3, "exclusiveMaximum": 1}),
    "limits of no object": ("x", {"minProperties": 3, "maxProperties": 0}),
    "a tuple of no array": (5, {"prefixItems": [{"type": "string"}], "items": False}),
    "if without then": (1, {"if": True}),
    "if without else": (1, {"if": False, "then": False}),
    "multipleOf": (0.3, {"multipleOf": 0.1}),
    "uniqueItems": ([1, True], {"uniqueItems": True}),
    "uniqueItems that is false": ([1, 1], {"uniqueItems": False}),
    "uniqueItems of no array": ("aa", {"uniqueItems": True}),
    "an enum that is no array": (1, {"enum": "a"}),
    "a multiple of nothing": (1, {"multipleOf": 0}),
    "a multiple of a text": (1, {"multipleOf": "x"}),
    "a text for a multiple": ("x", {"multipleOf": 2}),
    "the limits themselves": ("ab", {"minLength": 2, "maxLength": 2}),
    "a number at its limits": (3, {"minimum": 3, "maximum": 3}),
    "patternProperties of another shape": ({"a": 1}, {"patternProperties": 1}),
    "a length of no text": ([], {"minLength": 5, "maxLength": -1}),
    "patternProperties of no object": (1, {"patternProperties": {"a": {"type": "string"}}}),
    "a reference to itself": ([[], [[]]], TREE),
    "another document": (1, {"$ref": "https://example.org/schema"}),
    "a branch": ({"side": {"n": 1}}, SHAPE),
    "a tuple": ([1, "a"], TUPLE),
    "names by their pattern": ({"x-a": "b", "c": 1}, NAMES),
    "if then": ({"a": 1, "b": 2}, IF),
    "else": ({}, IF),
    "not": (1, {"not": {"type": "string"}}),
    "allOf": (5, {"allOf": [{"minimum": 1}, {"maximum": 9}]}),
    "oneOf": (5, {"oneOf": [{"type": "string"}, {"type": "integer"}]}),
}


@pytest.mark.parametrize(("value", "schema"), FITS.values(), ids=FITS)
def test_what_fits(value: Any, schema: Any) -> None:
    """A value that the schema describes is let pass."""
    validate(value, schema, schema)
    assert fits(value, schema, schema)


MISFITS: dict[str, tuple[Any, Any, str, str]] = {
    "false": (1, False, "$", "nothing is allowed here"),
    "a boolean is no number": (
        True,
        {"type": ["integer", "number"]},
        "$",
        "expected integer or number, got boolean",
    ),
    "a boolean is no 1": (True, {"enum": [1]}, "$", "expected one of the 1 values"),
    "a fraction": (1.5, {"type": "integer"}, "$", "expected integer, got number"),
    "const": (2, {"const": 1}, "$", "expected 1"),
    "pattern": ("x", {"pattern": "^a"}, "$", "does not match '^a'"),
    "minimum": (2, {"minimum": 3}, "$", "is less than 3"),
    "maximum": (4, {"maximum": 3}, "$", "is more than 3"),
    "exclusiveMinimum": (3, {"exclusiveMinimum": 3}, "$", "is not more than 3"),
    "exclusiveMaximum": (3, {"exclusiveMaximum": 3}, "$", "is not less than 3"),
    "multipleOf": (0.35, {"multipleOf": 0.1}, "$", "is not a multiple of 0.1"),
    "minLength": ("a", {"minLength": 2}, "$", "shorter than 2"),
    "maxLength": ("abc", {"maxLength": 2}, "$", "longer than 2"),
    "minItems": ([1], {"minItems": 2}, "$", "fewer than 2 items"),
    "maxItems": ([1, 2, 3], {"maxItems": 2}, "$", "more than 2 items"),
    "minProperties": ({}, {"minProperties": 1}, "$", "fewer than 1 properties"),
    "maxProperties": ({"a": 1, "b": 1}, {"maxProperties": 1}, "$", "more than 1 properties"),
    "uniqueItems": ([1, 2, 1.0], {"uniqueItems": True}, "$", "the same item twice"),
    "required": ({}, {"required": ["a"]}, "$", "lacks the property 'a'"),
    "additionalProperties": ({"b": 1}, {"additionalProperties": False}, "$.b", "has no place"),
    "additional ones of another type": ({"b": "x"}, NAMES, "$.b", "expected integer"),
    "names by their pattern": ({"x-a": 1}, NAMES, "$['x-a']", "expected string"),
    "propertyNames": ({"A": 1}, {"propertyNames": {"pattern": "^[a-z]"}}, "$.A", "does not match"),
    "items": ([1, "a"], {"items": {"type": "integer"}}, "$[1]", "expected integer, got string"),
    "a tuple": ([1, 2], TUPLE, "$[1]", "expected string"),
    "a tuple that is too long": ([1, "a", 2], TUPLE, "$[2]", "nothing is allowed here"),
    "the branch that was meant": ({"side": {"n": "x"}}, SHAPE, "$.side.n", "expected integer"),
    "a reference": ([[], [1]], TREE, "$[1][0]", "expected array"),
    "if then": ({"a": 1}, IF, "$", "lacks the property 'b'"),
    "else": ({"c": 1}, IF, "$", "more than 0 properties"),
    "not": ("a", {"not": {"type": "string"}}, "$", "what its schema excludes"),
    "allOf": (0, {"allOf": [{"maximum": 9}, {"minimum": 1}]}, "$", "is less than 1"),
    "oneOf": (5, {"oneOf": [{"minimum": 1}, {"maximum": 9}]}, "$", "more than one schema"),
    "none of oneOf": ("a", {"oneOf": [{"type": "null"}]}, "$", "expected null"),
}


@pytest.mark.parametrize(("value", "schema", "path", "words"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit(value: Any, schema: Any, path: str, words: str) -> None:
    """A value that the schema does not describe is refused with the place and the reason."""
    with pytest.raises(Misfit) as caught:
        validate(value, schema, schema)

    assert caught.value.path == path
    assert words in caught.value.problem
    assert not fits(value, schema, schema)
