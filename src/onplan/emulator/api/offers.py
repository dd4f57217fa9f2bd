"""The tools that a request offers to the model, and which of them it may call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Tool = dict[str, Any]


def offered(body: dict[str, Any]) -> Iterator[tuple[Tool, str | None]]:
    """Every tool with its namespace; some models have them inside `input`."""
    inside = (item["tools"] for item in body["input"] if item.get("type") == "additional_tools")
    for tools in (body.get("tools") or [], *inside):
        for tool in tools:
            if tool["type"] == "namespace":
                yield from ((inner, tool["name"]) for inner in tool["tools"])
            else:
                yield tool, None


def callable_tools(body: dict[str, Any]) -> list[tuple[Tool, str | None]]:
    """The functions and custom tools that `tool_choice` lets the model call, each with its namespace."""
    choice = body.get("tool_choice") or "auto"
    if choice == "none":
        return []
    tools = [(tool, space) for tool, space in offered(body) if tool["type"] in ("function", "custom")]
    if isinstance(choice, dict):
        return [(tool, space) for tool, space in tools if tool["name"] in chosen_names(choice)]
    return tools


def chosen_names(choice: dict[str, Any]) -> set[str]:
    """The tools that a `tool_choice` object names."""
    return {str(row.get("name")) for row in choice.get("tools", [choice])}


def is_offered(body: dict[str, Any], kind: str) -> bool:
    """Whether a tool that the service runs itself is offered, and `tool_choice` lets the model use it."""
    choice = body.get("tool_choice") or "auto"
    if choice == "none" or not any(tool["type"] == kind for tool, _ in offered(body)):
        return False
    return not isinstance(choice, dict) or is_chosen(body, kind)


def is_chosen(body: dict[str, Any], kind: str) -> bool:
    """Whether `tool_choice` names this tool that the service runs itself, or leaves no other one."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return any(row.get("type") == kind for row in choice.get("tools", [choice]))
    return choice == "required" and all(tool["type"] == kind for tool, _ in offered(body))


def must_call(body: dict[str, Any]) -> bool:
    """Whether `tool_choice` leaves the model no answer without a call."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return choice.get("mode") != "auto"
    return choice == "required"
