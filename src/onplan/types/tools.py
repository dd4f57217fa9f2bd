"""The tools that a model may call: functions and custom tools of the program, and tools of the backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError
from onplan.field_types import prepare, require_fields
from onplan.types.dicts import as_dict, converted
from onplan.types.parts import IMAGE_GENERATION, WEB_SEARCH


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

    def __post_init__(self) -> None:
        """Raise InvalidRequestError for a wrong type."""
        require_fields(self, {})


class Grammar(msgspec.Struct, frozen=True, tag_field="type", tag="grammar"):
    """What the text for a custom tool must look like.

    Attributes:
        syntax: of the definition: ``lark`` (https://lark-parser.readthedocs.io) or ``regex`` (Rust's syntax).
        definition: the grammar, or the regular expression, which the whole text matches.
    """

    syntax: Literal["lark", "regex"]
    definition: str

    def __post_init__(self) -> None:
        """Raise InvalidRequestError for what no server takes."""
        if self.syntax not in ("lark", "regex"):
            raise InvalidRequestError(
                f"The syntax of a Grammar is not {self.syntax!r}.", hint='Use "lark" or "regex".'
            )
        if not isinstance(self.definition, str):
            raise InvalidRequestError(
                f"Grammar.definition is a string, and not {type(self.definition).__name__}.",
                hint="Of a compiled regular expression that is its `pattern`.",
            )


class CustomTool(msgspec.Struct, frozen=True, tag_field="type", tag="custom"):
    """A tool that the model calls with free text in place of JSON arguments, such as a program or a query.

    Attributes:
        name: of the tool.
        description: when to call it, and what text it takes.
        format: ``text`` for any text, or a ``Grammar``; also a dict in the shapes of OpenAI's APIs.
    """

    name: str
    description: str = ""
    format: Literal["text"] | Grammar = "text"

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            description: str = "",
            format: Literal["text"] | Grammar | Mapping[str, object] = "text",  # noqa: A002 - the API's word
        ) -> None: ...

    def __post_init__(self) -> None:
        """Accept the short spellings. Raises InvalidRequestError for a wrong value."""
        force_setattr(self, "format", read_format(self.format, "CustomTool.format"))
        require_fields(self, {})


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


# What `tool_choice` of a request may be.
ToolChoiceLike: TypeAlias = (
    Literal["auto", "none", "required", "web_search", "image_generation"] | ToolChoice | Mapping[str, object]
)

Tool: TypeAlias = ToolDefinition | CustomTool | HostedTool


def read_tool_choice(given: object) -> object:
    """``tool_choice``: a dict in a shape of OpenAI's APIs, or the type of a hosted tool, as a ``ToolChoice``.

    Everything else stays as it is.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return ToolChoice(given) if given in (WEB_SEARCH, IMAGE_GENERATION) else given
    item = as_dict(given)
    kind = item.get("type") if item is not None else None
    if item is None or not isinstance(kind, str):
        return given
    if kind not in ("function", "custom"):
        return ToolChoice(kind) if item.keys() == {"type"} else given
    inner = item.get(kind)
    name = (inner if isinstance(inner, Mapping) else item).get("name")
    return ToolChoice(name) if isinstance(name, str) and name else given


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
    hint = "Give it a list of ToolDefinition, CustomTool and HostedTool objects, or of dicts."
    if maker := maker_of_a_tool(given):
        hint = f"Write `tools=[{maker}]`."
    elif callable(given) and not isinstance(given, type):
        hint = "Only `run` takes functions. Here, wrap it: `onplan.tool(function)`."
    return InvalidRequestError(f"{where} has the wrong type: {kind}.", hint=hint)


def maker_of_a_tool(given: object) -> str | None:
    """The call that makes the tool which was meant, if ``given`` is a part of onplan that has one."""
    owner = getattr(given, "__self__", given)  # of a method, its object
    module = str(getattr(owner, "__module__", ""))
    return next((call for place, call in _MAKERS.items() if module.startswith(place)), None)


_MAKERS: Mapping[str, str] = {
    "onplan.search.searches": "client.search.tool()",
    "onplan.images.images": "client.images.tool()",
    "onplan.types.web_search": "onplan.web_search()",
}


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    type: Any = None


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    function: _Function
    type: Any = None


class _Custom(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""
    format: Any = "text"
    type: Any = None


class _WrappedCustom(msgspec.Struct, forbid_unknown_fields=True):
    custom: _Custom
    type: Any = None


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    """The format of a custom tool. Chat Completions has an object around the fields of a grammar."""

    type: Literal["text", "grammar"]
    syntax: str | None = None
    definition: str | None = None
    grammar: Grammar | None = None


def read_format(given: object, where: str) -> Literal["text"] | Grammar:
    """The format of a custom tool, also as a dict in the shapes of OpenAI's APIs.

    Raises:
        InvalidRequestError: it is none; the error names the place.
    """
    if isinstance(given, Grammar):
        return given
    if given is None or given == "text":
        return "text"
    item = as_dict(given)
    if item is None:
        what = repr(given) if isinstance(given, str) else f"of the type {type(given).__name__}"
        raise InvalidRequestError(
            f"{where} is {what}, and neither text nor a Grammar.",
            hint='Give it "text", `Grammar("lark", …)` or `Grammar("regex", …)`.',
        )
    read = converted(item, _Format, where)
    if read.type == "text":
        return "text"
    if read.grammar is not None:
        return read.grammar
    grammar: Grammar = converted(item, Grammar, where)
    return grammar


def _tool(given: object, where: str) -> Tool:
    if isinstance(given, ToolDefinition | CustomTool | HostedTool):
        return given
    item = as_dict(given)
    kind = item.get("type") if item is not None else None
    if item is None or not isinstance(kind, str):
        raise _wrong(where, given)
    if kind == "hosted":
        return converted(item, HostedTool, where)
    if kind == "custom":
        return _custom(item, where)
    if kind != "function":
        return HostedTool(kind, {name: value for name, value in item.items() if name != "type"})
    wrapped = isinstance(item.get("function"), Mapping)
    function = converted(item, _Wrapped, where).function if wrapped else converted(item, _Function, where)
    named = {"parameters": function.parameters} if function.parameters is not None else {}
    return ToolDefinition(function.name, function.description, strict=function.strict, **named)


def _custom(item: Mapping[str, Any], where: str) -> CustomTool:
    if isinstance(item.get("custom"), Mapping):
        custom, where = converted(item, _WrappedCustom, where).custom, f"{where}.custom"
    else:
        custom = converted(item, _Custom, where)
    return CustomTool(custom.name, custom.description, read_format(custom.format, f"{where}.format"))


prepare(HostedTool, Grammar, _Wrapped, _WrappedCustom, _Format)
