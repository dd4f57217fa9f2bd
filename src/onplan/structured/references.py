"""References inside a JSON schema (``$ref``), and schemas as the API wants their root: an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

DEFINITIONS = ("$defs", "definitions")
# The property that holds the value of a schema that describes no object, and the definition for such a schema
# that refers to itself.
WRAPPED = "value"


def target(reference: object, root: Any) -> Any:
    """What ``reference`` points to in ``root`` (RFC 6901); None if that is nowhere, or another document."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def with_object_root(schema: Schema) -> tuple[Schema, bool]:
    """``schema`` with an object as its root, and whether its values are wrapped in that object.

    A reference as the root is replaced by what it points to.
    """
    while (referred := target(schema.get("$ref"), schema)) and isinstance(referred, dict):
        if referred is schema or "$ref" in referred:
            break
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema = _without_unused({**referred, **beside})
    if "type" not in schema and isinstance(schema.get("properties"), dict):
        schema = {"type": "object", **schema}
    if schema.get("type") == "object":
        return schema, False
    return _wrapped(schema), True


def _without_unused(schema: Schema) -> Schema:
    """``schema`` without the definitions to which nothing in it refers."""
    kept = dict(schema)
    for place in DEFINITIONS:
        definitions = kept.get(place)
        if isinstance(definitions, dict):
            needed = _needed(kept, place)
            kept[place] = {name: inner for name, inner in definitions.items() if name in needed}
            if not kept[place]:
                del kept[place]
    return kept


def _needed(schema: Schema, place: str) -> set[str]:
    """The definitions at ``place`` that the rest of ``schema`` refers to, also through one another."""
    start = f"#/{place}/"
    definitions = schema[place]
    waiting = [{name: value for name, value in schema.items() if name != place}]
    needed: set[str] = set()
    while waiting:
        for reference in _references(waiting.pop()):
            name = reference.removeprefix(start).split("/")[0].replace("~1", "/").replace("~0", "~")
            if reference.startswith(start) and name in definitions and name not in needed:
                needed.add(name)
                waiting.append(definitions[name])
    return needed


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _wrapped(schema: Schema) -> Schema:
    """An object with the one property ``value``, which is of ``schema``."""
    definitions = {place: schema[place] for place in DEFINITIONS if isinstance(schema.get(place), dict)}
    inner = {name: value for name, value in schema.items() if name not in definitions}
    if "#" in _references(schema):  # a reference to the root, which is another schema now
        name = WRAPPED
        while name in definitions.get("$defs", {}):
            name += "_"
        definitions["$defs"] = {**definitions.get("$defs", {}), name: inner}
        definitions, inner = _moved(definitions, f"#/$defs/{name}"), {"$ref": f"#/$defs/{name}"}
    title = {"title": schema["title"]} if "title" in schema else {}
    return {
        **title,
        "type": "object",
        "properties": {WRAPPED: inner},
        "required": [WRAPPED],
        "additionalProperties": False,
        **definitions,
    }


def _moved(schema: Any, root: str) -> Any:
    """``schema`` in which references to the root are references to ``root``."""
    if isinstance(schema, dict):
        moved = {name: _moved(inner, root) for name, inner in schema.items()}
        return {**moved, "$ref": root} if schema.get("$ref") == "#" else moved
    return [_moved(inner, root) for inner in schema] if isinstance(schema, list) else schema
