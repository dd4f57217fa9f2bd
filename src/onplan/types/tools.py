"""The tools that a model may call: functions of the program, and tools that the backend runs itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from onplan.errors import InvalidRequestError
from onplan.types.dicts import as_dict, converted


class ToolDefinition(msgspec.Struct, frozen=True, tag_field="type", tag="function"):
    """A function that the model may call.

    Attributes:
        name: of the function.
        description: when to call it, and what for.
        parameters: a JSON schema of type object.
        strict: whether the arguments must follow the schema to the letter. The backend then refuses schemas
            that are not in its strict subset. None leaves it to the backend's default, which is no.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


class HostedTool(msgspec.Struct, frozen=True, tag_field="type", tag="hosted"):
    """A tool that the backend runs itself, such as ``web_search``; it is sent as the backend names it.

    ``onplan.web_search`` makes that one.

    Attributes:
        name: its type in the API.
        options: further fields of the tool.
    """

    name: str
    options: dict[str, Any] = {}


class ToolChoice(msgspec.Struct, frozen=True):
    """``tool_choice`` for one particular tool: the model must call the tool of this name."""

    name: str


Tool: TypeAlias = ToolDefinition | HostedTool


def read_tools(given: object) -> list[Tool]:
    """The tools of a request, of which some may be dicts in the shapes of OpenAI's APIs.

    Raises:
        InvalidRequestError: something in ``given`` is no tool; the error names the place.
    """
    if not isinstance(given, Iterable) or isinstance(given, str | Mapping):
        raise _wrong("tools", given)
    return [_tool(tool, f"tools[{index}]") for index, tool in enumerate(given)]


def _wrong(where: str, given: object) -> InvalidRequestError:
    kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
    return InvalidRequestError(
        f"{where} has the wrong type: {kind}.",
        hint="Give it a list of ToolDefinition objects: a name, a description, parameters.",
    )


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    type: Any = None


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    function: _Function
    type: Any = None


def _tool(given: object, where: str) -> Tool:
    if isinstance(given, ToolDefinition | HostedTool):
        return given
    item = as_dict(given)
    kind = item.get("type") if item is not None else None
    if item is None or not isinstance(kind, str):
        raise _wrong(where, given)
    if kind == "custom":
        raise InvalidRequestError(
            f"{where} is a custom tool, which onplan cannot call.", hint="Offer a function with one string."
        )
    if kind != "function":
        fields = {name: value for name, value in item.items() if name != "type"}
        return converted(item, HostedTool, where) if kind == "hosted" else HostedTool(kind, fields)
    wrapped = isinstance(item.get("function"), Mapping)
    function = converted(item, _Wrapped, where).function if wrapped else converted(item, _Function, where)
    named = {"parameters": function.parameters} if function.parameters is not None else {}
    return ToolDefinition(function.name, function.description, strict=function.strict, **named)
