"""Checks the tools of a request, and the choice among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from onplan.emulator.checks.refusals import missing, must_be, of_type, one_of, refuse, supported
from onplan.emulator.checks.schema import Subject, check_function_schema

Tool = dict[str, Any]
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
CHOICES = ("auto", "none", "required")


def _named(tool: Tool, where: str) -> None:
    name = tool.get("name")
    if name is None:
        raise missing(f"{where}.name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        rule = "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        message = f"Invalid '{where}.name': string does not match pattern. {rule}"
        raise refuse(message, f"{where}.name", "invalid_value")


def _function(tool: Tool, where: str) -> None:
    _named(tool, where)
    # Absent parameters are accepted: a function may take none. Shortened recordings rely on it too.
    if tool.get("parameters") is not None:
        subject = Subject(f"function '{tool['name']}'", f"{where}.parameters", "invalid_function_parameters")
        check_function_schema(tool["parameters"], subject, strict=tool.get("strict") is True)


def _custom(tool: Tool, where: str) -> None:
    _named(tool, where)
    of_type(tool.get("description"), str, f"{where}.description", "a string")
    wanted = {"type": "text"} if tool.get("format") is None else tool["format"]
    must_be(wanted, dict, f"{where}.format", "an object")
    supported(wanted.get("type"), ("text", "grammar"), f"{where}.format.type")
    if wanted["type"] == "grammar":
        check_grammar(wanted, f"{where}.format")


def check_grammar(grammar: dict[str, Any], where: str) -> None:
    """Raise the Refusal for the fields of a grammar."""
    for name in ("syntax", "definition"):
        if grammar.get(name) is None:
            raise missing(f"{where}.{name}")
    supported(grammar["syntax"], ("lark", "regex"), f"{where}.syntax")
    must_be(grammar["definition"], str, f"{where}.definition", "a string")


def _namespace(tool: Tool, where: str) -> None:
    _named(tool, where)
    if not isinstance(tool.get("tools"), list):
        raise missing(f"{where}.tools")
    check_tools(tool["tools"], f"{where}.tools")


def _anything(tool: Tool, where: str) -> None:
    """Tools that the service runs itself; their options are not checked."""


def _web_search(tool: Tool, where: str) -> None:
    for name, kind, called in WEB_SEARCH_FIELDS:
        of_type(tool.get(name), kind, f"{where}.{name}", called)
    one_of(tool.get("search_context_size"), CONTEXT_SIZES, f"{where}.search_context_size")
    location = tool.get("user_location")
    if location is not None:
        supported(location.get("type"), ("approximate",), f"{where}.user_location.type")


# Fields that the official client sends or has options for, and what each is.
WEB_SEARCH_FIELDS: tuple[tuple[str, type, str], ...] = (
    ("external_web_access", bool, "a boolean"),
    ("indexed_web_access", bool, "a boolean"),
    ("search_content_types", list, "an array"),
    ("filters", dict, "an object"),
    ("user_location", dict, "an object"),
)
CONTEXT_SIZES = ("low", "medium", "high")

KINDS: dict[str, Callable[[Tool, str], None]] = {
    "function": _function,
    "custom": _custom,
    "namespace": _namespace,
    "tool_search": _anything,
    "web_search": _web_search,
    "web_search_preview": _anything,
    "image_generation": _anything,
    "local_shell": _anything,
    "mcp": _anything,
}


def check_tools(tools: list[Any], where: str) -> None:
    """Raise the Refusal for the first tool that is malformed or unknown."""
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is None:
            raise missing(f"{where}[{index}].type")
        supported(kind, tuple(KINDS), f"{where}[{index}].type")
        KINDS[kind](tool, f"{where}[{index}]")


def _names(body: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    inside = (item.get("tools") for item in body["input"] if isinstance(item, dict))
    for tools in (body.get("tools"), *inside):
        for tool in tools or []:
            yield tool["type"], tool.get("name")
            for inner in tool.get("tools", []):
                yield inner["type"], inner.get("name")


def check_tool_choice(body: dict[str, Any]) -> None:
    """Raise unless the choice is a mode, or names tools that are there."""
    choice = body.get("tool_choice")
    if choice is None or choice in CHOICES:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in (*KINDS, "allowed_tools"):
        names = ", ".join(f"'{name}'" for name in CHOICES)
        message = f"Invalid value: '{choice if kind is None else kind}'. Supported values are: {names}."
        raise refuse(message, "tool_choice", "invalid_value")
    offered = list(_names(body))
    wanted = choice.get("tools", []) if kind == "allowed_tools" else [choice]
    for tool in (row if isinstance(row, dict) else {"type": row} for row in wanted):
        if (tool.get("type"), tool.get("name")) not in offered:
            message = f"Tool choice '{tool.get('name') or tool.get('type')}' not found in 'tools' parameter."
            raise refuse(message, "tool_choice", "invalid_value")
