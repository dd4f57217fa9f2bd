"""The fields of a body, read one by one: each error names the place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from onplan.dialects.json_fields import (
    MOST_ELEMENTS,
    converted,
    decoded,
    elements_of,
    fields_of,
    require_few,
    size_of,
)
from onplan.dialects.openai_errors import ParameterError


def test_fields_are_read_without_those_that_are_null() -> None:
    """Clients send null for what they leave open. Text that says null, and values as long, are values."""
    read = fields_of(b'{"a": null, "b": "null", "c": true, "d": 1234, "e": {}, "f": [null]}')

    assert {name: bytes(raw) for name, raw in read.items()} == {
        "b": b'"null"',
        "c": b"true",
        "d": b"1234",
        "e": b"{}",
        "f": b"[null]",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "The body is not a JSON object."),
        (b'"text"', "The body is not a JSON object."),
        (b"{", "The body is not JSON."),
        (b"", "The body is not JSON."),
        (b'{"a": \xff}', "The body is not JSON."),
    ],
)
def test_a_body_without_fields_is_refused(body: bytes, message: str) -> None:
    """Whether it is JSON of another kind or none at all is told apart."""
    with pytest.raises(ParameterError) as caught:
        fields_of(body)
    assert (caught.value.message, caught.value.told.code) == (message, "invalid_json")


@pytest.mark.parametrize("text", [b"1", b"[1, 2]", b'"\xc3\xa4"'])
def test_the_size_of_a_value_is_that_of_its_json(text: bytes) -> None:
    """Bytes, not characters."""
    assert size_of(msgspec.Raw(text)) == len(text)


def test_a_list_may_have_so_many_elements() -> None:
    """One more is refused in the words of OpenAI's API."""
    require_few(MOST_ELEMENTS, "messages")
    with pytest.raises(ParameterError) as caught:
        require_few(MOST_ELEMENTS + 1, "messages")
    error = caught.value
    assert error.message == "messages has more than 32,768 elements."
    assert (error.param, error.told.code) == ("messages", "array_above_max_length")


def test_elements_are_counted_in_lists_alone() -> None:
    """Text and objects have a length, too, and no elements that are read one by one."""
    assert elements_of([[1, 2], "abc", {"a": 1}, None, [], [[1, 2, 3]]]) == 3


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        (b'"x"', "stop: Expected array, got string.", None),
        (b"[1]", "stop[0]: Expected string, got integer.", None),
        (b'["a\xff"]', "stop is not valid JSON.", "invalid_json"),
    ],
)
def test_a_field_of_another_shape_is_refused(raw: bytes, message: str, code: str | None) -> None:
    """The error names the field and what is wrong in it."""
    decoder = msgspec.json.Decoder(list[str])
    assert decoded(msgspec.Raw(b'["a"]'), decoder, "stop") == ["a"]
    with pytest.raises(ParameterError) as caught:
        decoded(msgspec.Raw(raw), decoder, "stop")
    assert caught.value.message == message
    assert caught.value.param == message.partition(":")[0].partition(" ")[0]
    assert code is None or caught.value.told.code == code


@pytest.mark.parametrize(
    ("value", "message"),
    [("x", "stop: Expected array, got string."), ([1], "stop[0]: Expected string, got integer.")],
)
def test_a_value_of_another_shape_is_refused(value: Any, message: str) -> None:
    """As one that is still JSON."""
    assert converted(["a"], list[str], "stop") == ["a"]
    with pytest.raises(ParameterError) as caught:
        converted(value, list[str], "stop")
    assert caught.value.message == message
