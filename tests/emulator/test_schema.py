"""Which JSON schemas are accepted: in strict mode the documented subset, everything else refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.emulator.checks.schema import Subject, check_format_schema, check_function_schema
from onplan.emulator.wire.replies import Refusal
from onplan.structured.strict_schema import is_strict

STRING = {"type": "string"}
FORMAT = Subject("response_format 'answer'", "text.format.schema", "invalid_json_schema")
FUNCTION = Subject("function 'f'", "tools[0].parameters", "invalid_function_parameters")


def closed(properties, /, **more):
    """An object as strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


DEFINED = {"$defs": {"B": closed({"n": {"type": "integer"}})}}


def nested(levels):
    """Objects within objects, so many levels of them."""
    schema = closed({"a": STRING})
    for _ in range(levels - 1):
        schema = closed({"a": schema})
    return schema


def complaint(check, schema, subject, *, strict):
    """What is said about the schema, or None."""
    try:
        check(schema, subject, strict=strict)
    except Refusal as refusal:
        reply = refusal.reply
    else:
        return None
    error = reply.json["error"]
    assert (reply.status, error["param"], error["code"]) == (400, subject.param, subject.code)
    return error["message"].removeprefix(f"Invalid schema for {subject.name}: ")


STRICT_TAKES = {
    "nothing": closed({}),
    "every type": closed(
        {
            kind: {"type": kind, **({"items": STRING} if kind == "array" else {})}
            for kind in ("string", "number", "boolean", "integer", "array", "null")
        }
    ),
    "several types": closed({"a": {"type": ["string", "null"]}}),
    "an object or null": closed({"a": closed({}, type=["object", "null"])}),
    "limits of a number": closed(
        {"a": {"type": "number", "minimum": 0, "exclusiveMaximum": 5, "multipleOf": 2}}
    ),
    "a pattern": closed({"a": {"type": "string", "pattern": "^a"}}),
    "a known format": closed({"a": {"type": "string", "format": "date-time"}}),
    "limits of an array": closed({"a": {"type": "array", "items": STRING, "minItems": 1, "maxItems": 2}}),
    "an enum": closed({"a": {"type": "string", "enum": ["a", "b"]}}),
    "a constant": closed({"a": {"type": "string", "const": "a"}}),
    "anyOf": closed({"a": {"anyOf": [STRING, closed({"b": STRING})], "description": "which"}}),
    "a reference": closed({"a": {"$ref": "#/$defs/B"}}, **DEFINED),
    "an older reference": closed({"a": {"$ref": "#/definitions/B"}}, definitions=DEFINED["$defs"]),
    "a reference with an escaped name": closed({"a": {"$ref": "#/$defs/a~1b"}}, **{"$defs": {"a/b": STRING}}),
    "itself": closed({"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}),
    "titles and descriptions": closed({"a": {**STRING, "title": "A", "description": "d"}}, title="T"),
    "a property that is called like a keyword": closed({"oneOf": STRING, "$ref": STRING}),
    "a default": closed({"a": {**STRING, "default": "x"}}),
    "ten levels": nested(10),
}


@pytest.mark.parametrize("schema", list(STRICT_TAKES.values()), ids=list(STRICT_TAKES))
def test_strict_mode_takes_the_documented_subset(schema):
    """For functions and for formats alike."""
    assert complaint(check_format_schema, schema, FORMAT, strict=True) is None
    assert complaint(check_function_schema, schema, FUNCTION, strict=True) is None


STRICT_REFUSES = {
    "a reference with a description": (
        closed({"a": {"$ref": "#/$defs/B", "description": "which"}}, **DEFINED),
        "In context=('properties', 'a'), $ref cannot have keywords {'description'}.",
    ),
    "a reference with a default": (
        closed({"a": {"$ref": "#/$defs/B", "default": {"n": 1}}}, **DEFINED),
        "$ref cannot have keywords {'default'}.",
    ),
    "a reference with a title in an array": (
        closed({"a": {"type": "array", "items": {"$ref": "#/$defs/B", "title": "T"}}}, **DEFINED),
        "In context=('properties', 'a', 'items'), $ref cannot have keywords {'title'}.",
    ),
    "a reference to nothing": (
        closed({"a": {"$ref": "#/$defs/C"}}, **DEFINED),
        "reference can only point to definitions defined at the top level of the schema.",
    ),
    "a reference to another document": (closed({"a": {"$ref": "other.json"}}), "reference can only point to"),
    "a reference to a property": (
        closed({"a": STRING, "b": {"$ref": "#/properties/a"}}),
        "reference can only",
    ),
    "oneOf": (closed({"a": {"type": "object", "oneOf": [closed({})]}}), "'oneOf' is not permitted."),
    "oneOf alone": (closed({"a": {"oneOf": [STRING]}}), "schema must have a 'type' key."),
    "allOf beside a type": (closed({"a": {**STRING, "allOf": []}}), "'allOf' is not permitted."),
    "not": (closed({"a": {**STRING, "not": {"const": "a"}}}), "'not' is not permitted."),
    "minLength": (closed({"a": {**STRING, "minLength": 1}}), "'minLength' is not permitted."),
    "uniqueItems": (
        closed({"a": {"type": "array", "items": STRING, "uniqueItems": True}}),
        "In context=('properties', 'a'), 'uniqueItems' is not permitted.",
    ),
    "patternProperties": (
        closed({"a": closed({}, patternProperties={})}),
        "'patternProperties' is not permitted.",
    ),
    "prefixItems": (
        closed({"a": {"type": "array", "items": STRING, "prefixItems": []}}),
        "'prefixItems' is not permitted.",
    ),
    "nullable": (closed({"a": {**STRING, "nullable": True}}), "'nullable' is not permitted."),
    "no type": (
        closed({"a": {"title": "A"}}),
        "In context=('properties', 'a'), schema must have a 'type' key.",
    ),
    "an empty branch": (
        closed({"a": {"anyOf": [{}, STRING]}}),
        "In context=('properties', 'a', 'anyOf', '0'), schema must have a 'type' key.",
    ),
    "a constant without type": (closed({"a": {"const": "x"}}), "schema must have a 'type' key."),
    "a schema that is true": (closed({"a": True}), "schema must have a 'type' key."),
    "an unknown type": (
        closed({"a": {"type": "text"}}),
        "'text' is not valid under any of the given schemas.",
    ),
    "an unknown format": (closed({"a": {**STRING, "format": "uri"}}), "'uri' is not a valid format."),
    "an open object": (
        {"type": "object", "properties": {}},
        "In context=(), 'additionalProperties' is required to be supplied and to be false.",
    ),
    "an open object in a definition": (
        closed({"a": {"$ref": "#/$defs/B"}}, **{"$defs": {"B": {"type": "object"}}}),
        "In context=('$defs', 'B'), 'additionalProperties' is required",
    ),
    "an optional property": (
        closed({"a": STRING}, required=[]),
        "including every key in properties. Missing 'a'.",
    ),
    "a required property that is not there": (
        closed({"a": STRING}, required=["a", "b"]),
        "Extra required key 'b' supplied.",
    ),
    "an array without items": (closed({"a": {"type": "array"}}), "array schema missing items."),
    "properties that are a list": (closed({"a": closed({}, properties=[])}), "[] is not of type 'object'."),
    "anyOf at the top": (
        closed({"a": STRING}, anyOf=[closed({})]),
        "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
    ),
    "eleven levels": (nested(11), "11 levels of nesting exceeds limit of 10."),
    "5001 properties": (
        closed({f"p{n}": STRING for n in range(5001)}),
        "5001 properties exceeds limit of 5000.",
    ),
    "1001 enum values": (
        closed({"a": {"type": "integer", "enum": list(range(1001))}}),
        "1001 enum values exceeds limit of 1000.",
    ),
    "15001 characters of a long enum": (
        closed({"a": {"type": "string", "enum": [f"{n:060}" for n in range(251)]}}),
        "15060 characters of an enum of more than 250 values exceeds limit of 15000.",
    ),
    "120001 characters": (
        closed({"a": {"type": "string", "enum": ["x" * 120_000]}}),
        "120001 characters exceeds limit of 120000.",
    ),
}


@pytest.mark.parametrize(("schema", "says"), list(STRICT_REFUSES.values()), ids=list(STRICT_REFUSES))
def test_strict_mode_refuses_everything_else(schema, says):
    """In the platform's words, for functions and for formats alike; what is not strict may be sent."""
    assert says in complaint(check_format_schema, schema, FORMAT, strict=True)
    assert says in complaint(check_function_schema, schema, FUNCTION, strict=True)
    assert complaint(check_format_schema, schema, FORMAT, strict=False) is None


def test_the_client_sends_nothing_as_strict_that_is_refused():
    """What it takes for strict is taken here."""
    refused = [schema for schema, _ in (*STRICT_REFUSES.values(), *NO_OBJECT.values())]
    assert [schema for schema in refused if is_strict(schema)] == []
    assert sum(map(is_strict, STRICT_TAKES.values())) > len(STRICT_TAKES) / 2


NO_OBJECT = {
    "array": ({"type": "array", "items": STRING}, "array"),
    "string": (STRING, "string"),
    "a reference": ({"$ref": "#/$defs/B", **DEFINED}, "None"),
    "anyOf": ({"anyOf": [closed({})]}, "None"),
    "nothing": ({}, "None"),
    "an object or null": ({"type": ["object", "null"]}, "['object', 'null']"),
    "the wrapper of Chat Completions": (
        {"type": "json_schema", "json_schema": {"schema": closed({})}},
        "json_schema",
    ),
    "what is in that wrapper": ({"name": "answer", "strict": True, "schema": closed({})}, "None"),
}


@pytest.mark.parametrize(("schema", "kind"), list(NO_OBJECT.values()), ids=list(NO_OBJECT))
@pytest.mark.parametrize("strict", [True, False])
def test_the_root_is_an_object(schema, kind, strict):
    """Strict or not, of a function and of a format."""
    says = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    assert complaint(check_format_schema, schema, FORMAT, strict=strict) == says
    assert complaint(check_function_schema, schema, FUNCTION, strict=strict) == says


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "object", "anyOf": []}, "not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."),
        (
            {"type": "object", "properties": {"a": {"type": "array"}}},
            "In context=('properties', 'a'), array schema missing items.",
        ),
    ],
)
def test_functions_have_rules_of_their_own(schema, says):
    """Also those that are not strict."""
    assert complaint(check_function_schema, schema, FUNCTION, strict=False).endswith(says)
    assert complaint(check_format_schema, schema, FORMAT, strict=False) is None


# --- at the wire ------------------------------------------------------------------------------------

LIST: dict[str, Any] = {"type": "array", "items": STRING}
GOT_A_LIST = "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."


def error_of(reply):
    assert reply.status_code == 400, reply.text
    return reply.json()["error"]


def platform(client, path, **fields):
    return client.http.post(
        f"{client.emulator.urls['openai_base_url']}/{path}",
        json={"model": "gpt-5.5", **fields},
        headers={"authorization": "Bearer sk-x"},
    )


def test_every_api_names_what_is_wrong_its_own_way(client):
    """A Responses request has the format flat, Chat Completions in a wrapper; tools likewise."""
    flat = {"type": "json_schema", "name": "answer", "schema": LIST}
    wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "schema": LIST}}
    messages = [{"role": "user", "content": "hi"}]
    says = f"Invalid schema for response_format 'answer': {GOT_A_LIST}"
    expected = {"message": says, "type": "invalid_request_error"}
    responses = {**expected, "param": "text.format.schema", "code": "invalid_json_schema"}
    assert error_of(client.turn(text={"format": flat})) == responses
    assert error_of(platform(client, "responses", input="hi", text={"format": flat})) == responses
    chat = {**expected, "param": "response_format", "code": None}
    assert error_of(platform(client, "chat/completions", messages=messages, response_format=wrapped)) == chat
    function = {"name": "f", "parameters": LIST}
    tool = client.turn(tools=[{"type": "function", **function}])
    assert error_of(tool)["param"] == "tools[0].parameters"
    tool = platform(
        client, "chat/completions", messages=messages, tools=[{"type": "function", "function": function}]
    )
    assert error_of(tool)["param"] == "tools[0].function.parameters"
    grammar = {"syntax": "peg", "definition": "a"}
    custom = {"name": "s", "format": {"type": "grammar", "grammar": grammar}}
    tool = platform(
        client, "chat/completions", messages=messages, tools=[{"type": "custom", "custom": custom}]
    )
    assert error_of(tool)["param"] == "tools[0].custom.format.grammar.syntax"
    # Each in the other's shape.
    assert error_of(client.turn(text={"format": wrapped}))["param"] == "text.format.name"
    swapped = platform(client, "chat/completions", messages=messages, response_format=flat)
    assert error_of(swapped)["param"] == "response_format.json_schema"


@pytest.mark.parametrize(
    ("text_format", "says"),
    [
        ({}, "Missing required parameter: 'text.format.type'."),
        ({"type": None}, "Missing required parameter: 'text.format.type'."),
        ({"type": "object"}, "Supported values are: 'text', 'json_object', 'json_schema'."),
        ({"type": "json_schema", "name": "n"}, "Missing required parameter: 'text.format.schema'."),
        ({"type": "json_schema", "name": "n", "schema": []}, "Invalid type for 'text.format.schema'"),
        ({"type": "json_schema", "name": "n", "schema": "{}"}, "Invalid type for 'text.format.schema'"),
        ({"type": "json_schema", "name": "a b", "schema": {}}, "Invalid 'text.format.name'"),
        ({"type": "json_schema", "name": "n" * 65, "schema": {}}, "Invalid 'text.format.name'"),
        ({"type": "json_object"}, "must contain the word 'json' in some form"),
    ],
)
def test_a_format_that_is_none_is_refused(client, text_format, says):
    """With a sentence about it."""
    assert says in error_of(client.turn(text={"format": text_format}))["message"]
