"""Tools and the choice among them, as ``bind_tools`` takes them, in the shapes that requests take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from langchain_core.utils.function_calling import convert_to_openai_tool

from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import several
from onplan.types import CustomTool, HostedTool, ToolDefinition


def tool_dicts(tools: Iterable[Any], strict: bool | None) -> list[dict[str, Any]]:
    """Each tool as a dict of OpenAI's APIs: LangChain's and onplan's, functions, classes, schemas, dicts.

    Raises InvalidRequestError, which names the place, for what is none.
    """
    given = several("tools", tools, "a list of tools")
    return [_tool(tool, strict, f"tools[{index}]") for index, tool in enumerate(given)]


def _tool(tool: Any, strict: bool | None, where: str) -> dict[str, Any]:
    match tool:
        case HostedTool(name=name, options=options):
            return {"type": name, **options}
        case ToolDefinition() | CustomTool():
            return dict(msgspec.to_builtins(tool))
        case {"type": str(kind)} if kind not in _NO_HOSTED and "input_schema" not in tool:
            return dict(tool)  # a tool that the backend runs itself; it refuses those that it has not
    try:
        return dict(convert_to_openai_tool(tool, strict=strict))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"{where} is of the type {type(tool).__name__}, of which no tool can be made: {error}",
            hint="Give it a function with annotations, a tool of LangChain's, or a schema with a title.",
        ) from error


_NO_HOSTED = ("function", "object")


def tool_choice_for(choice: Any, tools: Iterable[Mapping[str, Any]]) -> Any:
    """``tool_choice`` in LangChain's words as that of a request; None if it says nothing.

    Raises InvalidRequestError for the name of a tool that is not among ``tools``.
    """
    if choice is None or isinstance(choice, str | bool):
        return _WORDS[choice] if choice in _WORDS else _named(choice, tools)
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if kind in ("any", "auto", "none"):
        return _WORDS[kind]
    if kind in ("function", "custom", "tool"):  # the last in Anthropic's API
        inner = choice.get(kind)
        return _named((inner if isinstance(inner, Mapping) else choice).get("name"), tools)
    return choice


_WORDS: Mapping[Any, str | None] = {
    None: None,
    False: None,
    True: "required",
    "any": "required",
    "required": "required",
    "auto": "auto",
    "none": "none",
}


def _named(name: Any, tools: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    names = []
    for tool in tools:
        kind = tool.get("type")
        inner = tool.get(kind) if isinstance(kind, str) else None
        names.append((inner if isinstance(inner, Mapping) else tool).get("name") or kind)
        if names[-1] == name:
            return {"type": kind, "name": name} if kind in ("function", "custom") else {"type": kind}
    raise InvalidRequestError(
        f"tool_choice names {name!r}, which is none of the tools.",
        hint=f"Give it one of: {', '.join(['auto', 'any', 'none', *map(str, names)])}.",
    )
