"""Which output item an event belongs to: by id, by index, or because no other can be meant.

Servers name items well, badly or not at all. Nothing here looks at all items for one event: what a server
sends is never answered with work that grows with its square.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import count
from operator import attrgetter
from typing import Any, cast

from onplan.errors import StreamCorruptError
from onplan.responses.arrival import Arrival, InOrder
from onplan.responses.items import CONTENT_KINDS, Item, kind_of, parts_in
from onplan.types import ContentPart, TextDelta, ThinkingDelta

MAXIMUM_ITEMS = 10_000
_KINDS = (*CONTENT_KINDS, "")


class Arrivals:
    """The output items of one response, in the order in which they began to speak."""

    def __init__(self) -> None:
        self._all: list[Arrival] = []
        self._positions = count()
        texts, thoughts = InOrder(TextDelta, self._positions), InOrder(ThinkingDelta, self._positions)
        self._orders = {"output_text": texts, "summary": thoughts, "reasoning": thoughts}
        self._by_id: dict[tuple[str, str], Arrival] = {}  # by the kind as well: some give all items one id
        self._by_call_id: dict[str, Arrival] = {}
        self._by_index: dict[int, Arrival] = {}
        # By kind those that may be unfinished, the latest last; those without a name apart.
        self._unfinished: defaultdict[str, list[Arrival]] = defaultdict(list)
        self._anonymous: defaultdict[str, list[Arrival]] = defaultdict(list)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(sorted(self._all, key=attrgetter("position")))

    def __bool__(self) -> bool:
        return bool(self._all)

    def end_all(self) -> None:
        """The stream has ended: nothing more is handed out."""
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
        """The item of a delta, opened if its beginning was not announced.

        Raises:
            StreamCorruptError: there are more items than any answer has; as for every method.
        """
        if item_id and (arrival := self._by_id.get((item_id, kind))) is not None:  # nearly always
            return arrival
        arrival = self._find(item_id, index, kind)
        if arrival is None:
            return self._open({"type": kind, "id": item_id}, index)
        if arrival.kind != kind:  # it said nothing of what it is, or nothing that is known
            arrival.kind = kind
            self._name(arrival, {"id": item_id}, None)
            self._unfinished[kind].append(arrival)
        return arrival

    def of_item(self, item: Item, index: int | None) -> Arrival:
        """The item that is announced or finished.

        A call is known by the id that its result must name, whatever became of the others: it must never be
        carried out twice. At the index of an item that is finished, one without an id is another one, unless
        it says the same.
        """
        named = self._named_by(item)
        arrival = named or self._find(item.get("id"), index, kind_of(item))
        if arrival is None or (arrival.finished and not named and not _repeats(item, arrival)):
            return self._open(item, index)
        arrival.anonymous = False
        self._name(arrival, item, index)
        return arrival

    def of_outputs(self, response: Mapping[str, Any]) -> Iterator[tuple[Arrival, Item]]:
        """The items of a response's ``output``, which may leave out items that were streamed."""
        output = response.get("output") or ()
        named = [self._named_by(item) for item in output]
        if all(named):  # nearly always
            yield from zip(cast("list[Arrival]", named), output, strict=True)
            return
        found = set(map(id, filter(None, named)))
        said: defaultdict[tuple[str, tuple[ContentPart, ...]], list[Arrival]] = defaultdict(list)
        for arrival in reversed(self._all):
            if arrival.finished:
                said[arrival.kind, tuple(arrival.parts)].append(arrival)
        for index, item in enumerate(output):
            same = said.get((kind_of(item), tuple(parts_in(item))), [])
            while same and id(same[-1]) in found:
                same.pop()
            arrival = self._of_output(item, index, same[-1] if same else None)
            found.add(id(arrival))
            yield arrival, item

    def _of_output(self, item: Item, index: int, same: Arrival | None) -> Arrival:
        """The item at ``index``; ``same``: one that was finished with the same words, not taken yet.

        Some servers renumber, so that another id alone makes no other item.
        """
        if named := self._named_by(item):
            return named
        if same:
            return same
        arrival = self._by_index.get(index)
        if arrival is None or not _may_be(arrival, kind_of(item)):
            return self._open(item, None)
        if arrival.finished and item.get("id") and parts_in(item) != arrival.parts:
            return self._open(item, None)
        return arrival

    def _find(self, item_id: str | None, index: int | None, kind: str) -> Arrival | None:
        """By id; else by index, for some servers give an item another id in every event; else by kind.

        Some servers number every item 0: a finished item is not meant where the id is another one.
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
        call = self._by_call_id.get(call_id) if call_id and kind in ("function_call", "") else None
        return call or self._named(item.get("id"), kind)

    def _named(self, item_id: str | None, kind: str) -> Arrival | None:
        if not item_id:
            return None
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
        if arrival.kind == "function_call" and (call_id := item.get("call_id")):
            self._by_call_id[call_id] = arrival
        if index is not None:
            self._by_index[index] = arrival


def _repeats(item: Item, arrival: Arrival) -> bool:
    """Whether ``item`` says once more what was finished, or is of a kind that says nothing here."""
    return arrival.kind not in CONTENT_KINDS or parts_in(item) == arrival.parts


def _may_be(arrival: Arrival, kind: str) -> bool:
    """Whether the item at some index is of ``kind``: one of the two may not have said what it is."""
    return arrival.kind == kind or not kind or not arrival.kind
