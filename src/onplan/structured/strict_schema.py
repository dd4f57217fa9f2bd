"""Decides whether a JSON schema may be sent with ``strict: true``.

Strict mode accepts the subset of JSON Schema that OpenAI documents under "Structured Outputs", "Supported
schemas". Other schemas are refused with ``strict: true`` and accepted without it, so in doubt it is false.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onplan.structured.references import Schema

# Keywords of any schema. "title" is not documented, but accepted; pydantic writes it everywhere.
_WORDS = frozenset({"$defs", "$schema", "definitions", "description", "title"})
_OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"enum", "const", "pattern", "format"}),
    "number": frozenset(
        {"enum", "const", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    ),
    "boolean": frozenset({"enum", "const"}),
    "null": frozenset({"enum", "const"}),
}
FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"},
)
# Limits of a whole schema.
_MOST_LEVELS, _MOST_PROPERTIES, _MOST_VALUES, _MOST_CHARACTERS = 10, 5_000, 1_000, 120_000
# An enum with more strings than the first number may have so many characters in all.
_LONG_ENUM, _MOST_CHARACTERS_OF_ENUM = 250, 15_000
_MOST_DEPTH = 100  # of nested schemas of any kind; our own limit


def is_strict(schema: Any) -> bool:
    """Whether ``schema`` is in the documented subset.

    The root is an object. Each object has ``additionalProperties: false`` and requires all its properties.
    Each schema has a type, or is an ``anyOf``, or a ``$ref`` and nothing else. No other keywords or formats
    are used.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    properties = values = characters = 0
    for inner, levels, depth in _walk(schema):
        if not isinstance(inner, dict) or not _is_permitted(inner, schema):
            return False
        if levels > _MOST_LEVELS or depth > _MOST_DEPTH:
            return False
        properties += len(inner.get("properties", ()))
        values += len(inner.get("enum", ()))
        characters += sum(map(len, _texts(inner)))
    return properties <= _MOST_PROPERTIES and values <= _MOST_VALUES and characters <= _MOST_CHARACTERS


def _walk(root: Schema) -> Iterator[tuple[Any, int, int]]:
    """Yields each schema in ``root``, its depth in objects and its depth in schemas.

    A schema is yielded before its inner schemas are read, so that the caller can reject a malformed one.
    """
    waiting: list[tuple[Any, int, int]] = [(root, 0, 1)]
    while waiting:
        schema, levels, depth = waiting.pop()
        levels += isinstance(schema, dict) and "properties" in schema
        yield schema, levels, depth
        inside = [inner for name in ("$defs", "definitions") for inner in schema.get(name, {}).values()]
        waiting += [(inner, 0, depth + 1) for inner in inside]
        nested = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
        nested += [schema["items"]] if "items" in schema else []
        waiting += [(inner, levels, depth + 1) for inner in nested]


def _is_permitted(schema: Schema, root: Schema) -> bool:
    """Whether one schema is in the subset, leaving aside its inner schemas."""
    definitions = [schema.get(name, {}) for name in ("$defs", "definitions")]
    if not all(isinstance(named, dict) for named in definitions):
        return False
    if "$ref" in schema:
        return set(schema) == {"$ref"} and _is_defined(schema["$ref"], root)
    if "anyOf" in schema:
        branches = schema["anyOf"]
        return set(schema) <= _WORDS | {"anyOf"} and isinstance(branches, list) and bool(branches)
    kinds = schema.get("type")
    kinds = [_kind(kind) for kind in (kinds if isinstance(kinds, list) else [kinds])]
    if not kinds or not all(kind in _OF_TYPE for kind in kinds):
        return False
    if not set(schema) <= _WORDS.union({"type"}, *(_OF_TYPE[kind] for kind in kinds)):
        return False
    objects, arrays = "object" not in kinds or _is_closed(schema), "array" not in kinds or "items" in schema
    return objects and arrays and _has_known_values(schema)


def _kind(kind: Any) -> str:
    return "number" if kind == "integer" else kind if isinstance(kind, str) else ""


def _is_defined(reference: Any, root: Schema) -> bool:
    """Whether ``reference`` points to the root or to one of its definitions."""
    if not isinstance(reference, str):
        return False
    start, _, rest = reference.partition("/")
    where, _, name = rest.partition("/")
    plain = name.replace("~1", "/").replace("~0", "~")  # RFC 6901, section 4
    defined = where in ("$defs", "definitions") and plain in root.get(where, {})
    return reference == "#" or (start == "#" and defined)


def _is_closed(schema: Schema) -> bool:
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    named = {name for name in required if isinstance(name, str)}
    is_complete = named == set(properties) and len(named) == len(required)
    return schema.get("additionalProperties") is False and is_complete


def _has_known_values(schema: Schema) -> bool:
    values = schema.get("enum", [])
    if not isinstance(values, list) or ("enum" in schema and not values):
        return False
    texts = [value for value in values if isinstance(value, str)]
    too_long = len(texts) > _LONG_ENUM and sum(map(len, texts)) > _MOST_CHARACTERS_OF_ENUM
    known = "format" not in schema or (isinstance(schema["format"], str) and schema["format"] in FORMATS)
    return known and not too_long


def _texts(schema: Schema) -> Iterator[str]:
    """The strings that count towards the limit: property and definition names, enum and const values."""
    for name in ("properties", "$defs", "definitions"):
        yield from schema.get(name, ())
    yield from (value for value in (*schema.get("enum", ()), schema.get("const")) if isinstance(value, str))
