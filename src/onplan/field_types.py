"""Checks at run time that content parts have fields of the right types, and that options are known.

A program that translates a history from another library by hand may put a wrong type into a field. Without
this check that would fail while the request is built, far from the line that made the part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints, runtime_checkable

import msgspec
from msgspec.structs import force_setattr

from onplan.errors import InvalidRequestError

_EXPECTED: Mapping[type, str] = {str: "a string", bytes: "bytes", bool: "True or False"}


@runtime_checkable
class PathLike(Protocol):
    """`os.PathLike`, without importing `os`: for example a `pathlib.Path`."""

    def __fspath__(self) -> str:
        """The path as a string."""
        ...


def require_known(
    options: Iterable[str], known: Iterable[str], owner: str, other_names: Mapping[str, str] | None = None
) -> None:
    """Raise InvalidRequestError if one of the options of ``owner``, such as "An image", is not ``known``.

    Args:
        options: the names that were given.
        known: the names that there are.
        owner: what has them, as the error begins.
        other_names: what some of the known ones are called at other places.
    """
    from difflib import get_close_matches

    known = sorted(known)
    for name in options:
        if name not in known:
            other = (other_names or {}).get(name)
            near = [other] if other in known else get_close_matches(name, known, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(known)}."
            raise InvalidRequestError(f"{owner} has no option {name!r}.", hint=hint)


def require_fields(part: msgspec.Struct, advice: Mapping[str, str]) -> None:
    """Check the types of ``part``'s fields; a ``pathlib.Path`` and buffers are converted.

    ``path`` may be a ``pathlib.Path``, and a bytes field any buffer. Fields that hold lists or dicts are not
    checked.

    Args:
        part: a content part.
        advice: by field name, how to convert a wrong value; added to the error message.

    Raises:
        InvalidRequestError: a field has the wrong type; the message names the field, but not its value.
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
            raise InvalidRequestError(
                f"{type(part).__name__}.{name} is {expected}, and not {type(given).__name__}.",
                hint=advice.get(name, f"Give it {expected}."),
            )


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """The fields of ``kind`` that hold neither lists nor dicts, each with the classes of its annotation."""
    hints: dict[str, Any] = get_type_hints(kind)
    unions = {name: _members(hints[name]) for name in kind.__struct_fields__}
    return tuple((name, kinds) for name, kinds in unions.items() if not any(map(get_args, kinds)))


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def prepare(*kinds: Any) -> None:
    """Have msgspec look at the fields of ``kinds`` while their module is imported, in one thread.

    msgspec.convert does that when it first meets a class. Of two threads that meet it at once, one may find
    it half done, and the process ends with a segmentation fault (msgspec 0.22.0, seen on 1 December 2026 in
    `onplan batch`). To be removed when msgspec does that safely.
    """
    for kind in kinds:
        msgspec.json.Decoder(kind)
