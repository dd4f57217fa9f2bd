"""The tools of one run: functions, by the names under which the model calls them, and hosted tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from onplan.errors import InvalidRequestError
from onplan.tools.function import CustomFunctionTool, FunctionTool, tool
from onplan.types import CustomTool, HostedTool, Tool, ToolDefinition
from onplan.types.tools import maker_of_a_tool, read_tools

# What `run` takes as one of its tools: a function, what `tool` made of one, or a tool that the backend runs.
ToolLike: TypeAlias = (
    FunctionTool | CustomFunctionTool | Callable[..., Any] | HostedTool | Mapping[str, object]
)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one run.

    Attributes:
        offered: all of them, as the model is told.
        functions: those that the program carries out, by name.
    """

    offered: list[Tool]
    functions: Mapping[str, FunctionTool | CustomFunctionTool]


def toolbox_of(given: object) -> Toolbox:
    """The tools of a run; functions become tools.

    Raises:
        InvalidRequestError: one is no tool, cannot be called, or has the name of another one.
    """
    if not isinstance(given, Iterable) or isinstance(given, str | Mapping):
        maker = maker_of_a_tool(given)
        raise InvalidRequestError(
            f"tools has the wrong type: {type(given).__name__}.",
            hint=f"Write `tools=[{maker}]`." if maker else "Give it a list of functions.",
        )
    offered: list[Tool] = []
    functions: dict[str, FunctionTool | CustomFunctionTool] = {}
    for each in given:
        made = _tool(each)
        offered.append(made)
        if isinstance(made, HostedTool):
            continue
        if made.name in functions:
            raise InvalidRequestError(
                f"Two tools are called {made.name}.", hint="Give one of them another: `tool(…, name=…)`."
            )
        functions[made.name] = made
    return Toolbox(offered, functions)


def _tool(given: Any) -> FunctionTool | CustomFunctionTool | HostedTool:
    if isinstance(given, Mapping):
        (given,) = read_tools([given])
    if isinstance(given, FunctionTool | CustomFunctionTool | HostedTool):
        return given
    if isinstance(given, ToolDefinition | CustomTool):
        raise InvalidRequestError(
            f"The tool {given.name} has no function that can be called.",
            hint="Make it with `tool(function)`, or carry out its calls yourself: `complete`.",
        )
    if maker := maker_of_a_tool(given):
        raise InvalidRequestError("What makes a tool is not one itself.", hint=f"Write `tools=[{maker}]`.")
    made: FunctionTool = tool(given)
    return made
