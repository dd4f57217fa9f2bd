"""Schemas made strict, and values read back from the strict form."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.emulator.checks.schema import Subject, check_format_schema
from onplan.structured.strict_form import strict_form

TEXT = {"type": "string"}
NULL = {"type": "null"}
REF = {"$ref": "#/$defs/d"}


def one(schema: Any, *, required: bool = True, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"p": schema}, "required": ["p"] if required else [], **more}


def closed(schema: Any, **more: Any) -> dict[str, Any]:
    return {**one(schema), "additionalProperties": False, **more}


D = {"$defs": {"d": closed(TEXT)}}

# A schema, its strict form if it is a program's, and if it is a Python type's. None: it has none.
CASES: dict[str, tuple[Any, Any, Any]] = {
    "strict already": (closed(TEXT), closed(TEXT), closed(TEXT)),
    "open": (one(TEXT), closed(TEXT), closed(TEXT)),
    "open to anything": (one(TEXT, additionalProperties=True), None, None),
    "open to texts": (one(TEXT, additionalProperties=TEXT), None, None),
    "optional": (one(TEXT, required=False), None, closed({"anyOf": [TEXT, NULL]})),
    "required is not said": (
        {"type": "object", "properties": {"p": TEXT}},
        None,
        closed({"anyOf": [TEXT, NULL]}),
    ),
    "optional and null": (
        one({"type": ["string", "null"]}, required=False),
        None,
        closed({"type": ["string", "null"]}),
    ),
    "no properties": (
        {"type": "object", "properties": {}},
        None,
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    ),
    "any object": (one({"type": "object"}), None, None),
    "anything": (one({}), None, None),
    "a boolean": (one(True), None, None),
    "a default": (
        one({**TEXT, "default": "x"}),
        closed({**TEXT, "description": 'Default: "x".'}),
        closed({**TEXT, "description": 'Default: "x".'}),
    ),
    "a default that says nothing": (one({**TEXT, "default": None}), closed(TEXT), closed(TEXT)),
    "a default and a description": (
        one({**TEXT, "description": "A word", "default": 3, "examples": [1]}),
        closed({**TEXT, "description": "A word. Default: 3. Examples: [1]."}),
        closed({**TEXT, "description": "A word. Default: 3. Examples: [1]."}),
    ),
    "a description that ends as a sentence": (
        one({"anyOf": [{**TEXT, "description": f"A word{end}", "default": 3} for end in ".!?:"]}),
        closed({"anyOf": [{**TEXT, "description": f"A word{end} Default: 3."} for end in ".!?:"]}),
        closed({"anyOf": [{**TEXT, "description": f"A word{end} Default: 3."} for end in ".!?:"]}),
    ),
    "remarks": (
        one(
            {
                **TEXT,
                "deprecated": True,
                "$comment": "x",
                "$id": "x",
                "readOnly": True,
                "writeOnly": True,
                "contentMediaType": "text/plain",
            }
        ),
        closed(TEXT),
        closed(TEXT),
    ),
    "a known format": (
        one({**TEXT, "format": "uuid"}),
        closed({**TEXT, "format": "uuid"}),
        closed({**TEXT, "format": "uuid"}),
    ),
    "another format": (
        one({**TEXT, "format": "uri"}),
        None,
        closed({**TEXT, "description": 'Format: "uri".'}),
    ),
    "a length": (
        one({**TEXT, "maxLength": 3}),
        None,
        closed({**TEXT, "description": "Longest length: 3."}),
    ),
    "a set": (
        one({"type": "array", "items": TEXT, "uniqueItems": True}),
        None,
        closed({"type": "array", "items": TEXT}),
    ),
    "a tuple": (one({"type": "array", "prefixItems": [TEXT], "items": False}), None, None),
    "an enum without a type": (
        one({"enum": ["a", 1, None]}),
        closed({"enum": ["a", 1, None], "type": ["string", "integer", "null"]}),
        closed({"enum": ["a", 1, None], "type": ["string", "integer", "null"]}),
    ),
    "an enum with a type that is not its values'": (
        one({"enum": ["a"], "type": ["string", "null"]}),
        closed({"enum": ["a"], "type": ["string", "null"]}),
        closed({"enum": ["a"], "type": ["string", "null"]}),
    ),
    "an empty enum": (one({"enum": []}), None, None),
    "an enum that is no list": (one({"enum": "a"}), None, None),
    "properties that are none": (one({"type": "object", "properties": 5}), None, None),
    "a const without a type": (
        one({"const": True}),
        closed({"const": True, "type": "boolean"}),
        closed({"const": True, "type": "boolean"}),
    ),
    "a reference with a title": (
        one({**REF, "title": "D"}, **D),
        closed({"anyOf": [REF], "title": "D"}, **D),
        closed({"anyOf": [REF], "title": "D"}, **D),
    ),
    "the only one of allOf": (
        one({"allOf": [REF], "description": "a d"}, **D),
        closed({"anyOf": [REF], "description": "a d"}, **D),
        closed({"anyOf": [REF], "description": "a d"}, **D),
    ),
    "the only one of allOf, with every remark": (
        one({"allOf": [REF], "description": "a d", "title": "D", **D, "definitions": {}}, **D),
        closed({"anyOf": [REF], "description": "a d", "title": "D", **D, "definitions": {}}, **D),
        closed({"anyOf": [REF], "description": "a d", "title": "D", **D, "definitions": {}}, **D),
    ),
    "several of allOf": (one({"allOf": [REF, REF]}, **D), None, None),
    "oneOf with a discriminator": (
        one({"oneOf": [REF], "discriminator": {"propertyName": "p"}}, **D),
        closed({"anyOf": [REF]}, **D),
        closed({"anyOf": [REF]}, **D),
    ),
    "oneOf": (one({"oneOf": [REF]}, **D), None, None),
    "oneOf beside anyOf": (one({"oneOf": [REF], "anyOf": [REF], "discriminator": {}}, **D), None, None),
    "inside": (
        one({"type": "array", "items": one({"anyOf": [one(TEXT), NULL]})}),
        closed({"type": "array", "items": closed({"anyOf": [closed(TEXT), NULL]})}),
        closed({"type": "array", "items": closed({"anyOf": [closed(TEXT), NULL]})}),
    ),
    "definitions": (one(REF, **{"$defs": {"d": one(TEXT)}}), closed(REF, **D), closed(REF, **D)),
}


@pytest.mark.parametrize(("schema", "program", "type_"), CASES.values(), ids=CASES)
def test_strict_forms(schema: Any, program: Any, type_: Any) -> None:
    """A schema is rewritten where the same values fit; that of a type may have null for what is absent."""
    for of_type, expected in ((False, program), (True, type_)):
        form = strict_form(schema, of_type=of_type)
        assert (form.schema if form else None) == expected
        if form:
            check_format_schema(form.schema, Subject("response_format 'r'", "text.format", None), strict=True)


OPTIONAL = one(TEXT, required=False)
UNION = one({"anyOf": [closed({"enum": ["a"]}), {**one(NULL, required=False, title="n")}, OPTIONAL]})

VALUES: dict[str, tuple[Any, Any, Any]] = {
    "null for the absent": (OPTIONAL, {"p": None}, {}),
    "absent all the same": (OPTIONAL, {}, {}),
    "there": (OPTIONAL, {"p": "x"}, {"p": "x"}),
    "null for null": (one({"type": ["string", "null"]}, required=False), {"p": None}, {"p": None}),
    "in an array": (one({"type": "array", "items": OPTIONAL}), {"p": [{"p": None}]}, {"p": [{}]}),
    "behind a reference": (one(REF, **{"$defs": {"d": OPTIONAL}}), {"p": {"p": None}}, {"p": {}}),
    "in an optional object": (one(OPTIONAL, required=False), {"p": {"p": None}}, {"p": {}}),
    "in the branch that may have null": (UNION, {"p": {"p": None}}, {"p": {"p": None}}),
    "in the branch of texts": (UNION, {"p": {"p": "x"}}, {"p": {"p": "x"}}),
    "in no branch": (UNION, {"p": 3}, {"p": 3}),
    "another property": (OPTIONAL, {"q": None}, {"q": None}),
    "another type": (OPTIONAL, [None], [None]),
    "another type inside": (
        one({"type": "array", "items": OPTIONAL}),
        {"p": {"p": None}},
        {"p": {"p": None}},
    ),
}


@pytest.mark.parametrize(("schema", "value", "read"), VALUES.values(), ids=VALUES)
def test_values_of_strict_forms(schema: Any, value: Any, read: Any) -> None:
    """Null is left out where it stands for the absence of a property, and nowhere else."""
    form = strict_form(schema, of_type=True)

    assert form
    assert form.without_nulls(value) == read
