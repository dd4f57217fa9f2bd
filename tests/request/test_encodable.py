"""Text that cannot be encoded is told as what it is."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from onplan.errors import InvalidRequestError
from onplan.request.encodable import encodable, encoded_body


def test_half_a_character() -> None:
    """The error says so, and how to avoid it; other errors are left alone."""
    with pytest.raises(InvalidRequestError, match="half of a character") as caught, encodable():
        msgspec.json.encode({"prompt": "\ud83d"})
    assert 'errors="replace"' in caught.value.hint
    with pytest.raises(TypeError), encodable():
        msgspec.json.encode(object())


def nested(levels: int) -> Any:
    """A list in a list in a list…"""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"b": object()}, "a[0].b has an object of the type object,"),
        (MappingProxyType({}), "a[0] has an object of the type mappingproxy,"),
        ({"b": {(1, 2): 3}}, "a[0].b has a key that is no string,"),
        (nested(100_000), "a" + "[0]" * 11 + " is nested too deeply"),
        (({}, {1: 1 + 2j}), "a[0][1].1 has an object of the type complex,"),
    ],
    ids=["object", "mapping", "key", "depth", "tuple"],
)
def test_what_json_cannot_express(value: object, said: str) -> None:
    """The error says where it is, in a body as in what a field holds, and does not show the value."""
    with pytest.raises(InvalidRequestError) as caught:
        encoded_body({"model": "m", "a": [value]})
    assert caught.value.message.startswith(said)
    assert " at 0x" not in str(caught.value)


def test_what_json_can_express() -> None:
    """It is written as msgspec does; half a character is left to ``encodable``."""
    assert encoded_body({"a": [1, None, "é"]}) == '{"a":[1,null,"é"]}'.encode()
    with pytest.raises(UnicodeEncodeError):
        encoded_body({"a": "\ud83d"})
