"""Takes a JSON schema out of what other APIs and SDKs put around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onplan.errors import InvalidRequestError
from onplan.structured.references import Schema

_EXAMPLE = 'Give it a schema, such as {"type": "object", "properties": {…}}, or a Python type.'


@dataclass(frozen=True, slots=True)
class NamedSchema:
    """A program's own JSON schema.

    Attributes:
        schema: without what was around it.
        name: what the program calls it, if it says so.
        strict: whether it is to be sent as strict, if the program says so.
        json_object: whether any JSON object will do, which the APIs have a word of their own for.
    """

    schema: Schema
    name: str | None = None
    strict: bool | None = None
    json_object: bool = False


def unwrapped(given: Mapping[str, Any]) -> NamedSchema:
    """The schema in ``given``, with the name and the strictness that its wrapper says.

    Understood are the schema itself, ``{"type": "json_schema", "schema": …}`` (Responses API), this as
    ``{"format": …}`` (its ``text`` parameter), and ``{"type": "json_schema", "json_schema": {"schema": …}}``
    (Chat Completions); and ``{"type": "json_object"}``, which is any JSON object.

    Raises:
        InvalidRequestError: there is no schema in it.
    """
    named: Any = given
    if set(given) <= {"format", "verbosity"} and isinstance(given.get("format"), dict):
        named = given["format"]
    if named.get("type") == "json_object":
        return NamedSchema({"type": "object"}, json_object=True)
    if named.get("type") == "text":
        raise InvalidRequestError(
            f"response_format is the API's wrapper ({named['type']}), and there is no JSON schema in it.",
            hint=_EXAMPLE,
        )
    if named.get("type") != "json_schema":
        return NamedSchema(dict(named))
    named = named["json_schema"] if isinstance(named.get("json_schema"), dict) else named
    schema, name, strict = named.get("schema"), named.get("name"), named.get("strict")
    if not isinstance(schema, dict):
        raise InvalidRequestError('response_format has no JSON schema under "schema".', hint=_EXAMPLE)
    if not isinstance(name, str | None) or not isinstance(strict, bool | None):
        raise InvalidRequestError(
            "In response_format, name is not a string or strict is neither true nor false.", hint=_EXAMPLE
        )
    description = named.get("description")
    if isinstance(description, str):
        schema = {"description": description, **schema}
    return NamedSchema(schema, name, strict)
