"""Checks of the fields of content parts, and of the names of options."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest

from onplan.errors import InvalidRequestError
from onplan.field_types import require_fields, require_known


class Part(msgspec.Struct, frozen=True):
    """Fields of each kind that is told apart."""

    text: str = ""
    data: bytes | None = None
    path: str | None = None
    size: int = 0
    mixed: str | bytes = ""
    names: list[str] = []
    more: dict[str, Any] | None = None


# --- options ---


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sise", "Did you mean `size`?"),
        ("width", "Did you mean `size`?"),
        ("height", "There are: count, quality, size."),
        ("xyz", "There are: count, quality, size."),
    ],
)
def test_an_unknown_option_is_refused(name: str, hint: str) -> None:
    """With what was probably meant: another name of it, or one that is spelt like it."""
    other_names = {"width": "size", "height": "of another thing"}
    with pytest.raises(InvalidRequestError) as caught:
        require_known(["count", name], ("size", "quality", "count"), "An image", other_names)
    assert caught.value.message == f"An image has no option {name!r}."
    assert caught.value.hint == hint


def test_known_options_pass() -> None:
    """None at all, too; the known ones may come from an iterator."""
    require_known([], [], "An image")
    require_known(["size", "count"], iter(["size", "count"]), "An image")
    with pytest.raises(InvalidRequestError, match="has no option 'x'"):
        require_known(["x"], iter(["size"]), "An image")


# --- fields ---


@pytest.mark.parametrize(
    "part",
    [
        Part(),
        Part("a", b"b", "c", 1, b"d", ["e"], {}),
        Part(mixed="a", size=True),
        Part(names=5, more=5),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_right_types_are_left_alone(part: Part) -> None:
    """What lists and dicts hold is not looked at."""
    before = msgspec.structs.astuple(part)
    require_fields(part, {})
    assert all(now is was for now, was in zip(msgspec.structs.astuple(part), before, strict=True))


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc"), memoryview(b"xabc")[1:]])
def test_buffers_become_bytes(data: Any) -> None:
    """What the program does with its buffer afterwards does not change the part."""
    part = Part(data=data, mixed=data)
    require_fields(part, {})
    assert (part.data, part.mixed) == (b"abc", b"abc")
    assert type(part.data) is type(part.mixed) is bytes


def test_a_path_becomes_text() -> None:
    """Only in the field that is called so."""
    part = Part(path=PurePosixPath("a/b"))  # type: ignore[arg-type]
    require_fields(part, {})
    assert part.path == "a/b"
    with pytest.raises(InvalidRequestError, match="not PurePosixPath"):
        require_fields(Part(text=PurePosixPath("a")), {})  # type: ignore[arg-type]


class BytesPath(os.PathLike[bytes]):
    """A path that is not text."""

    def __fspath__(self) -> bytes:
        return b"a"


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"text": 5}, "Part.text is a string, and not int.", "Give it a string."),
        ({"text": None}, "Part.text is a string, and not NoneType.", "Give it a string."),
        ({"data": "secret"}, "Part.data is bytes, and not str.", "Encode it."),
        ({"path": BytesPath()}, "Part.path is a string, and not BytesPath.", "Give it a string."),
        ({"path": b"secret"}, "Part.path is a string, and not bytes.", "Give it a string."),
        (
            {"mixed": 5},
            "Part.mixed is a string or bytes, and not int.",
            "Give it a string or bytes.",
        ),
        ({"text": bytearray(b"x")}, "Part.text is a string, and not bytearray.", "Give it a string."),
    ],
)
def test_a_wrong_type_is_named_without_its_value(fields: dict[str, Any], message: str, hint: str) -> None:
    """The error says what the field takes, and how to convert what was given."""
    with pytest.raises(InvalidRequestError) as caught:
        require_fields(Part(**fields), {"data": "Encode it."})
    assert (caught.value.message, caught.value.hint) == (message, hint)
