"""Whether a part of a message holds what its fields say.

Pure: it knows annotations, and no wire. A history that comes from another library is translated by hand; a
field of the wrong kind would otherwise fail while the request is built, far from the line that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, get_args, get_type_hints, runtime_checkable

import msgspec
from msgspec.structs import force_setattr

_EXPECTED: Mapping[type, str] = {str: "a string", bytes: "bytes"}


@runtime_checkable
class PathLike(Protocol):
    """What `os.PathLike` is, such as a `pathlib.Path`."""

    def __fspath__(self) -> str:
        """The path as a string."""
        ...


def require_fields(part: msgspec.Struct, advice: Mapping[str, str]) -> None:
    """Refuse what is none of the types of ``part``'s fields, but for short spellings, which are accepted.

    A ``path`` may be a ``pathlib.Path``, and bytes any buffer. Fields that are lists are not looked at.

    Args:
        part: a piece of a message.
        advice: what makes the right thing of a wrong one, by the field's name.

    Raises:
        TypeError: a field holds what it cannot; the sentence names the field, and not its value.
    """
    for name, kinds in _fields(type(part)):
        given = getattr(part, name)
        if isinstance(given, kinds):
            continue
        if name == "path" and isinstance(given, PathLike) and isinstance(path := given.__fspath__(), str):
            force_setattr(part, name, path)
        elif bytes in kinds and isinstance(given, bytearray | memoryview):
            force_setattr(part, name, bytes(given))
        else:
            expected = " or ".join(_EXPECTED[kind] for kind in kinds if kind in _EXPECTED)
            raise TypeError(
                f"{type(part).__name__}.{name} is {expected}, and not {type(given).__name__}."
                f"{advice.get(name, '')}"
            )


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """The fields of ``kind`` that are no lists, each with the classes that it may hold."""
    hints: dict[str, Any] = get_type_hints(kind)
    unions = {name: get_args(hints[name]) or (hints[name],) for name in kind.__struct_fields__}
    return tuple((name, kinds) for name, kinds in unions.items() if not any(map(get_args, kinds)))
