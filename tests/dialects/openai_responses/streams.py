"""Streams as backends send them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from onplan.answers.sse import EventDecoder
from onplan.dialects.openai_responses.relay import RelayStream
from onplan.dialects.openai_responses.relay_options import RelayOptions
from onplan.errors import OnplanError
from onplan.parameters import NOTHING_REPORTED

Event = dict[str, Any]
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1_790_000_000, "model": "gpt-5.5"}
USAGE = {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}
TEXT, THOUGHT = "Hello, world", "Let me see"
CALLS = [("call_1", "weather", '{"city":"Oslo"}'), ("call_2", "weather", '{"city":"Rome"}')]


def numbered(events: Iterable[Event]) -> list[Event]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def text_part(text: str) -> Event:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message(text: str, item_id: str = "msg_1") -> Event:
    content = [text_part(text)] if text else []
    status = "completed" if text else "in_progress"
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def call(number: int, *, is_done: bool) -> Event:
    call_id, name, arguments = CALLS[number]
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "status": "completed" if is_done else "in_progress",
        "call_id": call_id,
        "name": name,
        "arguments": arguments if is_done else "",
    }


def at_call(number: int) -> Event:
    return {"item_id": f"fc_{number}", "output_index": 2 + number}


def reasoning(text: str) -> Event:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "sealed"}


def added(index: int, item: Event) -> Event:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: Event) -> Event:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _spoken(name: str, at: Event, pieces: list[str], **last: Any) -> list[Event]:
    more = {"logprobs": []} if name == "output_text" else {}
    deltas = [{"type": f"response.{name}.delta", **at, "delta": piece, **more} for piece in pieces]
    return [*deltas, {"type": f"response.{name}.done", **at, **last, **more}]


def whole_stream() -> list[Event]:
    """Thinking, a text, and two calls at once, as the backend sends them."""
    at_thought: Event = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    at_text: Event = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    thought: Event = {"type": "summary_text", "text": THOUGHT}
    output = [reasoning(THOUGHT), message(TEXT), call(0, is_done=True), call(1, is_done=True)]
    begun = {**RESPONSE, "status": "in_progress", "output": []}
    ended = {**RESPONSE, "status": "completed", "output": output, "usage": USAGE}
    part, arguments = "response.content_part", "function_call_arguments"
    summary_part = "response.reasoning_summary_part"
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        added(0, reasoning("")),
        {"type": f"{summary_part}.added", **at_thought, "part": {**thought, "text": ""}},
        *_spoken("reasoning_summary_text", at_thought, ["Let me ", "see"], text=THOUGHT),
        {"type": f"{summary_part}.done", **at_thought, "part": thought},
        done(0, output[0]),
        added(1, message("")),
        {"type": f"{part}.added", **at_text, "part": text_part("")},
        *_spoken("output_text", at_text, ["Hel", "lo, ", "wor", "ld"], text=TEXT),
        {"type": f"{part}.done", **at_text, "part": text_part(TEXT)},
        done(1, output[1]),
        added(2, call(0, is_done=False)),
        added(3, call(1, is_done=False)),
        *_spoken(arguments, at_call(0), ['{"city":', '"Oslo"}'], arguments=CALLS[0][2]),
        *_spoken(arguments, at_call(1), ['{"city":', '"Rome"}'], arguments=CALLS[1][2]),
        done(2, output[2]),
        done(3, output[3]),
        {"type": "response.completed", "response": ended},
    ]
    return numbered(events)


def encoded(events: Iterable[Event]) -> list[bytes]:
    return [json.dumps(event, separators=(",", ":")).encode() for event in events]


def relay(**options: Any) -> RelayStream:
    return RelayStream("gpt-5.5", NOTHING_REPORTED, None, RelayOptions(**options))


def told(payloads: Iterable[bytes], stream: RelayStream | None = None) -> list[Event]:
    """The events that a client gets for ``payloads``, which are a whole answer."""
    return [json.loads(piece) for piece in told_bytes(payloads, stream or relay(framed=False))]


def told_bytes(payloads: Iterable[bytes], stream: RelayStream) -> list[bytes]:
    pieces: list[bytes] = []
    for payload in payloads:
        pieces += stream.feed([payload])
    if stream.failure:
        raise stream.failure
    pieces += stream.close()
    return pieces


def failed(payloads: Iterable[bytes], stream: RelayStream) -> tuple[OnplanError, list[bytes]]:
    """The error with which a stream ends, and what the client got until then."""
    pieces: list[bytes] = []
    for payload in payloads:
        pieces += stream.feed([payload])
    if stream.failure:
        return stream.failure, pieces
    try:
        stream.close()
    except OnplanError as error:
        return error, pieces
    raise AssertionError("the stream ended well")


def frames(events: Iterable[Event]) -> bytes:
    return b"".join(b"event: x\r\ndata: " + payload + b"\n\n" for payload in encoded(events))


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def decoded(pieces: Iterable[bytes]) -> Iterable[list[bytes]]:
    """What arrives of server-sent events that are read in these pieces."""
    decoder = EventDecoder()
    for piece in pieces:
        yield list(decoder.feed(piece))
    yield list(decoder.close())
