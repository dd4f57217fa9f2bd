"""Recognises pydantic's types without importing pydantic: a program that has one has imported it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast, get_args, get_origin, get_type_hints

from onplan.structured.misfit import Misfit, json_path
from onplan.structured.references import Schema


class Validator(Protocol):
    """What is used of pydantic's ``TypeAdapter``."""

    def json_schema(self) -> Schema:
        """The JSON schema of the type."""

    def validate_json(self, data: bytes, /) -> Any:
        """The value in the JSON text ``data``. Raises ValueError with details if it does not fit."""


def validator_of(given: Any) -> Validator | None:
    """The ``TypeAdapter`` that ``given`` is, or one for it if there is something of pydantic's in it.

    Raises:
        TypeError, NameError: pydantic cannot make a schema of it.
    """
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:
        return None
    if isinstance(given, pydantic.TypeAdapter):
        return cast("Validator", given)
    if any(map(_is_of_pydantic, _parts(given))):
        return cast("Validator", pydantic.TypeAdapter(given))
    return None


_MARKS = ("__get_pydantic_core_schema__", "__pydantic_core_schema__")


def _is_of_pydantic(part: Any) -> bool:
    """Whether pydantic defines ``part`` or its type, as it does constraints, or ``part`` is made for it."""
    modules = (getattr(owner, "__module__", None) for owner in (part, type(part)))
    defined = any(str(module).partition(".")[0] == "pydantic" for module in modules)
    return defined or any(hasattr(part, mark) for mark in _MARKS)


def _parts(given: Any) -> Iterator[Any]:
    """``given`` and the types that it is made of, also those of the fields of its classes."""
    waiting, seen = [given], set[int]()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting += [get_origin(part), *get_args(part)]
        if hasattr(part, "__value__"):  # `type Name = …`
            waiting.append(part.__value__)
        if isinstance(part, type):
            waiting += _hints(part).values()


def _hints(class_: type) -> Mapping[str, Any]:
    try:
        return get_type_hints(class_, include_extras=True)
    except (NameError, TypeError):
        return {}


def read_json(validate: Callable[[bytes], Any], data: bytes) -> Any:
    """The value that pydantic reads in ``data``. Raises Misfit with the first of its complaints."""
    try:
        return validate(data)
    except ValueError as error:
        details = getattr(error, "errors", None)
        if details is None:
            raise Misfit(_lowered(str(error))) from None
        first = details(include_url=False, include_context=False, include_input=False)[0]
        raise Misfit(_lowered(first["msg"]), json_path(first["loc"])) from None


def _lowered(words: str) -> str:
    return words[:1].lower() + words[1:]
