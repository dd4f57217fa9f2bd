"""Backends that send anything but an answer: the client gets an error of its dialect."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import onplan
from onplan.service import Service
from onplan.stores import Record
from onplan.stores.memory import MemoryStore

from ..amount_of_work import lines_run
from ..dialects.openai_responses.reading import read
from ..dialects.openai_responses.streams import (
    added,
    call,
    done,
    encoded,
    message,
    relay,
    told_bytes,
    whole_stream,
)
from .conftest import Answer, Asking

ONCE = onplan.RetryPolicy(attempts=1)
CREATED = whole_stream()[0]
END = {"type": "response.completed", "response": {**whole_stream()[-1]["response"], "output": []}}
DELTA = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "x", "logprobs": []}


def frames(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in encoded(events))


def answered(pieces: Callable[[], Iterable[bytes]], **body: Any) -> Answer:
    """The answer to a request for which the backend sends these pieces, for as long as it is read."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        try:
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
            writer.close()
        except OSError:  # it has heard enough
            pass

    async def main() -> Answer:
        server = await asyncio.start_server(backend, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="token")))
        options: dict[str, Any] = {"base_url": f"http://127.0.0.1:{port}", "retry": ONCE, "transport": "sse"}
        async with server, onplan.AsyncClient(store=store, **options) as client:
            return await Asking(Service(client)).create(input="hi", **body)

    return asyncio.run(asyncio.wait_for(main(), 60))


TEXT = {"type": "response.output_text.delta", **DELTA}
NOISE: dict[str, Callable[[], Iterable[bytes]]] = {
    "garbage": lambda: [bytes(range(256)) * 100],
    "nothing": lambda: [b""],
    "no JSON in events": lambda: [b"data: {nonsense\n\n" * 10],
    "a list in an event": lambda: [frames(CREATED), b"data: [1,2,3]\n\n"],
    "nested without end": lambda: [frames(CREATED), b"data: " + b"[" * 200_000 + b"\n\n"],
    "objects without end": lambda: [frames(CREATED), b'data: {"a":' + b'{"a":' * 100_000 + b"\n\n"],
    "an event without an end": lambda: [frames(CREATED), b"data: ", *[b"x" * 1_000_000] * 300],
    "endless created events": lambda: [frames(CREATED) * 1_000] * 50,
    "too many parts": lambda: [frames(CREATED, added(0, message(""))), *parts(12_000)],
    "an answer that is a list": lambda: [b"[]"],
    "a page": lambda: [b"<html><body>Welcome</body></html>"],
    "a text in place of an item": lambda: [frames(CREATED, {**done(0, message("hi")), "item": "hi"})],
    "a text in place of the response": lambda: [
        frames({"type": "response.created", "response": "hi"}, {**END, "response": "hi"})
    ],
    "a delta that is a number": lambda: [frames(CREATED, {**TEXT, "delta": 5})],
    "an end before its beginning": lambda: [frames({"type": "response.output_item.done", "item": None})],
    "a call that changes its name": lambda: [
        frames(CREATED, added(0, call(0, is_done=False)), done(0, {**call(0, is_done=True), "name": "other"}))
    ],
    "a text that is taken back": lambda: [frames(CREATED, TEXT, done(0, message("bye")), END)],
}


def parts(count: int) -> Iterable[bytes]:
    event = {
        "type": "response.content_part.added",
        "item_id": "msg_1",
        "output_index": 0,
        "part": message("x")["content"][0] | {"text": ""},
    }
    for first in range(0, count, 1_000):
        yield frames(*({**event, "content_index": number} for number in range(first, first + 1_000)))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pieces", NOISE.values(), ids=list(NOISE))
def test_noise_is_an_error(pieces: Callable[[], Iterable[bytes]], stream: bool) -> None:
    """A status before anything was sent, the two events after it; and no clean end."""
    answer = answered(pieces, stream=stream)
    if answer.status == 200:
        assert read(answer.events).response["error"]["code"] == "upstream_error"
    else:
        assert (answer.status, answer.error["code"]) == (502, "upstream_error")


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_large_is_handed_on_with_little_more_than_its_size(stream: bool) -> None:
    """One delta of 5 MB; without streaming it is in the answer."""
    text = "x" * 5_000_000
    events = [CREATED, {"type": "response.output_text.delta", **DELTA, "delta": text}, END]
    tracemalloc.start()
    answer = answered(lambda: [frames(*events)], stream=stream, store=False)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if stream:
        assert read(answer.events).text == text
    else:
        assert answer.json["output"][0]["content"][0]["text"] == text
    assert most < 20 * len(text)


def test_many_items_take_work_in_proportion() -> None:
    """Ten times as many items, ten times as many steps."""

    def steps(count: int) -> int:
        events = [CREATED, *(done(number, message("hi", f"m{number}")) for number in range(count)), END]
        return lines_run(lambda: told_bytes(encoded(events), relay()))

    assert steps(1_000) < 12 * steps(100)
