"""Finds the output item that an event of the Responses API belongs to: by id, by index, or by elimination.

Compatible servers identify items well, badly or not at all. The work for one event never depends on the
number of items, so a server cannot cause work that grows with the square of what it sends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import count
from operator import attrgetter
from typing import Any, cast

import msgspec
from msgspec import structs

from onplan.errors import StreamCorruptError
from onplan.responses.arrival import Arrival, EmissionOrder
from onplan.responses.items import CALL_KINDS, CONTENT_KINDS, Item, kind_of, parts_in
from onplan.types import ContentPart, Text, TextDelta, ThinkingDelta

MAXIMUM_ITEMS = 10_000
_KINDS = (*CONTENT_KINDS, "")


class Arrivals:
    """The output items of one response, in the order in which their text was first emitted."""

    def __init__(self) -> None:
        self._all: list[Arrival] = []
        self._positions = count()
        texts, thoughts = (
            EmissionOrder(TextDelta, self._positions),
            EmissionOrder(ThinkingDelta, self._positions),
        )
        self._orders = {"output_text": texts, "summary": thoughts, "reasoning": thoughts}
        # By id and kind, in case a server gives all items one id: a precaution, seen at no server.
        self._by_id: dict[tuple[str, str], Arrival] = {}
        self._by_call_id: dict[str, Arrival] = {}
        self._by_index: dict[int, Arrival] = {}
        # Items that may be unfinished, by kind, the latest last. `_anonymous`: those without id and index.
        self._unfinished: defaultdict[str, list[Arrival]] = defaultdict(list)
        self._anonymous: defaultdict[str, list[Arrival]] = defaultdict(list)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(sorted(self._all, key=attrgetter("position")))

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def last(self) -> Arrival | None:
        """The item that began last."""
        return self._all[-1] if self._all else None

    def end_all(self) -> None:
        """Drop all references between items and orders: the stream has ended."""
        for order in self._orders.values():
            order.end_all()

    @property
    def ids(self) -> set[str]:
        """The ids of all items, and the call ids of the calls among them."""
        return {item_id for item_id, _ in self._by_id} | self._by_call_id.keys()

    def knows(self, item_id: str) -> bool:
        """Whether an item, or a call, has this id."""
        return item_id in self._by_call_id or any((item_id, kind) in self._by_id for kind in _KINDS)

    def of_delta(self, item_id: str | None, index: int | None, kind: str) -> Arrival:
        """The item of a delta; a new one if none was announced for it.

        Raises:
            StreamCorruptError: there are too many items. The other methods raise it, too.
        """
        if item_id and (arrival := self._by_id.get((item_id, kind))) is not None:  # nearly always
            return arrival
        arrival = self._find(item_id, index, kind)
        if arrival is None:
            return self._open({"type": kind, "id": item_id}, index)
        if arrival.kind != kind:  # its type was missing, or unknown
            arrival.kind = kind
            self._name(arrival, {"id": item_id}, None)
            self._unfinished[kind].append(arrival)
        return arrival

    def of_item(self, item: Item, index: int | None) -> Arrival:
        """The item of an ``output_item.added`` or ``output_item.done`` event.

        A call is identified by its ``call_id`` first, since it must never be carried out twice. An item
        without an id at the index of a finished item is a new one, unless its content is the same.
        """
        named = self._named_by(item)
        if (
            named is None
            and item.get("id")
            and not (index is None or index in self._by_index or self._anonymous)
        ):
            return self._open(item, index)  # nearly always
        arrival = named or self._find(item.get("id"), index, kind_of(item))
        if arrival is None or (arrival.finished and not named and not _repeats(item, arrival)):
            return self._open(item, index)
        arrival.anonymous = False
        self._name(arrival, item, index)
        return arrival

    def of_outputs(self, response: Mapping[str, Any]) -> Iterator[tuple[Arrival, Item]]:
        """Pairs the entries of the finished response's ``output`` with their items; some may be missing."""
        output = response.get("output") or ()
        named = [self._named_by(item) for item in output]
        if all(named):  # nearly always
            yield from zip(cast("list[Arrival]", named), output, strict=True)
            return
        found = set(map(id, filter(None, named)))
        said: defaultdict[tuple[str, bytes], list[Arrival]] = defaultdict(list)
        for arrival in reversed(self._all):
            if arrival.finished:
                said[arrival.kind, _content_of(arrival.parts)].append(arrival)
        for index, item in enumerate(output):
            same = said.get((kind_of(item), _content_of(parts_in(item))), [])
            while same and id(same[-1]) in found:
                same.pop()
            arrival = self._of_output(item, index, same[-1] if same else None)
            found.add(id(arrival))
            yield arrival, item

    def _of_output(self, item: Item, index: int, same: Arrival | None) -> Arrival:
        """The item for the entry of ``output`` at ``index``.

        A new id alone does not mean a new item: mistral.rs gave items new ids in the finished response until
        July 2026 (EricLBuehler/mistral.rs issue 1944).

        Args:
            item: the entry.
            index: its place in ``output``.
            same: a finished item with the same content that no other entry has taken.
        """
        if named := self._named_by(item):
            return named
        if same:
            return same
        arrival = self._by_index.get(index)
        if arrival is None or not _may_be(arrival, kind_of(item)):
            return self._open(item, None)
        if arrival.finished and item.get("id") and not _has_content_of(item, arrival):
            return self._open(item, None)
        return arrival

    def _find(self, item_id: str | None, index: int | None, kind: str) -> Arrival | None:
        """The known item: by id, else by index, else by kind.

        The index helps where an item has a new id in each event, as at GitHub Copilot (vercel/ai pull request
        18548, August 2026). LiteLLM gives several items one index (BerriAI/litellm pull request 36375, August
        2026): so a finished item with another id does not match.
        """
        found = self._named(item_id, kind)
        if found is None and index is not None:
            found = self._by_index.get(index)
            if found and (not _may_be(found, kind) or (found.finished and item_id and found.item.get("id"))):
                found = None
        if found is None:
            unnamed = not item_id and index is None
            found = self._latest(self._unfinished[kind]) if unnamed else self._latest_anonymous(kind)
        return found

    def _named_by(self, item: Item) -> Arrival | None:
        """The item with the call id or the id of ``item``."""
        kind, call_id = kind_of(item), item.get("call_id")
        call = self._by_call_id.get(call_id) if call_id and kind in (*CALL_KINDS, "") else None
        return call or self._named(item.get("id"), kind)

    def _named(self, item_id: str | None, kind: str) -> Arrival | None:
        if not item_id:
            return None
        if found := self._by_id.get((item_id, kind)):  # nearly always
            return found
        kinds = (kind, "") if kind in CONTENT_KINDS else ("", *CONTENT_KINDS)
        return next((found for kind in kinds if (found := self._by_id.get((item_id, kind)))), None)

    def _latest(self, arrivals: list[Arrival]) -> Arrival | None:
        while arrivals and arrivals[-1].finished:
            arrivals.pop()
        return arrivals[-1] if arrivals else None

    def _latest_anonymous(self, kind: str) -> Arrival | None:
        arrivals = self._anonymous[kind]
        while arrivals and not arrivals[-1].anonymous:
            arrivals.pop()
        return self._latest(arrivals)

    def _open(self, item: Item, index: int | None) -> Arrival:
        if len(self._all) >= MAXIMUM_ITEMS:
            raise StreamCorruptError(f"The answer has more than {MAXIMUM_ITEMS:,} items.")
        unnamed = not item.get("id") and index is None
        arrival = Arrival(item, next(self._positions), self._orders, anonymous=unnamed)
        self._all.append(arrival)
        self._unfinished[arrival.kind].append(arrival)
        if arrival.anonymous:
            self._anonymous[arrival.kind].append(arrival)
        self._name(arrival, item, index)
        return arrival

    def _name(self, arrival: Arrival, item: Item, index: int | None) -> None:
        if item_id := item.get("id"):
            self._by_id[item_id, arrival.kind if arrival.kind in CONTENT_KINDS else ""] = arrival
        if arrival.kind in CALL_KINDS and (call_id := item.get("call_id")):
            self._by_call_id[call_id] = arrival
        if index is not None:
            self._by_index[index] = arrival


def _content_of(parts: list[ContentPart]) -> bytes:
    """What tells ``parts`` from others: all but annotations, which need not come with every event.

    It is JSON, since parts may hold dicts, which have no hash.
    """
    bare = [structs.replace(part, annotations=()) if isinstance(part, Text) else part for part in parts]
    return msgspec.json.encode(bare)


def _repeats(item: Item, arrival: Arrival) -> bool:
    """Whether ``item`` has the content of the finished ``arrival``, or is of a kind without content."""
    return arrival.kind not in CONTENT_KINDS or _has_content_of(item, arrival)


def _has_content_of(item: Item, arrival: Arrival) -> bool:
    return _content_of(parts_in(item)) == _content_of(arrival.parts)


def _may_be(arrival: Arrival, kind: str) -> bool:
    """Whether ``arrival`` may be of ``kind``; an unknown kind on either side matches."""
    return arrival.kind == kind or not kind or not arrival.kind
