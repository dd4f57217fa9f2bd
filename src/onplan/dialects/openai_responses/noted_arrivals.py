"""The items of an answer as the assembler finds them, for those who hand its events on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onplan.responses.arrival import Arrival
from onplan.responses.arrivals import Arrivals
from onplan.responses.items import Item


class NotedArrivals(Arrivals):
    """The items of an answer; notes which ones an event is about.

    Attributes:
        latest: the item of the latest event that names one.
        outputs: the items of the last event, as the backend finished them there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.latest: Arrival | None = None
        self.outputs: list[tuple[Arrival, Item]] = []

    def of_delta(self, item_id: str | None, index: int | None, kind: str) -> Arrival:
        """The item of a delta."""
        self.latest = super().of_delta(item_id, index, kind)
        return self.latest

    def of_item(self, item: Item, index: int | None) -> Arrival:
        """The item of an event that has it."""
        self.latest = super().of_item(item, index)
        return self.latest

    def of_outputs(self, response: Mapping[str, Any]) -> Iterator[tuple[Arrival, Item]]:
        """Pairs the items of the last event with those that arrived."""
        for pair in super().of_outputs(response):
            self.outputs.append(pair)
            yield pair
