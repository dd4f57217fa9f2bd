"""Checks JSON schemas, and says where one is not acceptable.

Two sets of rules: what the schema of every function and response format must be, and the subset of JSON
Schema that strict mode takes, which OpenAI documents ("Structured Outputs", "Supported schemas"). The
sentences are the platform's, as users reported them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from onplan.emulator.wire.replies import Refusal, api_error

Schema = dict[str, Any]
Context = tuple[str, ...]

# Keywords that strict mode accepts. `title` and `default` are not documented: pydantic writes a title
# everywhere and is accepted; a default was refused in 2024 and accepted in August 2026
# (github.com/openai/openai-agents-python/issues/4390).
KEYWORDS = frozenset(
    [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "definitions",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    ]
)
TYPES = ("string", "number", "boolean", "integer", "object", "array", "null")
FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "enum", "not")
# Limits of a strict schema as a whole.
MOST_LEVELS, MOST_PROPERTIES, MOST_ENUM_VALUES, MOST_CHARACTERS = 10, 5000, 1000, 120_000
# Limits of one enum, if it has more values than the first.
LONG_ENUM, MOST_CHARACTERS_OF_ENUM = 250, 15_000


@dataclass(frozen=True)
class Subject:
    """What a schema belongs to, as refusals name it: `function 'f'` or `response_format 'n'`."""

    name: str
    param: str
    code: str | None

    def refusal(self, complaint: str, context: Context | None = None) -> Refusal:
        """The refusal of the schema, or of what stands at `context` within it."""
        place = "" if context is None else f"In context={context}, "
        message = f"Invalid schema for {self.name}: {place}{complaint}."
        return Refusal(api_error(message, param=self.param, code=self.code))


def check_function_schema(schema: Any, subject: Subject, *, strict: bool) -> None:
    """Raise unless `schema` may be the parameters of a function."""
    _check_root(schema, subject)
    _check_top(schema, subject)
    if strict:
        _check_strict(schema, subject)
        return
    for inner, context, _ in _walk(schema):
        if isinstance(inner, dict) and inner.get("type") == "array" and "items" not in inner:
            raise subject.refusal("array schema missing items", context)


def check_format_schema(schema: Any, subject: Subject, *, strict: bool) -> None:
    """Raise unless `schema` may be the format of an answer."""
    _check_root(schema, subject)
    if strict:
        _check_top(schema, subject)
        _check_strict(schema, subject)


def _check_root(schema: Any, subject: Subject) -> None:
    kind = schema.get("type") if isinstance(schema, dict) else type(schema).__name__
    if kind != "object":
        raise subject.refusal(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'")


def _check_top(schema: Schema, subject: Subject) -> None:
    if any(keyword in schema for keyword in NOT_AT_THE_TOP):
        names = "/".join(f"'{keyword}'" for keyword in NOT_AT_THE_TOP)
        raise subject.refusal(f"schema must have type 'object' and not have {names} at the top level")


def _check_strict(root: Schema, subject: Subject) -> None:
    sizes = dict.fromkeys(("properties", "enum values", "characters"), 0)
    for schema, context, level in _walk(root):
        for rule in RULES:
            complaint = rule(schema, root)
            if complaint is not None:
                raise subject.refusal(complaint, context)
        if level > MOST_LEVELS and "object" in _kinds(schema):
            raise subject.refusal(f"{level} levels of nesting exceeds limit of {MOST_LEVELS}")
        sizes["properties"] += len(schema.get("properties", ()))
        sizes["enum values"] += len(schema.get("enum", ()))
        sizes["characters"] += _characters(schema)
    limits = {"properties": MOST_PROPERTIES, "enum values": MOST_ENUM_VALUES, "characters": MOST_CHARACTERS}
    for what, limit in limits.items():
        if sizes[what] > limit:
            raise subject.refusal(f"{sizes[what]} {what} exceeds limit of {limit}")


def _characters(schema: Schema) -> int:
    """What counts towards the limit: names of properties and definitions, and values of enum and const."""
    named = [*schema.get("properties", ()), *schema.get("$defs", ()), *schema.get("definitions", ())]
    values = [*schema.get("enum", ()), schema.get("const")]
    return sum(len(value) for value in (*named, *values) if isinstance(value, str))


def _walk(root: Schema) -> Iterator[tuple[Any, Context, int]]:
    """Every schema within a schema, where it stands, and how many objects are around it."""
    waiting: list[tuple[Any, Context, int]] = [(root, (), 1)]
    while waiting:
        schema, context, level = waiting.pop()
        yield schema, context, level
        if isinstance(schema, dict):
            waiting += [
                (inner, (*context, *step), level + (step[0] == "properties"))
                for inner, step in reversed(list(_inside(schema)))
            ]


def _inside(schema: Schema) -> Iterator[tuple[Any, Context]]:
    for keyword in ("properties", "$defs", "definitions"):
        inner = schema.get(keyword)
        yield from ((inner[name], (keyword, name)) for name in inner) if isinstance(inner, dict) else ()
    branches = schema.get("anyOf")
    if isinstance(branches, list):
        yield from ((branch, ("anyOf", str(number))) for number, branch in enumerate(branches))
    if "items" in schema:
        yield schema["items"], ("items",)


# --- the rules of strict mode: what is wrong with one schema, or nothing -----------------------------


def _is_typed(schema: Any, root: Schema) -> str | None:
    if isinstance(schema, dict) and any(keyword in schema for keyword in ("type", "$ref", "anyOf")):
        return None
    return "schema must have a 'type' key"


def _refers(schema: Schema, root: Schema) -> str | None:
    if "$ref" not in schema:
        return None
    others = [keyword for keyword in schema if keyword != "$ref"]
    if others:
        return f"$ref cannot have keywords {{{', '.join(map(repr, others))}}}"
    if schema["$ref"] == "#" or _is_defined(str(schema["$ref"]), root):
        return None
    return "reference can only point to definitions defined at the top level of the schema"


def _is_defined(reference: str, root: Schema) -> bool:
    document, _, pointer = reference.partition("/")
    keyword, _, name = pointer.partition("/")
    plain = name.replace("~1", "/").replace("~0", "~")  # RFC 6901, section 4
    return document == "#" and keyword in ("$defs", "definitions") and plain in root.get(keyword, ())


def _is_permitted(schema: Schema, root: Schema) -> str | None:
    unknown = next((keyword for keyword in schema if keyword not in KEYWORDS), None)
    return None if unknown is None else f"'{unknown}' is not permitted"


# The types that keywords' values must have to be read.
SHAPES: dict[str, type] = {
    "$defs": dict,
    "anyOf": list,
    "definitions": dict,
    "enum": list,
    "properties": dict,
    "required": list,
}


def _is_well_formed(schema: Schema, root: Schema) -> str | None:
    for keyword, shape in SHAPES.items():
        if keyword in schema and not isinstance(schema[keyword], shape):
            kind = "object" if shape is dict else "array"
            return f"{schema[keyword]!r} is not of type '{kind}'"
    unknown = next((kind for kind in _kinds(schema) if kind not in TYPES), None)
    return None if unknown is None else f"{unknown!r} is not valid under any of the given schemas"


def _kinds(schema: Schema) -> list[Any]:
    declared = schema.get("type", [])
    return declared if isinstance(declared, list) else [declared]


def _is_closed(schema: Schema, root: Schema) -> str | None:
    if "object" not in _kinds(schema) and "properties" not in schema:
        return None
    if schema.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false"
    properties = schema.get("properties", {})
    required = dict.fromkeys(str(name) for name in schema.get("required", ()))
    rule = "'required' is required to be supplied and to be an array including every key in properties"
    missing = next((name for name in properties if name not in required), None)
    if missing is not None:
        return f"{rule}. Missing '{missing}'"
    extra = next((name for name in required if name not in properties), None)
    return None if extra is None else f"{rule}. Extra required key '{extra}' supplied"


def _has_items(schema: Schema, root: Schema) -> str | None:
    return "array schema missing items" if "array" in _kinds(schema) and "items" not in schema else None


def _has_known_format(schema: Schema, root: Schema) -> str | None:
    wanted = schema.get("format")
    return None if wanted is None or wanted in FORMATS else f"'{wanted}' is not a valid format"


def _is_no_huge_enum(schema: Schema, root: Schema) -> str | None:
    values = schema.get("enum", ())
    size = sum(len(value) for value in values if isinstance(value, str))
    if len(values) <= LONG_ENUM or size <= MOST_CHARACTERS_OF_ENUM:
        return None
    what = f"{size} characters of an enum of more than {LONG_ENUM} values"
    return f"{what} exceeds limit of {MOST_CHARACTERS_OF_ENUM}"


RULES: tuple[Callable[[Any, Schema], str | None], ...] = (
    _is_typed,
    _refers,
    _is_permitted,
    _is_well_formed,
    _is_closed,
    _has_items,
    _has_known_format,
    _is_no_huge_enum,
)
