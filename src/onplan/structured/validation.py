"""Checks a JSON value by a JSON schema (draft 2020-12), and says where it does not fit.

Keywords that are unknown, or of another shape than they should be, are passed over, as are references to
other documents and formats: a service decides what it takes of a schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from onplan.structured.misfit import Misfit, json_path
from onplan.structured.references import Schema, target

Path: TypeAlias = tuple[str | int, ...]


def validate(value: Any, schema: Any, root: Schema) -> None:
    """Raise Misfit unless ``value`` is what ``schema``, a part of ``root``, describes."""
    problem = next(_problems(value, schema, root, ()), None)
    if problem:
        words, path = problem
        raise Misfit(words, json_path(path))


def fits(value: Any, schema: Any, root: Schema) -> bool:
    """Whether ``value`` is what ``schema``, a part of ``root``, describes."""
    return next(_problems(value, schema, root, ()), None) is None


_Problems: TypeAlias = Iterator[tuple[str, Path]]


def _problems(value: Any, schema: Any, root: Schema, path: Path) -> _Problems:
    if schema is False:
        yield "nothing is allowed here", path
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _problems(value, target(schema["$ref"], root), root, path)
    for keyword, wanted in schema.items():
        if rule := _VALUES.get(keyword):
            words = rule(value, wanted)
            if words:
                yield words, path
        elif inner := _INNER.get(keyword):
            yield from inner(value, schema, root, path)


# --- keywords that look at the value alone -----------------------------------------------------------


def _is_of(kind: object, value: Any) -> bool:
    if kind == "integer":
        whole = isinstance(value, float) and value.is_integer()
        return whole or (isinstance(value, int) and not isinstance(value, bool))
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    python = _TYPES.get(kind) if isinstance(kind, str) else None
    return python is None or isinstance(value, python)


_TYPES: Mapping[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def type_name(value: Any) -> str:
    """What JSON calls the type of ``value``."""
    return next((name for name, python in _TYPES.items() if isinstance(value, python)), "number")


def _type(value: Any, wanted: Any) -> str | None:
    kinds = wanted if isinstance(wanted, list) else [wanted]
    if any(_is_of(kind, value) for kind in kinds):
        return None
    return f"expected {' or '.join(map(str, kinds))}, got {type_name(value)}"


def _is_same(one: Any, other: Any) -> bool:
    """Whether both are the same JSON value: true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _enum(value: Any, wanted: Any) -> str | None:
    if not isinstance(wanted, list) or any(_is_same(value, each) for each in wanted):
        return None
    return f"expected one of the {len(wanted)} values of its enum"


def _const(value: Any, wanted: Any) -> str | None:
    return None if _is_same(value, wanted) else f"expected {wanted!r}"


def _pattern(value: Any, wanted: Any) -> str | None:
    return None if not isinstance(value, str) or _matches(wanted, value) else f"does not match {wanted!r}"


def _matches(pattern: Any, text: str) -> bool:
    """Whether ``pattern`` is found in ``text``, or is none that Python reads: dialects differ."""
    try:
        return re.search(pattern, text) is not None
    except (re.error, TypeError):
        return True


def _unique(value: Any, wanted: Any) -> str | None:
    if wanted is not True or not isinstance(value, list):
        return None
    twice = any(_is_same(one, other) for at, one in enumerate(value) for other in value[:at])
    return "has the same item twice" if twice else None


def _multiple(value: Any, wanted: Any) -> str | None:
    if not (_is_of("number", value) and _is_of("number", wanted)) or not wanted:
        return None
    left = Decimal(str(value)) % Decimal(str(wanted))
    return f"is not a multiple of {wanted}" if left else None


def _limit(
    kind: str, size: Callable[[Any], Any], holds: Callable[[Any, Any], bool], words: str
) -> Callable[[Any, Any], str | None]:
    """The rule that the size of a value of type ``kind`` stands in a relation to the keyword's number."""

    def rule(value: Any, wanted: Any) -> str | None:
        if not _is_of(kind, value) or not _is_of("number", wanted) or holds(size(value), wanted):
            return None
        return words.format(wanted)

    return rule


def _at_least(one: Any, other: Any) -> bool:
    return bool(one >= other)


def _at_most(one: Any, other: Any) -> bool:
    return bool(one <= other)


_VALUES: Mapping[str, Callable[[Any, Any], str | None]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "uniqueItems": _unique,
    "multipleOf": _multiple,
    "minimum": _limit("number", lambda value: value, _at_least, "is less than {}"),
    "maximum": _limit("number", lambda value: value, _at_most, "is more than {}"),
    "exclusiveMinimum": _limit(
        "number", lambda value: value, lambda a, b: bool(a > b), "is not more than {}"
    ),
    "exclusiveMaximum": _limit(
        "number", lambda value: value, lambda a, b: bool(a < b), "is not less than {}"
    ),
    "minLength": _limit("string", len, _at_least, "is shorter than {} characters"),
    "maxLength": _limit("string", len, _at_most, "is longer than {} characters"),
    "minItems": _limit("array", len, _at_least, "has fewer than {} items"),
    "maxItems": _limit("array", len, _at_most, "has more than {} items"),
    "minProperties": _limit("object", len, _at_least, "has fewer than {} properties"),
    "maxProperties": _limit("object", len, _at_most, "has more than {} properties"),
}


# --- keywords with schemas in them -------------------------------------------------------------------


def _properties(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    known = schema["properties"]
    if isinstance(value, dict) and isinstance(known, dict):
        for name, wanted in known.items():
            if name in value:
                yield from _problems(value[name], wanted, root, (*path, name))


def _pattern_properties(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    patterns = schema["patternProperties"]
    if isinstance(value, dict) and isinstance(patterns, dict):
        for name, inner in value.items():
            for pattern, wanted in patterns.items():
                if _matches(pattern, name):
                    yield from _problems(inner, wanted, root, (*path, name))


def _additional_properties(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    wanted = schema["additionalProperties"]
    known, patterns = (_as_dict(schema.get(keyword)) for keyword in ("properties", "patternProperties"))
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if name in known or any(_matches(pattern, name) for pattern in patterns):
            continue
        if wanted is False:
            yield "has no place in the schema", (*path, name)
        yield from _problems(inner, wanted, root, (*path, name))


def _as_dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _property_names(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    for name in value if isinstance(value, dict) else ():
        yield from _problems(name, schema["propertyNames"], root, (*path, name))


def _required(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    if isinstance(value, dict) and isinstance(schema["required"], list):
        names = (name for name in schema["required"] if isinstance(name, str))
        yield from ((f"lacks the property {name!r}", path) for name in names if name not in value)


def _prefix_items(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    wanted = schema["prefixItems"]
    if isinstance(value, list) and isinstance(wanted, list):
        for at, (inner, each) in enumerate(zip(value, wanted, strict=False)):
            yield from _problems(inner, each, root, (*path, at))


def _items(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    first = schema.get("prefixItems")
    start = len(first) if isinstance(first, list) else 0
    if isinstance(value, list):
        for at, inner in enumerate(value[start:], start):
            yield from _problems(inner, schema["items"], root, (*path, at))


def _branches(schema: Schema, keyword: str) -> Sequence[Any]:
    return schema[keyword] if isinstance(schema[keyword], list) else ()


def _any_of(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    found = [list(_problems(value, branch, root, path)) for branch in _branches(schema, "anyOf")]
    if found and all(found):
        # The branch that fails deepest is the one that was meant.
        yield max((problems[0] for problems in found), key=lambda problem: len(problem[1]))


def _one_of(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    yield from _any_of(value, {"anyOf": schema["oneOf"]}, root, path)
    if sum(fits(value, branch, root) for branch in _branches(schema, "oneOf")) > 1:
        yield "fits more than one schema of its oneOf", path


def _all_of(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    for branch in _branches(schema, "allOf"):
        yield from _problems(value, branch, root, path)


def _not(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    if isinstance(schema["not"], dict | bool) and fits(value, schema["not"], root):
        yield "is what its schema excludes", path


def _if(value: Any, schema: Schema, root: Schema, path: Path) -> _Problems:
    then = schema.get("then" if fits(value, schema["if"], root) else "else", True)
    yield from _problems(value, then, root, path)


_INNER: Mapping[str, Callable[[Any, Schema, Schema, Path], _Problems]] = {
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "required": _required,
    "prefixItems": _prefix_items,
    "items": _items,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _all_of,
    "not": _not,
    "if": _if,
}
