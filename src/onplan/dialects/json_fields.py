"""Reads the fields of a JSON body one by one; what is wrong with one is told with its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from onplan.dialects.openai_errors import ParameterError, parameter_error
from onplan.flow import JSON_ERRORS

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Decoder(Protocol[T_co]):
    """A decoder of msgspec's, of which only this matters here: its own type is invariant."""

    def decode(self, raw: msgspec.Raw, /) -> T_co:
        """The value."""


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fields_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of an object, not decoded yet; those that are null count as absent.

    Raises:
        ParameterError: ``body`` is not a JSON object.
    """
    try:
        fields = _FIELDS.decode(body)
    except msgspec.ValidationError:
        raise ParameterError("The body is not a JSON object.", code="invalid_json") from None
    except JSON_ERRORS:
        raise ParameterError("The body is not JSON.", code="invalid_json") from None
    return {name: raw for name, raw in fields.items() if size_of(raw) != 4 or bytes(raw) != b"null"}


def size_of(raw: msgspec.Raw) -> int:
    """How many bytes of JSON a value is, without a copy of them."""
    return memoryview(raw).nbytes


MOST_ELEMENTS = 32_768
"""More messages, items and parts than any model reads; OpenAI itself takes 2,048 messages."""


def require_few(count: int, where: str) -> None:
    """Refuse a list whose elements would keep a server busy for seconds. Raises ParameterError."""
    if count > MOST_ELEMENTS:
        raise ParameterError(
            f"{where} has more than {MOST_ELEMENTS:,} elements.", param=where, code="array_above_max_length"
        )


def elements_of(values: Iterable[Any]) -> int:
    """How many elements those of ``values`` have that are lists."""
    return sum(len(value) for value in values if type(value) is list)


def decoded(raw: msgspec.Raw, decoder: _Decoder[T_co], where: str) -> T_co:
    """The value of the field called ``where``.

    Raises:
        ParameterError: it has another shape than ``decoder`` reads.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise parameter_error(error, where) from None
    except JSON_ERRORS:
        raise ParameterError(f"{where} is not valid JSON.", param=where, code="invalid_json") from None


def converted(value: Any, kind: type[T], where: str) -> T:
    """``value``, which was decoded without a type, as one of ``kind``. Raises as ``decoded``."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise parameter_error(error, where) from None
