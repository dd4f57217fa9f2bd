"""The smallest value that fits a JSON schema: enough of it for tools and structured output."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
# Recursion without end needs a schema whose every branch is required: no value fits that one.
DEEPEST = 32

FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "PT1S",
    "email": "person@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A value that fits the schema: what is required and no more."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    root = schema if root is None else root
    for keyword, choose in CHOICES.items():
        if keyword in schema:
            return choose(schema, root, depth + 1)
    return MAKERS[_kind(schema)](schema, root, depth + 1)


def call_arguments(schema: Schema) -> Any:
    """Arguments that fit the parameters of a function: what is required, or else the first one, with a value.

    A call in which everything is left out fits, too, but tools whose parameters exclude each other refuse it,
    and models do not make it.
    """
    made = instance(schema)
    if made != {} or not schema.get("properties"):
        return made
    first, inner = next(iter(schema["properties"].items()))
    if isinstance(inner, dict) and _kind(inner) == "array":
        inner = {**inner, "minItems": max(1, inner.get("minItems", 0))}
    return {first: instance(inner, schema)}


def _kind(schema: Schema) -> str:
    declared = schema.get("type")
    kinds = declared if isinstance(declared, list) else [declared]
    known = [kind for kind in kinds if kind in MAKERS]
    if known:
        return str(known[0])
    return next((kind for keyword, kind in IMPLIED.items() if keyword in schema), "string")


def _resolve(reference: str, root: Any) -> Any:
    target = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        plain = name.replace("~1", "/").replace("~0", "~")  # RFC 6901, section 4
        target = target.get(plain) if isinstance(target, dict) and plain else target
    return target


def _referenced(schema: Schema, root: Any, depth: int) -> Any:
    return instance(_resolve(str(schema["$ref"]), root), root, depth)


def _any_of(schema: Schema, root: Any, depth: int) -> Any:
    branches = schema.get("anyOf") or schema.get("oneOf") or [{}]
    # In a recursive schema, take the branch without a reference, usually null.
    branches = sorted(branches, key=lambda branch: "$ref" in branch) if depth > 3 else branches
    return instance(branches[0], root, depth)


def _all_of(schema: Schema, root: Any, depth: int) -> Any:
    merged: Schema = {key: value for key, value in schema.items() if key != "allOf"}
    for branch in schema["allOf"]:
        part = _resolve(branch["$ref"], root) if "$ref" in branch else branch
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = {**merged, **part, "properties": properties, "required": required}
    return instance(merged, root, depth)


# The type that a schema without `type` describes, by its keywords.
IMPLIED = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "minimum": "number",
}
CHOICES: dict[str, Callable[[Schema, Any, int], Any]] = {
    "const": lambda schema, root, depth: schema["const"],
    "enum": lambda schema, root, depth: schema["enum"][0],
    "$ref": _referenced,
    "anyOf": _any_of,
    "oneOf": _any_of,
    "allOf": _all_of,
}


def _object(schema: Schema, root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: instance(properties.get(name, {}), root, depth) for name in schema.get("required", [])}


def _array(schema: Schema, root: Any, depth: int) -> list[Any]:
    first = schema.get("prefixItems", [])
    count = max(schema.get("minItems", 0), 0)
    rest = schema.get("items", {})
    return [instance(first[n] if n < len(first) else rest, root, depth) for n in range(count)]


def _string(schema: Schema, root: Any, depth: int) -> str:
    text = FORMATS.get(schema.get("format", ""), "text")
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _number(schema: Schema, root: Any, depth: int, step: float = 0.5) -> float | int:
    least = schema.get("minimum", -math.inf)
    if "exclusiveMinimum" in schema:
        least = max(least, schema["exclusiveMinimum"] + step)
    most = schema.get("maximum", math.inf)
    if "exclusiveMaximum" in schema:
        most = min(most, schema["exclusiveMaximum"] - step)
    value: float = min(max(0, least), most)
    multiple = schema.get("multipleOf")
    return math.ceil(value / multiple) * multiple if multiple else value


def _integer(schema: Schema, root: Any, depth: int) -> int:
    return math.ceil(_number(schema, root, depth, step=1))


MAKERS: dict[str, Callable[[Schema, Any, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": lambda schema, root, depth: True,
    "null": lambda schema, root, depth: None,
}
