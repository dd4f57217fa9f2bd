"""Adds the events without which clients cannot read a stream: items and parts that were not announced.

The SDKs raise errors at a delta for an item, or a part of one, that was never added, and take arguments from
deltas alone (docs/protocol.md). Backends send all of it, gateways not always.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from onplan.dialects.openai_responses.response_object import output_item
from onplan.responses.items import Item

Event = dict[str, Any]


class Place(msgspec.Struct, gc=False):
    """What every event says of itself."""

    type: str = ""
    output_index: int | None = None
    content_index: int | None = None
    item_id: str | None = None


# Deltas and their ends: of what kind of item, the name of the text in the end event.
_SECTIONS = {
    "response.output_text": ("message", "text"),
    "response.refusal": ("message", "refusal"),
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
}
_STARTED: dict[str, Item] = {
    "message": {"role": "assistant", "content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": "", "status": "in_progress"},
    "reasoning": {"summary": []},
}


class EventOrder:
    """What has been announced of one stream."""

    def __init__(self) -> None:
        self._items: set[int] = set()
        self._parts: set[tuple[int, int]] = set()
        self._deltas: set[tuple[int, str]] = set()  # indexes of items, and names of sections

    def missing(self, place: Place, payload: bytes) -> Iterator[Event]:
        """The events that have to come before this one. Cheap for a delta like the one before."""
        index = place.output_index
        if index is None:
            return
        name, _, what = place.type.rpartition(".")
        section = _SECTIONS.get(name)
        if section is None:
            yield from self._of_item(index, place, payload)
        elif what == "delta":
            if (index, name) not in self._deltas:
                yield from self._announced(index, place, section[0])
                self._deltas.add((index, name))
            if name == "response.output_text":
                yield from self._part(index, place)
        elif what == "done" and (index, name) not in self._deltas:
            text = msgspec.json.decode(payload).get(section[1])
            yield from self._delta(index, place, name, text)

    def is_repeated(self, place: Place) -> bool:
        """Whether the event announces an item that has been announced."""
        return place.type == "response.output_item.added" and place.output_index in self._items

    def _of_item(self, index: int, place: Place, payload: bytes) -> Iterator[Event]:
        match place.type:
            case "response.output_item.added":
                self._items.add(index)
            case "response.content_part.added":
                self._parts.add((index, place.content_index or 0))
            case "response.output_item.done":
                item = msgspec.json.decode(payload).get("item")
                if isinstance(item, dict):
                    yield from self._whole(index, item)

    def _announced(self, index: int, place: Place, kind: str) -> Iterator[Event]:
        if index not in self._items:
            self._items.add(index)
            item = {"type": kind, "id": place.item_id, **_STARTED[kind]}
            yield {"type": "response.output_item.added", "output_index": index, "item": item}

    def _part(self, index: int, place: Place) -> Iterator[Event]:
        part = (index, place.content_index or 0)
        if part not in self._parts:
            self._parts.add(part)
            yield {
                "type": "response.content_part.added",
                "item_id": place.item_id,
                "output_index": index,
                "content_index": part[1],
                "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
            }

    def _delta(self, index: int, place: Place, name: str, text: Any) -> Iterator[Event]:
        """One delta with the whole text, which had none."""
        kind, _ = _SECTIONS[name]
        yield from self._announced(index, place, kind)
        self._deltas.add((index, name))
        if not isinstance(text, str) or not text:
            return
        at: Event = {"item_id": place.item_id, "output_index": index}
        if kind == "message":
            at["content_index"] = place.content_index or 0
        if name == "response.output_text":
            yield from self._part(index, place)
            at["logprobs"] = []
        yield {"type": f"{name}.delta", **at, "delta": text}

    def _whole(self, index: int, item: Item) -> Iterator[Event]:
        """What was not told before the end of a whole item."""
        kind = item.get("type")
        place = Place(item_id=item.get("id"), output_index=index, content_index=0)
        if index not in self._items:
            self._items.add(index)
            started = {**output_item(item, index, "in_progress"), **_STARTED.get(str(kind), {})}
            yield {"type": "response.output_item.added", "output_index": index, "item": started}
        if kind in ("function_call", "custom_tool_call"):
            name = "function_call_arguments" if kind == "function_call" else "custom_tool_call_input"
            text = item.get("arguments" if kind == "function_call" else "input")
            if (index, f"response.{name}") not in self._deltas:
                yield from self._delta(index, place, f"response.{name}", text)
        if kind == "message" and (index, "response.output_text") not in self._deltas:
            content = item.get("content")
            for number, part in enumerate(content if isinstance(content, list) else ()):
                if isinstance(part, dict) and part.get("type") == "output_text":
                    place.content_index = number
                    yield from self._delta(index, place, "response.output_text", part.get("text"))
