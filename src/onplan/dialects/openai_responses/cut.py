"""The events that end an answer which onplan cuts at ``max_output_tokens``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from onplan.dialects.openai_responses.event_order import Event, Place
from onplan.responses.items import Item
from onplan.types import TextDelta


class _Delta(msgspec.Struct):
    type: str = ""
    delta: Any = None
    output_index: int | None = None
    content_index: int | None = None


_delta = msgspec.json.Decoder(_Delta).decode
# Where the text of a delta stands in its item.
_FIELDS = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


class Ending:
    """What is open in a stream: items that were announced and have not ended, with their text so far."""

    def __init__(self) -> None:
        self._open: dict[int, Item] = {}
        self._texts: dict[tuple[int, int], str] = {}

    def item(self, index: int, item: Item, *, is_done: bool) -> None:
        """An item begins or ends."""
        if is_done:
            self._open.pop(index, None)
        else:
            self._open[index] = item

    def note(self, payload: bytes) -> None:
        """An event that was handed on."""
        event = _delta(payload)
        if event.output_index is None or not isinstance(event.delta, str):
            return
        if event.type == "response.output_text.delta":
            at = (event.output_index, event.content_index or 0)
            self._texts[at] = self._texts.get(at, "") + event.delta
        elif (field := _FIELDS.get(event.type)) and (item := self._open.get(event.output_index)):
            item[field] = item.get(field, "") + event.delta

    def open_items(self) -> list[tuple[int, Item]]:
        """The items that are open, as they stand."""
        return [(index, self._as_it_is(index, item)) for index, item in self._open.items()]

    def events(self, place: Place, passed: list[Any]) -> Iterator[Event]:
        """The rest of the text before the cut, and the end of each part and item that is open."""
        index, part = place.output_index or 0, place.content_index or 0
        text = "".join(chunk.text for chunk in passed if isinstance(chunk, TextDelta))
        if text:
            at = {"item_id": place.item_id, "output_index": index, "content_index": part}
            self._texts[index, part] = self._texts.get((index, part), "") + text
            yield {"type": "response.output_text.delta", **at, "delta": text, "logprobs": []}
        for open_index, item in self._open.items():
            for (of, number), said in self._texts.items():
                if of == open_index:
                    at = {"item_id": item.get("id"), "output_index": of, "content_index": number}
                    yield {"type": "response.output_text.done", **at, "text": said, "logprobs": []}
                    yield {"type": "response.content_part.done", **at, "part": _part(said)}
            whole = self._as_it_is(open_index, item)
            yield {"type": "response.output_item.done", "output_index": open_index, "item": whole}

    def _as_it_is(self, index: int, item: Item) -> Item:
        whole = {**item, "status": "incomplete"}
        if item.get("type") == "message":
            parts = sorted((number, said) for (of, number), said in self._texts.items() if of == index)
            whole["content"] = [_part(said) for _, said in parts]
        return whole


def _part(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
