"""The parameters of a function as a JSON schema, and the model's arguments as values for the function."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import msgspec

from onplan.errors import InvalidRequestError, OutputError
from onplan.structured.json_text import json_value
from onplan.structured.misfit import Misfit
from onplan.structured.output_format import OutputFormat, output_format

_Parameter = inspect.Parameter
_VARIABLE = (_Parameter.VAR_POSITIONAL, _Parameter.VAR_KEYWORD)


class WrongArgumentsError(Exception):
    """The model's arguments do not fit. The message is for the model; it does not repeat the arguments."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the function is called with."""

    positional: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one function.

    Attributes:
        schema: the JSON schema of its arguments, an object.
        strict: whether the schema can be sent as strict.
    """

    schema: dict[str, Any]
    strict: bool
    _format: OutputFormat
    _signature: tuple[inspect.Parameter, ...] | None

    def read(self, text: str) -> Arguments:
        """The arguments in the JSON text that the model wrote; an empty text is an empty object.

        Raises:
            WrongArgumentsError: they are not JSON, or do not fit.
        """
        text = text.strip() or "{}"
        try:
            if self._signature is not None:
                _require_known(json_value(text), self._signature)
            value = self._format.parse(text)
        except Misfit as misfit:
            raise WrongArgumentsError(_sentence(misfit.problem, misfit.path)) from None
        except OutputError as error:
            raise WrongArgumentsError(_sentence(error.problem, error.path)) from None
        if self._signature is None:
            return Arguments((), value)
        return _given(value, self._signature)


def _sentence(problem: str, path: str) -> str:
    where = "" if path == "$" else f" at {path}"
    return f"The arguments do not fit{where}: {problem}."


def _require_known(value: object, signature: Iterable[inspect.Parameter]) -> None:
    names = [parameter.name for parameter in signature]
    unknown = [name for name in value if name not in names] if isinstance(value, dict) else []
    if unknown:
        known = f"there are: {', '.join(names)}" if names else "it has none"
        raise Misfit(f"the function has no parameter {unknown[0]!r}, {known}")


def _given(value: Any, signature: Iterable[inspect.Parameter]) -> Arguments:
    """The values that the model gave. What it left out keeps the function's own default."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in signature:
        given = getattr(value, parameter.name)
        if parameter.kind is _Parameter.POSITIONAL_ONLY:
            positional.append(parameter.default if given is _ABSENT else given)
        elif given is not _ABSENT:
            named[parameter.name] = given
    return Arguments(tuple(positional), named)


@dataclass(frozen=True, slots=True)
class TextParameter:
    """The parameter of a function that is called with the text for a custom tool.

    Attributes:
        description: of the parameter, for the model.
    """

    description: str
    _name: str | None

    def read(self, text: str) -> Arguments:
        """The text as what the function is called with."""
        return Arguments((text,), {}) if self._name is None else Arguments((), {self._name: text})


def text_parameter_of(function: Callable[..., Any], name: str, texts: Mapping[str, str]) -> TextParameter:
    """The one parameter of a function that takes text; others keep their defaults.

    Args:
        function: what is called.
        name: of the tool, for errors.
        texts: what is said of each parameter where its annotation says nothing.

    Raises:
        InvalidRequestError: the function cannot be called with a text alone.
    """
    parameters = list(_parameters(function, name))
    required = [other for other in parameters[1:] if other.default is _Parameter.empty]
    if not parameters or required or not _takes_text(parameters[0].annotation):
        raise InvalidRequestError(
            f"The custom tool {name} must be called with one text, which its function cannot be.",
            hint="Give it one parameter that is a `str`; others need defaults. Or leave out `format=`.",
        )
    first = parameters[0]
    by_name = first.kind is _Parameter.KEYWORD_ONLY
    description = _annotated_words(first.annotation) or texts.get(first.name, "")
    return TextParameter(description, first.name if by_name else None)


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation in (str, Any, object, _Parameter.empty)


# --- from a JSON schema ------------------------------------------------------------------------------


def parameters_from(schema: Mapping[str, Any], name: str) -> Parameters:
    """The parameters that a JSON schema describes; the function is called with its properties by name.

    Raises:
        InvalidRequestError: it is no schema of an object.
    """
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"The parameters of the tool {name} are no JSON schema, but of the type {type(schema).__name__}.",
            hint='Give them as `{"type": "object", "properties": {…}}`.',
        )
    made = output_format({"type": "object", **schema})
    if made.wrapped:
        raise InvalidRequestError(
            f"The parameters of the tool {name} are not of type object.",
            hint='Give them as `{"type": "object", "properties": {…}}`.',
        )
    own = deepcopy(made.schema)  # ``made`` is shared by all that have the same schema
    return Parameters(own, made.strict, made, None)


# --- from a function ---------------------------------------------------------------------------------

_ABSENT: Any = object()


def parameters_of(function: Callable[..., Any], name: str, texts: Mapping[str, str]) -> Parameters:
    """The parameters of a function, from its signature.

    Args:
        function: what is called.
        name: of the tool, for errors.
        texts: what is said of each parameter where its annotation says nothing.

    Raises:
        InvalidRequestError: they cannot be described to a model.
    """
    signature = tuple(_parameters(function, name))
    words = {parameter.name: _words(parameter, texts) for parameter in signature}
    fields = [(parameter.name, _type_of(parameter), _field(parameter, words)) for parameter in signature]
    made = _format_of(fields, name)
    return Parameters(_described(made.schema, words), made.strict, made, signature)


def _parameters(function: Callable[..., Any], name: str) -> Iterator[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise InvalidRequestError(
            f"The annotations of the tool {name} cannot be read: {error}.",
            hint="Define what they name at the top level of a module.",
        ) from None
    except (TypeError, ValueError):
        raise InvalidRequestError(
            f"The tool {name} has no signature that Python can read.",
            hint="Give `tool(…, parameters=…)` a JSON schema.",
        ) from None
    bound = _bound(function)
    for position, parameter in enumerate(signature.parameters.values()):
        if parameter.kind in _VARIABLE:
            stars = "*" if parameter.kind is _Parameter.VAR_POSITIONAL else "**"
            raise InvalidRequestError(
                f"The tool {name} takes {stars}{parameter.name}, which cannot be described to a model.",
                hint="Name its parameters, or give `tool(…, parameters=…)` a JSON schema.",
            )
        if position == 0 and parameter.name in ("self", "cls") and parameter.annotation is _Parameter.empty:
            raise InvalidRequestError(
                f"The tool {name} is a method without its object.",
                hint="Give the method of an object: `tool(my_object.method)`.",
            )
        if parameter.name not in bound:
            yield parameter


def _bound(function: Callable[..., Any]) -> set[str]:
    """The parameters whose values a ``functools.partial`` holds; they are not the model's to choose."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names |= function.keywords.keys()
        function = function.func
    return names


def _type_of(parameter: inspect.Parameter) -> Any:
    """Its annotation; without one the type of its default, if that is a plain value."""
    if parameter.annotation is not _Parameter.empty:
        return parameter.annotation
    kind = type(parameter.default)
    return kind if kind in (bool, int, float, str) else Any


def _words(parameter: inspect.Parameter, texts: Mapping[str, str]) -> str:
    """The text in a parameter's annotation, else in the docstring, and its default."""
    text = _annotated_words(parameter.annotation) or texts.get(parameter.name, "")
    if parameter.default is _Parameter.empty or parameter.default is None:
        return text
    try:
        default = msgspec.json.encode(parameter.default).decode()
    except (TypeError, ValueError, RecursionError):
        return text
    return f"{text} Default: {default}." if text else f"Default: {default}."


def _annotated_words(annotation: Any) -> str:
    """The text in ``Annotated[…, "text"]``, or that of a ``Doc`` (PEP 727); empty if there is none."""
    remarks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    texts = (getattr(remark, "documentation", remark) for remark in remarks)
    return next((text for text in texts if isinstance(text, str)), "")


def _field(parameter: inspect.Parameter, words: Mapping[str, str]) -> Any:
    text = words[parameter.name]
    metadata = {"description": text} if text else {}
    if parameter.default is _Parameter.empty:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default_factory=lambda: _ABSENT, metadata=metadata)


def _format_of(fields: list[tuple[str, Any, Any]], name: str) -> OutputFormat:
    try:
        return output_format(dataclasses.make_dataclass("Arguments", fields, kw_only=True))
    except InvalidRequestError:
        for parameter, annotation, _ in fields:
            try:
                output_format(annotation)
            except InvalidRequestError as error:
                words = error.message.removeprefix("response_format cannot be used: ")
                raise InvalidRequestError(
                    f"The parameter {parameter} of the tool {name} cannot be described to a model: {words}",
                    hint="Annotate it with a type of JSON, a class of such fields, or give a JSON schema.",
                ) from None
        raise


def _described(schema: dict[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """``schema`` without its title, and with the words that the maker of it, pydantic, has left out."""
    properties = {
        name: {"description": words[name], **inner} if words.get(name) and not _has_words(inner) else inner
        for name, inner in schema.get("properties", {}).items()
    }
    kept = {name: value for name, value in schema.items() if name != "title"}
    return {**kept, "properties": properties}


def _has_words(schema: Mapping[str, Any]) -> bool:
    """Whether it is described, or is a reference, beside which strict mode takes nothing."""
    if "description" in schema or "$ref" in schema:
        return True
    return any("description" in branch for branch in schema.get("anyOf", ()))
