"""Rewrites a JSON schema so that it may be strict, where that changes nothing for the program.

What may be rewritten depends on who reads the answer. The text that follows a program's own JSON schema is
read by the program, so the text must fit that schema as well. The text that follows the schema of a Python
type is read here, so more is possible: a property with a default may be null in the text, and is then left
to its default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onplan.structured.references import DEFINITIONS, Schema, target
from onplan.structured.strict_schema import FORMATS, is_strict
from onplan.structured.validation import fits, type_name

_NULL: Schema = {"type": "null"}


@dataclass(frozen=True, slots=True)
class StrictForm:
    """A schema in forms that mean the same.

    Attributes:
        schema: the strict one. All properties are required, and null stands for the absence of some.
        closed: the one without such nulls.
        either: the one in which such a property may be absent or null: some servers disregard "strict".
    """

    schema: Schema
    closed: Schema
    either: Schema

    def without_nulls(self, value: Any) -> Any:
        """``value``, which ``schema`` describes, as ``closed`` describes it: without what null stands for."""
        return value if self.either == self.closed else self._without_nulls(value, self.closed, self.either)

    def _without_nulls(self, value: Any, closed: Any, either: Any) -> Any:
        if "$ref" in closed:
            inner = target(closed["$ref"], self.closed), target(either["$ref"], self.either)
            return self._without_nulls(value, *inner)
        if "anyOf" in closed:
            for pair in zip(closed["anyOf"], either["anyOf"], strict=True):
                if fits(value, pair[1], self.either):
                    return self._without_nulls(value, *pair)
            return value
        if isinstance(value, list) and "items" in closed:
            return [self._without_nulls(item, closed["items"], either["items"]) for item in value]
        if isinstance(value, dict) and "properties" in closed:
            return dict(self._properties(value, closed, either))
        return value

    def _properties(self, value: Schema, closed: Schema, either: Schema) -> Iterator[tuple[str, Any]]:
        for name, inner in value.items():
            schema, wanted = closed["properties"].get(name), either["properties"].get(name)
            if schema is not None and _is_made_nullable(name, closed, self.closed):
                if inner is None:
                    continue
                wanted = wanted["anyOf"][0]
            yield name, inner if schema is None else self._without_nulls(inner, schema, wanted)


def strict_form(schema: Schema, *, of_type: bool) -> StrictForm | None:
    """The strict form of ``schema``, whose root is an object; None if it has none.

    ``of_type``: whether it is the schema of a Python type, by which the answer is read.
    """
    if is_strict(schema):
        return StrictForm(schema, schema, schema)
    closed = _closed(schema, of_type=of_type)
    either = _nullable(closed, closed) if of_type else closed
    strict = _required(either) if of_type else closed
    return StrictForm(strict, closed, either) if is_strict(strict) else None


# --- the same schema in the words of the subset -------------------------------------------------------

# What does not change which values fit: left out, or told in the description.
_UNSAID = ("$comment", "$id", "deprecated", "readOnly", "writeOnly", "contentMediaType")
_TOLD: Mapping[str, str] = {"default": "Default", "examples": "Examples"}
# What is checked when a Python type is read, so that it need not be part of the schema.
_TOLD_OF_TYPES: Mapping[str, str] = {
    "contentEncoding": "Encoding",
    "format": "Format",
    "minLength": "Shortest length",
    "maxLength": "Longest length",
}
_UNSAID_OF_TYPES = ("uniqueItems",)  # a set takes an item twice


def _closed(schema: Any, *, of_type: bool) -> Any:
    """``schema`` in the subset's words, as far as they say the same."""
    if not isinstance(schema, dict):
        return schema
    rewritten = _typed(_with_one_branch(_with_any_of(_described(schema, of_type=of_type))))
    properties = rewritten.get("properties")
    if rewritten.get("type") == "object" and isinstance(properties, dict) and (properties or of_type):
        rewritten.setdefault("additionalProperties", False)
        rewritten.setdefault("required", [])
    return _mapped(rewritten, lambda inner: _closed(inner, of_type=of_type))


def _mapped(schema: Schema, change: Callable[[Any], Any]) -> Schema:
    """``schema`` with its inner schemas changed."""
    changed = dict(schema)
    for keyword in ("properties", *DEFINITIONS):
        if isinstance(schema.get(keyword), dict):
            changed[keyword] = {name: change(inner) for name, inner in schema[keyword].items()}
    if isinstance(schema.get("anyOf"), list):
        changed["anyOf"] = [change(inner) for inner in schema["anyOf"]]
    if isinstance(schema.get("items"), dict):
        changed["items"] = change(schema["items"])
    return changed


def _described(schema: Schema, *, of_type: bool) -> Schema:
    """``schema`` without the remarks that the subset lacks; those that help the model are told in words."""
    told = {**_TOLD, **(_TOLD_OF_TYPES if of_type else {})}
    unsaid = (*_UNSAID, *(_UNSAID_OF_TYPES if of_type else ()))
    words, kept = [], {}
    for keyword, value in schema.items():
        known = keyword == "format" and isinstance(value, str) and value in FORMATS
        if keyword in told and not known:
            words += [f"{told[keyword]}: {_as_json(value)}."] if value not in _NOTHING else []
        elif keyword not in unsaid:
            kept[keyword] = value
    if words:
        kept["description"] = " ".join([*_sentence(kept.get("description")), *words])
    return kept


_NOTHING: tuple[Any, ...] = (None, "", [], {})


def _sentence(description: Any) -> list[str]:
    if not description:
        return []
    text = str(description)
    return [text if text.endswith((".", "!", "?", ":")) else f"{text}."]


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _with_any_of(schema: Schema) -> Schema:
    """``schema`` with ``anyOf`` for a ``oneOf`` whose branches a property tells apart."""
    discriminator = schema.get("discriminator")
    if not isinstance(discriminator, dict) or len({"oneOf", "anyOf"} & set(schema)) != 1:
        return schema
    kept = {name: value for name, value in schema.items() if name != "discriminator"}
    return {"anyOf" if name == "oneOf" else name: value for name, value in kept.items()}


_REMARKS = frozenset({"description", "title", *DEFINITIONS})


def _with_one_branch(schema: Schema) -> Schema:
    """``schema`` with its only reference as the only branch of ``anyOf``, beside which remarks may stand."""
    if "$ref" in schema and set(schema) > {"$ref"} and set(schema) <= _REMARKS | {"$ref"}:
        branches = [{"$ref": schema["$ref"]}]
    elif set(schema) <= _REMARKS | {"allOf"} and _is_one(schema.get("allOf")):
        branches = schema["allOf"]
    else:
        return schema
    remarks = {name: value for name, value in schema.items() if name in _REMARKS}
    return {**remarks, "anyOf": branches}


def _is_one(branches: Any) -> bool:
    return isinstance(branches, list) and len(branches) == 1


def _typed(schema: Schema) -> Schema:
    """``schema`` with the type that its values have, if it lists them without one."""
    if "type" in schema or not ("const" in schema or schema.get("enum")):
        return schema
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema.get("const")]
    kinds = list(dict.fromkeys(_kind(value) for value in values))
    return {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}


def _kind(value: Any) -> str:
    return "integer" if isinstance(value, int) and not isinstance(value, bool) else type_name(value)


# --- optional properties ------------------------------------------------------------------------------


def _nullable(schema: Any, root: Schema) -> Any:
    """``schema``, a part of ``root``, in which optional properties may be null."""
    if not isinstance(schema, dict):
        return schema
    made = _mapped(schema, lambda inner: _nullable(inner, root))
    if isinstance(made.get("properties"), dict) and isinstance(made.get("required"), list):
        for name, inner in made["properties"].items():
            if _is_made_nullable(name, schema, root):
                made["properties"][name] = {"anyOf": [inner, _NULL]}
    return made


def _required(schema: Any) -> Any:
    """``schema`` with all properties required."""
    if not isinstance(schema, dict):
        return schema
    made = _mapped(schema, _required)
    return (
        {**made, "required": list(made["properties"])} if isinstance(made.get("properties"), dict) else made
    )


def _is_made_nullable(name: str, schema: Schema, root: Schema) -> bool:
    """Whether null stands for the absence of the property ``name`` in the strict form of ``schema``.

    A property that may be null in any case has no such sign, and is simply required.
    """
    return name not in schema.get("required", ()) and not fits(None, schema["properties"][name], root)
