"""Responses that are kept for a while, so that clients can ask for them again and go on from them.

OpenAI's clients rely on it: ``store`` is true unless they say otherwise. The backend keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_responses.input_items import sent_item
from onplan.responses.items import Item


class StoredResponse(msgspec.Struct):
    """One response, and what it answers.

    Attributes:
        response: the ``response`` object as the client got it, as JSON: most are never looked into.
        items: the whole input as it was sent, with all that went before, without instructions.
        model: the model that was asked.
        session_id: the conversation's name at the backend.
    """

    response: msgspec.Raw
    items: list[Item]
    model: str
    session_id: str

    def __repr__(self) -> str:
        """Without what was asked and answered."""
        return f"StoredResponse({self.id!r})"

    @property
    def id(self) -> str:
        """The id of the response."""
        return _decode_named(self.response).id

    @property
    def output(self) -> list[Item]:
        """The items of the answer."""
        return _decode_output(self.response).output


class _NamedItem(msgspec.Struct):
    id: Any = None


class _Named(msgspec.Struct):
    """The ids in a response."""

    id: str
    output: list[_NamedItem]


class _Output(msgspec.Struct):
    output: list[Item]


_decode_named = msgspec.json.Decoder(_Named).decode
_decode_output = msgspec.json.Decoder(_Output).decode
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(StoredResponse).decode


def name_for(caller: str, kept_id: str) -> str:
    """The name under which the store of a server has what ``caller`` knows by this id. It tells neither."""
    return sha256(msgspec.json.encode([caller, kept_id])).hexdigest()


def names_of(stored: StoredResponse, caller: str) -> tuple[str, list[str]]:
    """The name of a response, and the names of its items, to which clients refer."""
    named = _decode_named(stored.response)
    ids = (item.id for item in named.output)
    return name_for(caller, named.id), [name_for(caller, each) for each in ids if isinstance(each, str)]


# --- keeping ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: responses, bytes, seconds."""

    count: int = 1_000
    size: int = 64 * 1024 * 1024
    age: float = 3_600.0


@dataclass(frozen=True, slots=True)
class _Entry:
    data: bytes = field(repr=False)
    at: float
    items: Sequence[str]


class KeptResponses:
    """Encoded responses by name; the oldest are given up first.

    Args:
        bounds: how much is kept.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._entries: dict[str, _Entry] = {}  # the oldest first
        self._items: dict[str, str] = {}  # the names of items, and of the latest response with each
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, name: str, items: Sequence[str], data: bytes, now: float) -> None:
        """Keep ``data``; it is found by its own name and by those of its items. ``now``: seconds."""
        self.remove(name)
        if len(data) > self._bounds.size:
            return
        self._entries[name] = _Entry(data, now, items)
        self._items.update(dict.fromkeys(items, name))
        self._size += len(data)
        self._give_up(now)

    def get(self, name: str, now: float) -> bytes | None:
        """What is kept under the name of a response or of an item; None if it is not there."""
        self._give_up(now)
        entry = self._entries.get(name) or self._entries.get(self._items.get(name, ""))
        return entry.data if entry else None

    def remove(self, name: str) -> bool:
        """Give up the response of this name. Return whether it was there."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return False
        self._size -= len(entry.data)
        for item in entry.items:
            if self._items.get(item) == name:
                del self._items[item]
        return True

    def _give_up(self, now: float) -> None:
        bounds = self._bounds
        while self._entries:
            name, oldest = next(iter(self._entries.items()))
            is_much = len(self._entries) > bounds.count or self._size > bounds.size
            if not is_much and now - oldest.at <= bounds.age:
                return
            self.remove(name)


# --- going on ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Before:
    """What a request goes on from.

    Attributes:
        previous: the response named by ``previous_response_id``.
        referenced: by the id of the item, the responses that the input refers to.
    """

    previous: StoredResponse | None = None
    referenced: Mapping[str, StoredResponse] = field(default_factory=dict)

    def whole(self, items: Iterable[Item], model: str, system_role: str) -> tuple[list[Item], list[str]]:
        """The whole input of a request with the new ``items``, and what had to be left out of it, in words.

        Only the model that thought it can read encrypted reasoning.
        """
        known: list[tuple[Item, str | None]] = []
        if previous := self.previous:
            known += [(item, previous.model) for item in previous.items]
            known += [(item, previous.model) for item in _sent(previous.output, system_role)]
        for item in items:
            if item["type"] == "item_reference":
                stored = self.referenced[item["id"]]
                found = next(each for each in stored.output if each.get("id") == item["id"])
                known += [(each, stored.model) for each in _sent([found], system_role)]
            else:
                known.append((item, None))
        kept = [item for item, by in known if by in (None, model) or item["type"] != "reasoning"]
        if not (left_out := len(known) - len(kept)):
            return kept, []
        return kept, [f"Left out {left_out} encrypted reasoning item(s): another model thought them."]


def references_in(items: Iterable[Item]) -> list[str]:
    """The ids of items that the input only refers to."""
    return [item["id"] for item in items if item["type"] == "item_reference"]


def _sent(output: Iterable[Item], system_role: str) -> list[Item]:
    return [sent for item in output for sent in sent_item(item, system_role, "previous_response_id")]


# --- listing ----------------------------------------------------------------------------------------

_MOST_LISTED = 100


def input_items_page(stored: StoredResponse, query: Mapping[str, str]) -> dict[str, Any]:
    """What ``GET /v1/responses/{id}/input_items`` answers; newest first unless ``order=asc``.

    Raises:
        ParameterError: ``limit``, ``order`` or ``after`` cannot be.
    """
    order, limit = query.get("order", "desc"), query.get("limit", "20")
    if order not in ("asc", "desc"):
        raise ParameterError("order is asc or desc.", param="order")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:4]) <= _MOST_LISTED):
        raise ParameterError(f"limit is a number from 1 to {_MOST_LISTED}.", param="limit")
    items = [_listed(item, f"{stored.id}_{index}") for index, item in enumerate(stored.items)]
    if order == "desc":
        items.reverse()
    if (after := query.get("after")) is not None:
        at = next((index for index, item in enumerate(items) if item["id"] == after), None)
        if at is None:
            raise ParameterError(f"No input item has the id {after!r}.", param="after")
        items = items[at + 1 :]
    page = items[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(page) < len(items),
    }


# The backend knows its items by no ids; those of OpenAI begin like this.
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}


def _listed(item: Item, place: str) -> Item:
    prefix = _PREFIXES.get(item["type"], "item")
    status = {"status": "completed"} if item["type"] != "reasoning" else {}
    return {"id": f"{prefix}_{place.removeprefix('resp_')}", **status, **item}
