"""Recognises pydantic's types, of which a stand-in has the place: tests/interop has the library itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import pytest

from onplan.errors import InvalidRequestError, OutputError
from onplan.structured.output_format import output_format
from onplan.structured.pydantic_types import validator_of


class ValidationError(ValueError):
    def errors(self, **options: bool) -> list[dict[str, Any]]:
        assert options == {"include_url": False, "include_context": False, "include_input": False}
        return [{"msg": "Input should be a valid integer", "loc": ("birds", 0, "wing span")}]


class TypeAdapter:
    def __init__(self, type_: Any) -> None:
        self.type = type_

    def json_schema(self) -> dict[str, Any]:
        if self.type is Unfinished:
            raise RuntimeError("`Unfinished` is not fully defined\n\nFor further information visit …")
        return {"type": "object", "title": "M", "properties": {"a": {"type": "integer", "default": 3}}}

    def validate_json(self, data: bytes, /) -> Any:
        value = msgspec.json.decode(data)
        if "bad" in value.get("a", ""):
            raise ValidationError
        if "odd" in value.get("a", ""):
            raise ValueError("Odd")
        return self.type, value


class Model:
    __pydantic_core_schema__ = ()


class Unfinished(Model): ...


class Constraint:
    __module__ = "pydantic.types"


@dataclass
class Holder:
    model: Model


class Alias:
    """As ``type Alias = list[Model]`` is, from Python 3.12 on."""

    __value__ = list[Model]


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    item: T
    model: Model


@dataclass
class Plain:
    number: int
    me: Plain | None = None


@dataclass
class Unknown:
    number: Gone  # type: ignore[name-defined]  # noqa: F821


@pytest.fixture
def pydantic(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("pydantic")
    module.TypeAdapter = TypeAdapter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pydantic", module)
    return module


OURS: dict[str, Any] = {
    "a model": Model,
    "a list of them": list[Model],
    "another name of that": Alias,
    "one or null": Model | None,
    "a field": Holder,
    "a field of a field": dict[str, Holder],
    "a field of a generic class": Box[int],
    "a constraint": Annotated[int, Constraint()],
}


@pytest.mark.parametrize("given", OURS.values(), ids=OURS)
def test_what_is_read_by_pydantic(pydantic: ModuleType, given: Any) -> None:
    """A type that has something of pydantic's anywhere in it is read by pydantic."""
    found = validator_of(given)

    assert isinstance(found, TypeAdapter)
    assert found.type is given


def test_an_adapter_is_used_as_it_is(pydantic: ModuleType) -> None:
    """A TypeAdapter is its own reader."""
    adapter = TypeAdapter(int)

    assert validator_of(adapter) is adapter


@pytest.mark.parametrize("given", [int, Plain, list[Plain], Unknown, Callable[[int], str]], ids=str)
def test_what_is_not(pydantic: ModuleType, given: Any) -> None:
    """Types without anything of pydantic's are left to msgspec, also in a program that uses pydantic."""
    assert validator_of(given) is None


def test_pydantic_is_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program has not imported pydantic, nothing looks for it."""
    monkeypatch.delitem(sys.modules, "pydantic", raising=False)

    assert validator_of(Model) is None
    assert "pydantic" not in sys.modules


def test_values_and_misfits(pydantic: ModuleType) -> None:
    """Null stands for a default; what pydantic says of a misfit is in the error, with the place."""
    made = output_format(Model)

    assert made.strict
    assert made.parse('{"a": null}') == (Model, {})
    with pytest.raises(OutputError, match="input should be a valid integer") as caught:
        made.parse('{"a": "bad"}')
    assert caught.value.path == "$.birds[0]['wing span']"
    with pytest.raises(OutputError, match="response_format: odd"):
        made.parse('{"a": "odd"}')


def test_a_model_without_a_schema(pydantic: ModuleType) -> None:
    """What pydantic cannot make a schema of is refused in its words, without its advertising."""
    with pytest.raises(InvalidRequestError) as caught:
        output_format(Unfinished)
    assert str(caught.value) == "response_format cannot be used: `Unfinished` is not fully defined."
