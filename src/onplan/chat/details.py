"""Assembles the entries of ``reasoning_details`` and ``thinking_blocks``, without mixing two entries.

Some entries are encrypted (``data``) or signed (``signature``): joined together, or under another entry's id,
the server that made them refuses them as corrupt. Servers number entries by ``index``, or give each one the
index 0, or none; their ``id`` comes in the first piece or in all (OpenRouter, with models of several vendors
behind it, seen November 2026: mecatl issue 431, agno pull requests 5802 and 8861).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Entry: TypeAlias = dict[str, Any]

# Fields whose text arrives in pieces.
_GROWING = ("text", "summary", "thinking", "data")


class Details:
    """The entries of one list, in the order in which they began."""

    def __init__(self) -> None:
        self._entries: list[_Arriving] = []
        self._by_id: dict[tuple[str, str], _Arriving] = {}
        self._by_index: dict[Any, _Arriving] = {}  # the newest entry of any type

    def feed(self, entries: Iterable[Entry], *, whole: bool = False) -> None:
        """Add the entries of one chunk. ``whole``: they are not pieces, but a signature may stand alone."""
        came: set[int] = set()
        for entry in entries:
            arriving = self._meant_by(entry)
            # Two encrypted entries in one chunk are not pieces of each other.
            separate = whole or (id(arriving) in came and bool(entry.get("data")))
            if arriving is None or not arriving.goes_on_with(entry, separate=separate):
                arriving = _Arriving()
                self._entries.append(arriving)
            arriving.add(entry)
            came.add(id(arriving))
            self._by_index[_index_of(entry)] = arriving
            if isinstance(entry.get("id"), str):
                self._by_id[str(entry.get("type")), entry["id"]] = arriving

    def _meant_by(self, entry: Entry) -> _Arriving | None:
        named = isinstance(entry.get("id"), str)
        found = self._by_id.get((str(entry.get("type")), entry["id"])) if named else None
        return found or self._by_index.get(_index_of(entry))

    @property
    def entries(self) -> list[Entry]:
        """The assembled entries."""
        return [arriving.entry for arriving in self._entries]


class _Arriving:
    """One entry that is arriving."""

    __slots__ = ("_fields", "_pieces")

    def __init__(self) -> None:
        self._fields: Entry = {}
        self._pieces: dict[str, list[str]] = {}

    @property
    def entry(self) -> Entry:
        return {**self._fields, **{name: "".join(pieces) for name, pieces in self._pieces.items()}}

    def add(self, entry: Entry) -> None:
        """Add a piece. Fields keep the order in which they first came."""
        for name, value in entry.items():
            if name in _GROWING and isinstance(value, str):
                self._fields.setdefault(name, "")
                pieces = self._pieces.setdefault(name, [])
                if name != "data" or pieces != [value]:  # else it is a repetition
                    pieces.append(value)
            elif value is not None or name not in self._fields:
                self._fields[name] = value

    def goes_on_with(self, entry: Entry, *, separate: bool) -> bool:
        """Whether ``entry`` is a piece of this entry.

        ``separate``: an entry with content is not.
        """
        mine, content = self._fields, [name for name in _GROWING if entry.get(name)]
        if (separate and content) or any(_differ(mine, entry, name) for name in ("type", "format", "id")):
            return False
        if None not in (places := (mine.get("index"), entry.get("index"))) and places[0] != places[1]:
            return False
        if _differ(mine, entry, "signature") or (mine.get("signature") and content):
            return False  # a signature ends an entry
        same_id = bool(entry.get("id")) and entry.get("id") == mine.get("id")
        if "data" in content and not same_id:
            # Without an index, or with a new id, encrypted data is an entry of its own.
            return entry.get("index") is not None and not entry.get("id")
        return True


def _differ(one: Entry, other: Entry, name: str) -> bool:
    """Whether both have a value for ``name``, and the values differ."""
    return bool(one.get(name) and other.get(name)) and one[name] != other[name]


def _index_of(entry: Entry) -> int | str | None:
    index = entry.get("index")
    return index if isinstance(index, int | str) else None
