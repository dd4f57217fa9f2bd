"""Which schemas are sent as strict: a table, and the emulator as the judge of any schema."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onplan.backends import COMPATIBLE
from onplan.chat import request as chat
from onplan.emulator.checks.schema import Subject, check_format_schema
from onplan.structured.output_format import output_format
from onplan.structured.strict_schema import is_strict
from onplan.types import CompletionRequest

TEXT = {"type": "string"}


def closed(properties, **more):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def one(schema, **more):
    return closed({"a": schema}, **more)


B = {"$defs": {"B": closed({"n": {"type": "integer"}})}}
REF = {"$ref": "#/$defs/B"}


def nested(levels):
    return TEXT if levels == 0 else one(nested(levels - 1))


def arrays(levels):
    return TEXT if levels == 0 else {"type": "array", "items": arrays(levels - 1)}


STRICT = {
    "closed": one(TEXT),
    "no properties": closed({}),
    "titles and descriptions": one({**TEXT, "title": "A", "description": "which"}, title="R", **B),
    "a plain reference": one(REF, **B),
    "a reference in an array": one({"type": "array", "items": REF, "description": "several"}, **B),
    "references among definitions": one(
        {"$ref": "#/definitions/A"}, definitions={"A": one({"$ref": "#/definitions/C"}), "C": TEXT}
    ),
    "an escaped name": one({"$ref": "#/$defs/A~1B~0"}, **{"$defs": {"A/B~": TEXT}}),
    "a recursive schema": one({"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "anyOf": one({"anyOf": [TEXT, {"type": "null"}], "description": "perhaps"}),
    "several types": one({"type": ["string", "null"]}),
    "an object or null": one(closed({}, type=["object", "null"])),
    "a typed enum": one({"type": "string", "enum": ["a", "b"]}),
    "an enum of booleans": one({"type": "boolean", "enum": [True]}),
    "a long enum of few characters": one(
        {"type": "string", "enum": ["x" * 14_749, *(chr(300 + n) for n in range(251))]}
    ),
    "a short enum of many characters": one(
        {"type": "string", "enum": [f"{number:070}" for number in range(250)]}
    ),
    "a typed const": one({"type": "string", "const": "a"}),
    # Of 120,000 characters that are allowed, the names of the properties are one.
    "a const of all the characters that may be": one({"type": "string", "const": "x" * 119_999}),
    "bounds": one({"type": "integer", "minimum": 0, "exclusiveMaximum": 9, "multipleOf": 3}),
    "lengths of arrays": one({"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2}),
    "a pattern and a format": closed(
        {"a": {"type": "string", "pattern": "^a"}, "b": {"type": "string", "format": "date-time"}}
    ),
    "properties named as keywords": closed({"type": TEXT, "$ref": TEXT, "oneOf": TEXT, "required": TEXT}),
    "a dialect": one(TEXT, **{"$schema": "https://json-schema.org/draft/2020-12/schema"}),
    "ten levels": nested(10),
    "arrays in each other": one(arrays(98)),
    "arrays in each other, in a definition": one(TEXT, **{"$defs": {"D": arrays(98)}}),
    "as many properties as there may be": closed({f"p{number}": TEXT for number in range(5_000)}),
}
NOT_STRICT = {
    "open": one(TEXT, additionalProperties=True),
    "nothing said of additional properties": {"type": "object", "properties": {}, "required": []},
    "additional properties of a type": one(TEXT, additionalProperties=TEXT),
    "an optional property": one(TEXT, required=[]),
    "a required property that is not there": one(TEXT, required=["a", "b"]),
    "open inside": one({"anyOf": [{"type": "null"}, {"type": "object"}]}),
    "open in a definition": one(TEXT, **{"$defs": {"X": {"type": "object"}}}),
    "an object or null, open": one({"type": ["object", "null"]}),
    "a reference with a description": one({**REF, "description": "which"}, **B),
    "a reference with a default": one({**REF, "default": {"n": 1}}, **B),
    "a reference with a title, in an array": one({"type": "array", "items": {**REF, "title": "T"}}, **B),
    "a reference beside definitions": one({**REF, "$defs": {}}, **B),
    "a reference to elsewhere": one({"$ref": "https://example.org/schema"}),
    "a reference into a property": one({"$ref": "#/properties/b"}),
    "a reference to nothing": one({"$ref": "#/$defs/C"}, **B),
    "a reference that is no text": one({"$ref": 5}),
    "oneOf": one({"oneOf": [one(TEXT), closed({"b": TEXT})]}),
    "oneOf with a discriminator": one({"oneOf": [REF], "discriminator": {"propertyName": "n"}}, **B),
    "allOf": one({"allOf": [REF]}, **B),
    "allOf at the root": one(TEXT, allOf=[REF], **B),
    "anyOf at the root": {"anyOf": [one(TEXT)]},
    "anyOf beside the root's type": one(TEXT, anyOf=[one(TEXT)]),
    "anyOf beside a default": one({"anyOf": [TEXT], "default": "x"}),
    "anyOf beside a type": one({**TEXT, "anyOf": [TEXT]}),
    "an enum of nothing": one({**TEXT, "enum": []}),
    "a const of too many characters": one({"type": "string", "const": "x" * 120_000}),
    "arrays in each other, too many": one(arrays(99)),
    "arrays in each other, too many in a definition": one(TEXT, **{"$defs": {"D": arrays(99)}}),
    "a property too many": closed({f"p{number}": TEXT for number in range(5_001)}),
    "a reference as the root": {**REF, **B},
    "an array as the root": {"type": "array", "items": TEXT},
    "an object or null as the root": one(TEXT, type=["object", "null"]),
    "not": one({"not": TEXT}),
    "if": one({**TEXT, "if": {}, "then": {}}),
    "dependentRequired": one(TEXT, dependentRequired={}),
    "a property of any type": one({}),
    "a property with only a title": one({"title": "A"}),
    "a property with only a description": one({"description": "whatever"}),
    "an enum without a type": one({"enum": ["a"]}),
    "anything in an array": one({"type": "array", "items": {}}),
    "an array of nothing said": one({"type": "array"}),
    "a tuple": one({"type": "array", "prefixItems": [TEXT], "items": TEXT}),
    "a boolean schema": one(True),
    "no branches": one({"anyOf": []}),
    "a number among the required": {**one(TEXT), "required": [*one(TEXT)["required"], 3]},
    "definitions of long names": closed({"p": TEXT}, definitions={"x" * 120_000: TEXT}),
    "a default": one({**TEXT, "default": "x"}),
    "uniqueItems": one({"type": "array", "items": TEXT, "uniqueItems": True}),
    "minLength": one({**TEXT, "minLength": 1}),
    "patternProperties": one(TEXT, patternProperties={"^b": TEXT}),
    "propertyNames": one(TEXT, propertyNames=TEXT),
    "an unknown format": one({"type": "string", "format": "uri"}),
    "an unknown type": one({"type": "any"}),
    "no type at all": one({"type": []}),
    "a type of another shape": one({"type": {"a": 1}}),
    "an extension": one({**TEXT, "x-order": 1}),
    "eleven levels": nested(11),
    "too many properties": closed(dict.fromkeys(map(str, range(5_001)), TEXT)),
    "too many values": one({"type": "integer", "enum": list(range(1_001))}),
    "too many characters": one({"type": "string", "enum": ["x" * 130_000]}),
    "a long enum of long texts": one({"type": "string", "enum": [f"{number:070}" for number in range(251)]}),
    "other shapes": one({"anyOf": {}}),
    "definitions of another shape": one(TEXT, **{"$defs": []}),
    "properties of another shape": {"type": "object", "properties": [], "additionalProperties": False},
    "no object": [],
}


@pytest.mark.parametrize("schema", STRICT.values(), ids=STRICT)
def test_the_documented_subset_is_strict(schema):
    """A schema that strict mode takes is sent as strict, and the service takes it."""
    assert is_strict(schema)
    check_format_schema(schema, Subject("response_format 'r'", "response_format", None), strict=True)


@pytest.mark.parametrize("schema", NOT_STRICT.values(), ids=NOT_STRICT)
def test_anything_else_is_not(schema):
    """A schema that strict mode refuses is sent without strict, or rewritten so that it is taken."""
    assert not is_strict(schema)
    if isinstance(schema, dict):
        request = CompletionRequest(messages="x", response_format=schema)
        body = json.loads(chat.prepare(request, COMPATIBLE, "https://example.org", "m").body)
        sent = body["response_format"]["json_schema"]
        subject = Subject("response_format 'r'", "response_format", None)
        check_format_schema(sent["schema"], subject, strict=sent["strict"])
        assert sent["strict"] is is_strict(sent["schema"])


_KEYWORDS = ["title", "default", "description", "$ref", "oneOf", "allOf", "minLength", "format", "required"]
_VALUES = st.sampled_from(["a", [], {}, "#", "uuid"])
_schemas = st.recursive(
    st.one_of(
        st.sampled_from([TEXT, {"type": ["integer", "null"]}, {"enum": ["a"]}, REF, {}, True]),
        st.dictionaries(
            st.sampled_from(_KEYWORDS), st.sampled_from(["a", [], {}, "#", "uuid"]), max_size=2
        ).map(lambda more: TEXT | more),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=2).map(closed),
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, max_size=2).map(lambda branches: {"anyOf": branches}),
        st.tuples(inner, st.sampled_from(_KEYWORDS)).map(
            lambda pair: {**pair[0], pair[1]: "a"} if isinstance(pair[0], dict) else pair[0]
        ),
    ),
    max_leaves=6,
)


@given(_schemas)
@example({"anyOf": []})
def test_what_is_sent_as_strict_is_taken(schema):
    """Whatever the schema, the service takes as strict what is sent as strict."""
    root = one(schema, **B)
    if is_strict(root):
        check_format_schema(root, Subject("response_format 'r'", "response_format", None), strict=True)


@given(st.one_of(_schemas, _schemas.map(lambda schema: one(schema, **B))))
@example({"$ref": "#/$defs/b"})
def test_whatever_is_asked_for_is_taken(schema):
    """Any schema is sent with an object as its root, and as strict only where the service takes it."""
    if not isinstance(schema, dict):
        return
    for form in (output_format(schema), output_format({"type": "json_schema", "schema": schema})):
        assert form.schema["type"] == "object"
        check_format_schema(
            form.schema, Subject("response_format 'r'", "text.format", None), strict=form.strict
        )


def test_deep_and_cyclic_schemas_end():
    """A schema that has no end is not strict."""
    cyclic = {"type": "array"}
    cyclic["items"] = cyclic

    assert not is_strict(one(cyclic))
