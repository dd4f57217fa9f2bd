"""What ``response_format`` may be, as the JSON schema that is sent and the reader of the answer's text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import msgspec

from onplan.errors import InvalidRequestError, OutputError
from onplan.field_types import prepare
from onplan.structured.json_text import json_value
from onplan.structured.misfit import Misfit
from onplan.structured.pydantic_types import read_json, validator_of
from onplan.structured.references import WRAPPED, Schema, with_object_root
from onplan.structured.strict_form import StrictForm, strict_form
from onplan.structured.type_schema import schema_of
from onplan.structured.validation import validate
from onplan.structured.wrappers import unwrapped


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One ``response_format``, ready for both uses.

    Attributes:
        name: what the schema is called where the API wants a name: its title, or ``response``.
        schema: the JSON schema to send; its root is an object.
        strict: whether it is sent as strict.
        wrapped: whether the value is the one property of that object, since it may be something else.
        json_object: whether it is sent as the APIs' own word for any JSON object, without the schema.
    """

    name: str
    schema: Schema
    strict: bool
    wrapped: bool
    _form: StrictForm | None
    _read: Callable[[Any], Any]
    _number: Callable[[str], Any]
    json_object: bool = False

    def parse(self, text: str) -> Any:
        """The value in the text of a whole answer.

        Raises:
            OutputError: the text is not JSON, or not what was asked for.
        """
        try:
            value = json_value(text, self._number)
            return self._value(value)
        except RecursionError:
            problem, path = "it is nested too deeply", "$"
        except Misfit as misfit:
            problem, path = misfit.problem, misfit.path
        where = "" if path == "$" else f" at {path}"
        raise OutputError(
            f"The answer does not fit response_format{where}: {problem}.",
            text=text,
            path=path,
            problem=problem,
        )

    def _value(self, value: Any) -> Any:
        if self._form:
            value = self._form.without_nulls(value)
        if self.wrapped:
            validate(value, {"type": "object", "required": [WRAPPED]}, {})
            value = value[WRAPPED]
        return self._read(value)


def output_format(given: Any) -> OutputFormat:
    """Make the format that a ``response_format`` stands for: a JSON schema, or a type.

    Raises:
        InvalidRequestError: there is no JSON schema for it.
    """
    if isinstance(given, Mapping):
        return _of_schema(given)
    if isinstance(given, str | bytes | int | float | list | tuple | set) or given is None:
        raise _no_format(f"a {type(given).__name__} is neither a type nor a JSON schema")
    try:
        return _of_known_type(given)
    except TypeError:  # what stands in Annotated may have no hash
        return _of_type(given)


def _of_schema(given: Mapping[str, Any]) -> OutputFormat:
    try:
        try:
            encoded = msgspec.json.encode(given)
        except (TypeError, ValueError) as error:
            raise _no_format(f"the JSON schema is not JSON ({_first_words(error)})") from None
        return _of_json(encoded)
    except RecursionError:
        raise _no_format("the JSON schema is nested too deeply") from None


@lru_cache(maxsize=256)
def _of_json(encoded: bytes) -> OutputFormat:
    named = unwrapped(msgspec.json.decode(encoded))
    schema = named.schema
    rooted, wrapped = with_object_root(schema)
    form = None if named.strict is False else strict_form(rooted, of_type=False)
    return OutputFormat(
        name=_name(named.name or rooted.get("title")),
        schema=form.schema if form else rooted,
        strict=form is not None or named.strict is True,
        wrapped=wrapped,
        _form=None,
        _read=partial(_validated, schema),
        _number=float,
        json_object=named.json_object,
    )


def _validated(schema: Schema, value: Any) -> Any:
    validate(value, schema, schema)
    return value


def _of_type(given: Any) -> OutputFormat:
    try:
        validator = validator_of(given)
        schema = validator.json_schema() if validator else schema_of(given)
        rooted, wrapped = with_object_root(schema)
        form = strict_form(rooted, of_type=True)
    except NameError as error:
        hint = "Define what its annotations name at the top level of a module."
        raise _no_format(str(error), hint) from None
    except (TypeError, ValueError, RuntimeError) as error:  # RecursionError is one of the last
        union = str(error).startswith("Type unions")
        raise _no_format(_first_words(error), _TELL_APART if union else _KINDS) from None
    if validator is None:
        prepare(given)
    return OutputFormat(
        name=_name(rooted.get("title")),
        schema=form.schema if form else rooted,
        strict=form is not None,
        wrapped=wrapped,
        _form=form,
        _read=partial(_read_by_pydantic, validator.validate_json)
        if validator
        else partial(_read_by_msgspec, given),
        _number=Decimal,
    )


_TELL_APART = "Make them `msgspec.Struct` classes with `tag=True`, or pydantic models."
# Programs ask for the same types and schemas again and again; each is resolved once.
_of_known_type = lru_cache(maxsize=256)(_of_type)

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _read_by_msgspec(type_: Any, value: Any) -> Any:
    try:
        try:
            return msgspec.json.decode(_ENCODER.encode(value), type=type_)
        except msgspec.ValidationError:  # 3.0 is an integer in JSON, but not for msgspec
            return msgspec.json.decode(_ENCODER.encode(_with_integers(value)), type=type_)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `")
        raise Misfit(words[:1].lower() + words[1:], path.rstrip("`") or "$") from None


def _with_integers(value: Any) -> Any:
    """``value`` with integers for whole numbers that were written with a fraction or an exponent."""
    match value:
        case dict():
            return {name: _with_integers(inner) for name, inner in value.items()}
        case list():
            return [_with_integers(inner) for inner in value]
        case Decimal():
            return int(value) if value == value.to_integral_value() else value
        case _:
            return value


def _read_by_pydantic(validate_json: Callable[[bytes], Any], value: Any) -> Any:
    return read_json(validate_json, _ENCODER.encode(value))


def _name(title: Any) -> str:
    """``title`` in the characters that the API takes in a name."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in str(title or ""))
    return name[:64] or "response"


def _first_words(error: Exception) -> str:
    """The part of an error's message that says what is wrong, without pydantic's and msgspec's advice."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines and lines[-1].startswith("type ") else (lines or [type(error).__name__])[0]
    return last.rstrip(".")


_KINDS = (
    "Give it a JSON schema as a dict; a dataclass, TypedDict, NamedTuple, Enum, msgspec or pydantic type; or "
    "a type made of these, such as `list[Bird]`."
)


def _no_format(words: str, hint: str = _KINDS) -> InvalidRequestError:
    return InvalidRequestError(f"response_format cannot be used: {words}.", hint=hint)
