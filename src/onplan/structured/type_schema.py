"""The JSON schema of a Python type, by msgspec, with what msgspec does not say of it.

That is how points in time are written, and what the fields of a class are for: ``Annotated[str, "…"]``,
``Annotated[str, Doc("…")]`` and ``field(metadata={"description": "…"})``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from onplan.structured.references import Schema

_Class: TypeAlias = (
    inspect.StructType | inspect.DataclassType | inspect.TypedDictType | inspect.NamedTupleType
)


def schema_of(type_: Any) -> Schema:
    """The JSON schema of what ``msgspec.json.decode`` reads as ``type_``.

    Raises:
        TypeError: msgspec cannot read this type.
        NameError: an annotation in it names something that is not defined.
    """
    schema = msgspec.json.schema(type_)
    _Remarks(schema.get("$defs", {})).add(inspect.type_info(type_), schema)
    return schema


class _Remarks:
    """Adds remarks to a schema made by msgspec, in place.

    Args:
        definitions: the schemas of the classes, by their names in the schema.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._seen: set[str] = set()

    def add(self, described: inspect.Type, schema: Schema) -> None:
        """Add to ``schema``, that of ``described``, and to the schemas of the classes in it."""
        described = _bare(described)
        match described:
            case inspect.DateTimeType() if described.tz is not False:
                schema["format"] = "date-time"
            case inspect.TimeType() if described.tz is not False:
                schema["format"] = "time"
            case inspect.DecimalType():  # read without loss from a number, which strict mode can promise
                schema["type"] = "number"
                schema.pop("format", None)
            case inspect.UnionType():
                members = [_bare(member) for member in described.types]
                numbers = any(isinstance(member, inspect.IntType | inspect.FloatType) for member in members)
                for member in members:
                    if not (numbers and isinstance(member, inspect.DecimalType)):
                        self.add(member, _branch_of(member, schema))
            case inspect.CollectionType():
                self.add(described.item_type, schema.get("items", {}))
            case inspect.TupleType():
                for item, inner in zip(described.item_types, schema.get("prefixItems", ()), strict=False):
                    self.add(item, inner)
            case inspect.DictType():
                self.add(described.value_type, schema.get("additionalProperties", {}))
            case (
                inspect.StructType()
                | inspect.DataclassType()
                | inspect.TypedDictType()
                | inspect.NamedTupleType()
            ):
                self._add_to_class(described)

    def _add_to_class(self, described: _Class) -> None:
        name = self._name_of(described.cls)
        if name is None or name in self._seen:
            return
        self._seen.add(name)
        definition, descriptions = self._definitions[name], _descriptions(described.cls)
        properties = definition.get("properties", {})
        items = definition.get("prefixItems", [])
        for position, field in enumerate(described.fields):
            inner = properties.get(field.encode_name) or (items[position] if position < len(items) else {})
            if field.name in descriptions:
                inner.setdefault("description", descriptions[field.name])
            self.add(field.type, inner)

    def _name_of(self, class_: Any) -> str | None:
        """The class's name in the schema: that of its module is part of it where two have the same."""
        (alone,), _ = msgspec.json.schema_components([class_], ref_template="{name}")
        long = re.sub(r"[^a-zA-Z0-9.\-_]", "_", f"{class_.__module__}.{class_.__qualname__}")
        return next((name for name in (alone["$ref"], long) if name in self._definitions), None)


def _bare(described: inspect.Type) -> inspect.Type:
    while isinstance(described, inspect.Metadata):
        described = described.type
    return described


def _branch_of(member: inspect.Type, union: Schema) -> Schema:
    """The schema of one member of a union, in which msgspec takes at most one of each of these kinds.

    An empty one for others, to which nothing is to be added.
    """
    kind = next((kind for class_, kind in _KINDS.items() if isinstance(member, class_)), None)
    return next((branch for branch in union.get("anyOf", ()) if branch.get("type") == kind), {})


_KINDS: Mapping[type, str] = {
    inspect.DateTimeType: "string",
    inspect.DecimalType: "string",
    inspect.TimeType: "string",
    inspect.CollectionType: "array",
    inspect.TupleType: "array",
    inspect.DictType: "object",
}


def _descriptions(class_: Any) -> dict[str, str]:
    """What the class says of its fields, by their names."""
    class_ = get_origin(class_) or class_
    try:
        hints = get_type_hints(class_, include_extras=True)
    except (NameError, TypeError):  # msgspec reads some annotations that this function does not
        hints = {}
    found = {name: words for name, hint in hints.items() if (words := _words_of(hint))}
    if dataclasses.is_dataclass(class_):
        for field in dataclasses.fields(class_):
            words = field.metadata.get("description") or getattr(field, "doc", None)
            if isinstance(words, str):
                found[field.name] = words
    return found


def _words_of(hint: Any) -> str | None:
    """The text in ``Annotated[…, "text"]``, or that of a ``Doc`` (PEP 727)."""
    while get_origin(hint) in (Required, NotRequired):
        hint = get_args(hint)[0]
    remarks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    texts = [getattr(remark, "documentation", remark) for remark in remarks]
    return next((text for text in texts if isinstance(text, str)), None)
