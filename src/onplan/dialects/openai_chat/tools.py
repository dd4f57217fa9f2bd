"""Reads what a Chat Completions request says of tools, and of the form of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from onplan.dialects.json_fields import converted, decoded, require_few
from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_parameters import NOT_OFFERED_TOOLS, not_offered
from onplan.errors import InvalidRequestError
from onplan.field_types import prepare
from onplan.structured.output_format import output_format
from onplan.types import CustomTool, HostedTool, Tool, ToolChoice, ToolDefinition
from onplan.types.tools import read_format

Item: TypeAlias = dict[str, Any]


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Custom(msgspec.Struct):
    name: str
    description: str | None = None
    format: Any = None


_OBJECTS = msgspec.json.Decoder(list[Item])
_ANY = msgspec.json.Decoder()


def read_tools(raw: msgspec.Raw, where: str = "tools") -> list[Tool]:
    """The tools; those of the Responses API, which are flat, are read, too. Raises ParameterError."""
    items = decoded(raw, _OBJECTS, where)
    require_few(len(items), where)
    return [_tool(item, f"{where}[{index}]") for index, item in enumerate(items)]


def _tool(item: Item, where: str) -> Tool:
    kind = item.get("type", "function")
    inner = item.get(kind) if isinstance(kind, str) else None
    place = where if inner is None else f"{where}.{kind}"
    match kind:
        case "function":
            function = converted(_without_null(item if inner is None else inner), _Function, place)
            parameters = {"parameters": function.parameters} if function.parameters else {}
            return ToolDefinition(
                _named(function.name, place), function.description or "", strict=function.strict, **parameters
            )
        case "custom":
            custom = converted(_without_null(item if inner is None else inner), _Custom, place)
            try:
                form = read_format(custom.format, f"{place}.format")
            except InvalidRequestError as error:
                raise ParameterError(error.message, param=f"{place}.format") from None
            return CustomTool(_named(custom.name, place), custom.description or "", form)
        case str() if kind not in NOT_OFFERED_TOOLS:
            return HostedTool(kind, {name: value for name, value in item.items() if name != "type"})
        case str():
            raise ParameterError(not_offered(kind, where), param=f"{where}.type", code="unsupported_value")
        case _:
            raise ParameterError(f"{where}.type is not a string.", param=f"{where}.type", code="invalid_type")


def _without_null(item: Any) -> Any:
    return {name: value for name, value in item.items() if value is not None} if type(item) is dict else item


def _named(name: str, where: str) -> str:
    if not name:
        raise ParameterError(f"{where}.name is empty.", param=f"{where}.name")
    return name


_WORDS = ("auto", "none", "required")


def read_tool_choice(raw: msgspec.Raw, where: str = "tool_choice") -> str | ToolChoice | Item:
    """``tool_choice``; ``allowed_tools`` as a dict with ``mode`` and ``tools``. Raises ParameterError."""
    choice = decoded(raw, _ANY, where)
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind in _WORDS:
        return str(kind)
    if not isinstance(choice, dict):
        raise ParameterError(f"{where} is neither auto, none nor required.", param=where)
    if kind == "allowed_tools":
        return _allowed(choice, where)
    inner = choice.get(kind) if isinstance(kind, str) else None
    name = (inner if isinstance(inner, dict) else choice).get("name")
    if kind in ("function", "custom") and not (isinstance(name, str) and name):
        place = f"{where}.{kind}.name"
        raise ParameterError(f"{place} is missing.", param=place, code="missing_required_parameter")
    if isinstance(kind, str) and (kind in ("function", "custom") or choice.keys() == {"type"}):
        return ToolChoice(name if isinstance(name, str) else kind)
    raise ParameterError(f"{where} has a form that is not known.", param=where)


class _Allowed(msgspec.Struct):
    tools: list[Item]
    mode: str = "auto"


def _allowed(choice: Item, where: str) -> Item:
    inner = choice.get("allowed_tools")
    read = converted(choice if inner is None else inner, _Allowed, f"{where}.allowed_tools")
    return {"type": "allowed_tools", "mode": read.mode, "tools": [_flat(tool) for tool in read.tools]}


def _flat(tool: Item) -> Item:
    inner = tool.get(str(tool.get("type")))
    return {"type": tool.get("type"), **inner} if isinstance(inner, dict) else tool


def allowed_tools_of(choice: Item, *, nested: bool) -> Item:
    """``choice`` as an API has it: ``nested`` as Chat Completions, else as the Responses API."""
    if not nested:
        return choice
    tools = [
        {"type": tool.get("type"), str(tool.get("type")): {"name": tool.get("name")}}
        for tool in choice["tools"]
    ]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}


def read_response_format(raw: msgspec.Raw, where: str = "response_format") -> Mapping[str, Any] | None:
    """``response_format`` as ``CompletionRequest`` takes it; None for text. Raises ParameterError."""
    wanted = decoded(raw, _ANY, where)
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind not in ("json_object", "json_schema"):
        place = f"{where}.type"
        raise ParameterError(f"{place} must be text, json_object or json_schema.", param=place)
    if kind == "json_object":
        return {"type": "json_object"}
    nested = isinstance(wanted.get("json_schema"), dict)
    place = f"{where}.json_schema" if nested or "schema" not in wanted else where
    named = converted(_without_null(wanted["json_schema"] if nested else wanted), _Schema, place)
    if named.schema is None:
        raise ParameterError(
            f"{place}.schema is missing.", param=f"{place}.schema", code="missing_required_parameter"
        )
    schema = {"schema": named.schema, "name": named.name, "strict": named.strict}
    given = {
        "type": "json_schema",
        "json_schema": _without_null({**schema, "description": named.description}),
    }
    _require_object(given, f"{place}.schema")
    return given


class _Schema(msgspec.Struct):
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None


def _require_object(given: Item, where: str) -> None:
    """The answer is the schema's value itself, so there must be nothing around it."""
    try:
        wrapped = output_format(given).wrapped
    except InvalidRequestError as error:
        raise ParameterError(error.message, param=where, code="invalid_json_schema") from None
    if wrapped:
        message = f'{where} must be a schema of "type": "object".'
        raise ParameterError(message, param=where, code="invalid_json_schema")


prepare(_Function, _Custom, _Allowed, _Schema)
