"""A function that the model may call: its description for the model, and itself."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, overload

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError
from onplan.tools.docstring import Docstring, read_docstring
from onplan.tools.parameters import (
    Parameters,
    TextParameter,
    parameters_from,
    parameters_of,
    text_parameter_of,
)
from onplan.types import CustomTool, Grammar, ToolDefinition
from onplan.types.tools import read_format

# The platform takes 64 characters.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class _OfFunction:
    """The common part of both kinds of tools that hold a function."""

    __slots__ = ()

    @property
    def function(self) -> Callable[..., Any]:
        """What is called, with what the model wrote as its arguments."""
        function: Callable[..., Any] = self.__dict__["function"]
        return function

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **named)

    def __copy__(self: _Tool) -> _Tool:
        """The same, which never changes."""
        return self

    def __deepcopy__(self: _Tool, memory: object) -> _Tool:
        """The same: a function is not copied."""
        return self


_Tool = TypeVar("_Tool", bound=_OfFunction)


class FunctionTool(_OfFunction, ToolDefinition, frozen=True, dict=True):
    """A function that the model may call: a ``ToolDefinition`` that ``run`` can carry out.

    ``tool`` makes one. It can be called like the function itself.
    """

    @property
    def reader(self) -> Parameters:
        """Reads the model's arguments."""
        reader: Parameters = self.__dict__["reader"]
        return reader

    def __reduce__(self) -> Any:
        """Pickled as its description: a function is not sent to other processes."""
        return functools.partial(ToolDefinition, **msgspec.structs.asdict(self)), ()


class CustomFunctionTool(_OfFunction, CustomTool, frozen=True, dict=True):
    """A function that the model may call with free text: a ``CustomTool`` that ``run`` can carry out.

    ``tool(…, format=…)`` makes one. It can be called like the function itself.
    """

    @property
    def reader(self) -> TextParameter:
        """Reads the model's text."""
        reader: TextParameter = self.__dict__["reader"]
        return reader

    def __reduce__(self) -> Any:
        """Pickled as its description: a function is not sent to other processes."""
        return functools.partial(CustomTool, **msgspec.structs.asdict(self)), ()


Format: TypeAlias = Literal["text"] | Grammar | Mapping[str, object]


@overload
def tool(  # type: ignore[overload-overlap] # a tool of a tool is one of the same kind
    function: CustomFunctionTool, *, name: str | None = None, description: str | None = None
) -> CustomFunctionTool: ...


@overload
def tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> FunctionTool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


@overload
def tool(
    function: Callable[..., Any], *, name: str | None = None, description: str | None = None, format: Format
) -> CustomFunctionTool: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None, format: Format
) -> Callable[[Callable[..., Any]], CustomFunctionTool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    format: Format | None = None,  # noqa: A002 - the API's word
) -> Any:
    """Describe a function to the model, by its signature, annotations and docstring.

    It may be asynchronous, a method of an object, a ``functools.partial`` or any other callable; ``@tool``
    decorates one. Its parameters have the types that ``response_format`` takes: plain types, ``Literal``,
    enumerations, dataclasses, ``TypedDict``, msgspec and pydantic classes. The docstring says what each is
    for, in Google's, NumPy's or reST's style; ``Annotated[str, "…"]`` has priority.

    Args:
        function: what is called. Without it, a decorator is returned.
        name: what the model calls it, if not the function's name.
        description: what it does, if not the docstring's first part.
        parameters: a JSON schema of type object in place of the signature; the function is called with its
            properties by name.
        format: makes a custom tool, which the model calls with free text in place of JSON: ``text``, or a
            ``Grammar`` for what the text must look like. The function's first parameter gets the text.

    Raises:
        InvalidRequestError: the function cannot be described to a model.
    """
    if function is None:
        given = {"name": name, "description": description, "parameters": parameters, "format": format}
        return functools.partial(tool, **given)
    if parameters is not None and format is not None:
        raise InvalidRequestError(
            "A tool has either parameters or a format.", hint="Leave one of the two out of `tool(…)`."
        )
    if isinstance(function, FunctionTool | CustomFunctionTool):
        name = function.name if name is None else name
        description = function.description if description is None else description
        if parameters is None and format is None:
            parameters, format = function.__dict__["given"]  # noqa: A001
        function = function.function
    if not callable(function):
        raise InvalidRequestError(
            f"A tool is a function, and not of the type {type(function).__name__}.",
            hint="Give `tool` a function, or something else that can be called.",
        )
    name, said = _checked(_name(function) if name is None else name), _docstring(function)
    made: FunctionTool | CustomFunctionTool
    if format is None:
        made = _function_tool(function, parameters, name, said)
    else:
        made = _custom_tool(function, format, name, said)
    if description is not None:
        force_setattr(made, "description", description)
    made.__dict__.update(function=function, given=(parameters, format), __wrapped__=function)
    return made


def _function_tool(
    function: Callable[..., Any], parameters: Mapping[str, Any] | None, name: str, said: Docstring
) -> FunctionTool:
    if parameters is None:
        reader = parameters_of(function, name, said.parameters)
    else:
        reader = parameters_from(parameters, name)
    made = FunctionTool(name, said.description, reader.schema, reader.strict or None)
    made.__dict__["reader"] = reader
    return made


def _custom_tool(
    function: Callable[..., Any], given: Format, name: str, said: Docstring
) -> CustomFunctionTool:
    reader = text_parameter_of(function, name, said.parameters)
    words = f"Its input: {reader.description}" if reader.description else ""
    described = f"{said.description}\n\n{words}".strip()
    made = CustomFunctionTool(name, described, read_format(given, f"The format of the tool {name}"))
    made.__dict__["reader"] = reader
    return made


def _checked(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"A tool cannot be called {name!r}.",
            hint="Give `tool(…, name=…)` up to 64 letters without accents, digits, `_` or `-`.",
        )
    return name


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial | _OfFunction):
        function = function.func if isinstance(function, functools.partial) else function.function
    return function


def _name(function: Callable[..., Any]) -> str:
    function = _innermost(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _docstring(function: Callable[..., Any]) -> Docstring:
    """What the function's docstring says; of an object, that of its ``__call__``, else its class's."""
    function = _innermost(function)
    if not hasattr(function, "__name__"):
        call = type(function).__call__
        function = call if call.__doc__ else type(function)
    return read_docstring(inspect.getdoc(function))


def is_async(function: Callable[..., Any]) -> bool:
    """Whether ``function`` has to be awaited; of an object, its ``__call__``."""
    call = getattr(function, "__call__", None)  # noqa: B004 - of an object, which may be asynchronous
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
