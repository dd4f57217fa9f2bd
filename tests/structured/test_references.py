"""References in a JSON schema, and objects as its root."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.structured.references import target, with_object_root

A = {"type": "object", "properties": {"next": {"$ref": "#/$defs/a"}}}
B = {"type": "string"}
ROOT = {"$defs": {"a": A, "x/y": B, "p~q": B}}

TARGETS: dict[str, tuple[Any, Any]] = {
    "a definition": ("#/$defs/a", A),
    "deeper": ("#/$defs/a/properties/next", {"$ref": "#/$defs/a"}),
    "the root": ("#", ROOT),
    "a slash in a name": ("#/$defs/x~1y", B),
    "a tilde in a name": ("#/$defs/p~0q", B),
    "nowhere": ("#/$defs/z", None),
    "beyond the end": ("#/$defs/a/type/more", None),
    "another document": ("https://example.org/s.json", None),
    "no text": (3, None),
}


@pytest.mark.parametrize(("reference", "found"), TARGETS.values(), ids=TARGETS)
def test_targets(reference: Any, found: Any) -> None:
    """A reference points to what RFC 6901 says, or to nothing."""
    assert target(reference, ROOT) == found


def wrapped(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "additionalProperties": False,
        **more,
    }


TREE = {"type": "array", "items": {"$ref": "#"}}

ROOTS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "an object": (A, A, False),
    "properties without a type": ({"properties": {}}, {"type": "object", "properties": {}}, False),
    "a reference": ({"$ref": "#/$defs/b", "$defs": {"b": {"type": "object"}}}, {"type": "object"}, False),
    "a reference that is needed elsewhere": (
        {"$ref": "#/$defs/a", "title": "A", "$defs": {"a": A, "b": B}},
        {**A, "title": "A", "$defs": {"a": A}},
        False,
    ),
    "references through others": (
        {
            "$ref": "#/$defs/c",
            "$defs": {
                "a": {"anyOf": [{"$ref": "#/$defs/b"}]},
                "b": B,
                "c": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}},
            },
        },
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": B},
        },
        False,
    ),
    "names that are written otherwise in a reference": (
        {
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/p~0q"}},
            "$ref": "#/$defs/x~1y",
            "$defs": {"p~q": B, "x/y": {"type": "object"}, "z": B},
        },
        {"type": "object", "properties": {"p": {"$ref": "#/$defs/p~0q"}}, "$defs": {"p~q": B}},
        False,
    ),
    "a reference that leads deeper": (
        {
            "$ref": "#/$defs/x",
            "$defs": {
                "x": {"type": "object", "properties": {"p": {"$ref": "#/$defs/a/properties/q"}}},
                "a": {"properties": {"q": B}},
                "b": B,
            },
        },
        {
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/a/properties/q"}},
            "$defs": {"a": {"properties": {"q": B}}},
        },
        False,
    ),
    "a reference to no object": (
        {"$ref": "#/definitions/b", "definitions": {"b": B}},
        wrapped(B),
        True,
    ),
    "a text": (B, wrapped(B), True),
    "an object or null": ({"type": ["object", "null"]}, wrapped({"type": ["object", "null"]}), True),
    "definitions": ({"anyOf": [], "$defs": {"b": B}}, wrapped({"anyOf": []}, **{"$defs": {"b": B}}), True),
    "a schema that refers to its root": (
        TREE,
        wrapped(
            {"$ref": "#/$defs/value"},
            **{"$defs": {"value": {"type": "array", "items": {"$ref": "#/$defs/value"}}}},
        ),
        True,
    ),
    "the same with a definition of that name": (
        {**TREE, "$defs": {"value": B}},
        wrapped(
            {"$ref": "#/$defs/value_"},
            **{"$defs": {"value": B, "value_": {"type": "array", "items": {"$ref": "#/$defs/value_"}}}},
        ),
        True,
    ),
    "a reference to itself": (
        {"$ref": "#"},
        wrapped({"$ref": "#/$defs/value"}, **{"$defs": {"value": {"$ref": "#/$defs/value"}}}),
        True,
    ),
    "a reference to a reference": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        wrapped({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"$ref": "#/$defs/a"}}}),
        True,
    ),
    "another document": ({"$ref": "https://example.org"}, wrapped({"$ref": "https://example.org"}), True),
}


@pytest.mark.parametrize(("schema", "rooted", "is_wrapped"), ROOTS.values(), ids=ROOTS)
def test_roots(schema: dict[str, Any], rooted: dict[str, Any], is_wrapped: bool) -> None:
    """The root of what is sent is an object; other values are the one property of it."""
    assert with_object_root(schema) == (rooted, is_wrapped)
