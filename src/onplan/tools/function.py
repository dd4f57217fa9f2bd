"""A function that the model may call: its description for the model, and itself."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, overload

import msgspec

from onplan.errors import InvalidRequestError
from onplan.tools.docstring import Docstring, read_docstring
from onplan.tools.parameters import Parameters, parameters_from, parameters_of
from onplan.types import ToolDefinition

# The platform takes 64 characters.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class FunctionTool(ToolDefinition, frozen=True, dict=True):
    """A function that the model may call: a ``ToolDefinition`` that ``run`` can carry out.

    ``tool`` makes one. It can be called like the function itself.
    """

    @property
    def function(self) -> Callable[..., Any]:
        """What is called, with what the model wrote as its arguments."""
        function: Callable[..., Any] = self.__dict__["function"]
        return function

    @property
    def reader(self) -> Parameters:
        """Reads the model's arguments."""
        reader: Parameters = self.__dict__["reader"]
        return reader

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **named)

    def __copy__(self) -> FunctionTool:
        """The same, which never changes."""
        return self

    def __deepcopy__(self, memory: object) -> FunctionTool:
        """The same: a function is not copied."""
        return self

    def __reduce__(self) -> Any:
        """Pickled as its description: a function is not sent to other processes."""
        return functools.partial(ToolDefinition, **msgspec.structs.asdict(self)), ()


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


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
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

    Raises:
        InvalidRequestError: the function cannot be described to a model.
    """
    if function is None:
        return functools.partial(tool, name=name, description=description, parameters=parameters)
    if isinstance(function, FunctionTool):
        name = function.name if name is None else name
        description = function.description if description is None else description
        parameters = function.__dict__["given"] if parameters is None else parameters
        function = function.function
    given: object = function
    if not callable(given):
        raise InvalidRequestError(
            f"A tool is a function, and not of the type {type(given).__name__}.",
            hint="Give `tool` a function, or something else that can be called.",
        )
    name = _checked(_name(function) if name is None else name)
    said = _docstring(function)
    reader = (
        parameters_of(function, name, said.parameters)
        if parameters is None
        else parameters_from(parameters, name)
    )
    described = said.description if description is None else description
    made = FunctionTool(
        name=name, description=described, parameters=reader.schema, strict=reader.strict or None
    )
    made.__dict__.update(function=function, reader=reader, given=parameters, __wrapped__=function)
    return made


def _checked(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"A tool cannot be called {name!r}.",
            hint="Give `tool(…, name=…)` up to 64 letters without accents, digits, `_` or `-`.",
        )
    return name


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial | FunctionTool):
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
