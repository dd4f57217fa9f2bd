"""Streams that come as the backend usually sends them, and how they may be disturbed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .streams import CALLS, RESPONSE, USAGE, Event, added, call, done, message, numbered, text_part
from .streams import reasoning as thought

CUSTOM = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_9", "name": "patch"}
OWN: Event = {"type": "codex.rate_limits", "plan_type": "plus", "rate_limits": {"allowed": True}}


def usual_stream(chance: random.Random) -> list[Event]:
    """The announcement, items of every kind, and the end; sometimes an event of the backend's own."""
    begun = {**RESPONSE, "status": "in_progress", "output": [], "tools": [], "usage": None}
    events = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    items = [chance.choice(ITEMS)(index, chance) for index in range(chance.randrange(1, 5))]
    items.append(message_item(len(items), chance))
    for each in items:
        events += each
    if chance.random() < 0.3:
        events.insert(chance.choice([0, 1, 2, len(events)]), OWN)
    ended = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    output = chance.choice([ended, [], None])
    response = {**RESPONSE, "status": "completed", "output": output, "usage": USAGE, "error": None}
    return numbered([*events, {"type": "response.completed", "response": response}])


def _texts(chance: random.Random) -> list[str]:
    return [
        chance.choice(["Hel", "lo, ", "wörld \u2028", '"quoted"\n', "🙂"]) for _ in range(chance.randrange(4))
    ]


def message_item(index: int, chance: random.Random) -> list[Event]:
    name = f"msg_{index}"
    events = [added(index, message("", name))]
    content: list[Event] = []
    for part in range(chance.randrange(1, 3)):
        texts = _texts(chance)
        at = {"item_id": name, "output_index": index, "content_index": part}
        events += _part("content_part", at, text_part(""))[:1]
        events += _text("output_text", at, texts, "text", logprobs=[])
        content.append({**text_part("".join(texts)), "annotations": [{"type": "url_citation"}] * part})
        events += _part("content_part", at, content[-1])[1:]
    return [*events, done(index, {**message("x", name), "content": content, "phase": "final_answer"})]


def reasoning_item(index: int, chance: random.Random) -> list[Event]:
    begun = {**thought(""), "id": f"rs_{index}"}
    events, summary = [added(index, begun)], []
    for part in range(chance.randrange(3)):
        at = {"item_id": begun["id"], "output_index": index, "summary_index": part}
        texts = _texts(chance)
        summary.append({"type": "summary_text", "text": "".join(texts)})
        first, last = _part("reasoning_summary_part", at, summary[-1])
        events += [first, *_text("reasoning_summary_text", at, texts, "text"), last]
    return [*events, done(index, {**begun, "summary": summary})]


def _part(name: str, at: Event, part: Event) -> list[Event]:
    return [
        {"type": f"response.{name}.added", **at, "part": {**part, "text": ""}},
        {"type": f"response.{name}.done", **at, "part": part},
    ]


def _text(name: str, at: Event, texts: Sequence[str], field: str, **more: Any) -> list[Event]:
    deltas = [{"type": f"response.{name}.delta", **at, "delta": text, **more} for text in texts]
    return [*deltas, {"type": f"response.{name}.done", **at, field: "".join(texts), **more}]


def custom_call_item(index: int, chance: random.Random) -> list[Event]:
    item = {**CUSTOM, "id": f"ctc_{index}", "call_id": f"call_{index}", "input": "", "status": "in_progress"}
    texts = _texts(chance)
    text = _text("custom_tool_call_input", {"item_id": item["id"], "output_index": index}, texts, "input")
    return [added(index, item), *text, done(index, {**item, "input": "".join(texts), "status": "completed"})]


def call_item(index: int, chance: random.Random) -> list[Event]:
    at = {"item_id": f"fc_{index}", "output_index": index}
    named = {"id": at["item_id"], "call_id": f"call_{index}"}
    arguments = CALLS[0][2]
    cut = chance.randrange(len(arguments))
    return [
        added(index, {**call(0, is_done=False), **named}),
        *_text("function_call_arguments", at, [arguments[:cut], arguments[cut:]][cut == 0 :], "arguments"),
        done(index, {**call(0, is_done=True), **named}),
    ]


ITEMS: list[Callable[[int, random.Random], list[Event]]] = [
    message_item,
    reasoning_item,
    call_item,
    custom_call_item,
]


def as_sent(events: Sequence[Event]) -> list[bytes]:
    """Payloads with characters beyond ASCII as they are, as the backend writes them."""
    return [msgspec.json.encode(event) for event in events]


def disturbed(payload: bytes, chance: random.Random) -> bytes:
    """The payload with odd bytes: white space, escapes, fields that do not belong there, twice or cut off."""
    event = json.loads(payload)
    value = chance.choice([None, 7, "x", {}, [1]])
    name = chance.choice(["arguments", "summary_index", "content_index", "item_id", "delta", "error"])
    twice = chance.choice(list(event))
    return chance.choice(
        [
            json.dumps(event, indent=chance.choice([None, 1])).encode(),
            payload.replace(b",", b",\r", 1),
            payload[: chance.randrange(len(payload))],
            chance.choice([b"{}", b"[DONE]", b"busy", b'{"error":"out of memory"}', b"[" * 2_000]),
            json.dumps({name: value, **event}).encode(),
            payload[:-1] + b"," + json.dumps({twice: value}).encode()[1:],
            payload.replace(b"e", b"\\u0065"),
        ]
    )
