"""The upstream of the relays: ``python -m bench.playback FILE`` plays an answer of the emulator back.

The emulator itself costs more per event than the fastest relays do: it would be what is measured. This
process is told once what the emulator answered and then only writes bytes. What it plays, the prompt says:

* ``play at once``: the whole answer in one write, each event in a chunk of its own;
* ``play every 20 ms``: the beginning and the first delta at once, then a delta in each interval until
  ``POST /release``; the ending then has the text of all of them.

Prints the port that it listens on.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import uvloop

Event = dict[str, Any]
RELEASE, PREFIX = b"/release", b"/backend-api/codex"
MARK = " word"  # in every delta, once
_PLAY = re.compile(rb"play (?:at once|every (\d+) ms)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_TEXT_DELTA = "response.output_text.delta"


def delta_text(number: int) -> str:
    """No two after each other are the same: LiteLLM ends a stream that repeats itself a hundred times."""
    return f"{MARK}{number % 10}"


def chunk(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def framed(event: Event) -> bytes:
    """As it stands in the body."""
    data = json.dumps(event, separators=(",", ":")).encode()
    return chunk(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data))


def whole(status: bytes, body: bytes) -> bytes:
    """A response that is not a stream."""
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


class Recording:
    """An answer, and the answers that begin like it and are longer.

    Attributes:
        token: the access token that a request must carry.
        catalogue: the body of ``/models``.
        beginning: the response's head and all events before the first delta.
        at_once: the whole response.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        events: list[Event] = content["events"]
        deltas = [event for event in events if event["type"] == _TEXT_DELTA]
        first = events.index(deltas[0])
        fields = "".join(f"{name}: {value}\r\n" for name, value in content["headers"].items())
        head = f"HTTP/1.1 200 OK\r\n{fields}transfer-encoding: chunked\r\n\r\n".encode()
        self.token, self.catalogue = content["token"].encode(), content["catalogue"].encode()
        self._first, self._delta = first, deltas[0]
        self._ending = json.dumps(events[first + len(deltas) :])
        self._text = json.dumps("".join(delta["delta"] for delta in deltas))
        self.beginning = head + b"".join(map(framed, events[:first]))
        middle = b"".join(map(self.delta, range(len(deltas))))
        self.at_once = self.beginning + middle + self.ending(len(deltas))

    @lru_cache(maxsize=4096)  # noqa: B019 - there is one, as long as the process
    def delta(self, number: int) -> bytes:
        """The delta with that number, from 0."""
        event = {**self._delta, "sequence_number": self._first + number, "delta": delta_text(number)}
        return framed(event)

    @lru_cache(maxsize=4096)  # noqa: B019
    def ending(self, deltas: int) -> bytes:
        """All after that many deltas."""
        text = json.dumps("".join(map(delta_text, range(deltas))))
        events = json.loads(self._ending.replace(self._text, text))
        for number, event in enumerate(events, self._first + deltas):
            event["sequence_number"] = number
        return b"".join(map(framed, events)) + chunk(b"")


class Player(asyncio.Protocol):
    """One connection: as much of HTTP/1.1 as relays use. ``playing`` are those that can be released."""

    def __init__(self, recording: Recording, playing: set[Player]) -> None:
        self._recording, self._playing = recording, playing
        self._loop = asyncio.get_running_loop()
        self._pending, self._deltas = b"", 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def connection_lost(self, error: Exception | None) -> None:
        self._stop()

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end]
            body = self._body(head, end + 4)
            if body is None:
                return
            self._transport.write(self._answer(head, body))

    def _body(self, head: bytes, start: int) -> bytes | None:
        """Take a request that is all there out of what is pending. Gives its body, framing and all."""
        if _CHUNKED.search(head):
            end = self._pending.find(b"0\r\n\r\n", start) + 5
            if end < start:
                return None
        else:
            length = _LENGTH.search(head)
            end = start + (int(length[1]) if length else 0)
            if len(self._pending) < end:
                return None
        body, self._pending = self._pending[start:end], self._pending[end:]
        return body

    def _answer(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        if target == RELEASE:
            playing = list(self._playing)
            for player in playing:
                player.release()
            return whole(b"200 OK", b'{"released":%d}' % len(playing))
        if self._recording.token not in head:
            return whole(b"401 Unauthorized", b'{"detail":"Unauthorized"}')
        if method == b"POST" and target.startswith(PREFIX + b"/responses"):
            return self._turn(body)
        if method == b"GET" and target.startswith(PREFIX + b"/models"):
            return whole(b"200 OK", self._recording.catalogue)
        status = b"426 Upgrade Required" if b"upgrade: websocket" in head.lower() else b"404 Not Found"
        return whole(status, b'{"detail":"not here"}')

    def _turn(self, body: bytes) -> bytes:
        play = _PLAY.search(body)
        if play is None:
            return whole(b"400 Bad Request", b'{"detail":"the prompt says nothing that is played here"}')
        return self._play_slowly(int(play[1]) / 1000) if play[1] else self._recording.at_once

    def _play_slowly(self, interval: float) -> bytes:
        self._interval, self._next, self._deltas = interval, self._loop.time() + interval, 1
        self._timer = self._loop.call_at(self._next, self._play)
        self._playing.add(self)
        return self._recording.beginning + self._recording.delta(0)

    def _play(self) -> None:
        self._transport.write(self._recording.delta(self._deltas))
        self._deltas += 1
        self._next += self._interval
        self._timer = self._loop.call_at(self._next, self._play)

    def _stop(self) -> None:
        self._playing.discard(self)
        if self._timer:
            self._timer.cancel()

    def release(self) -> None:
        """End the stream as a model would."""
        self._stop()
        self._transport.write(self._recording.ending(self._deltas))


async def serve(recording: Recording) -> None:
    """Listen until terminated."""
    loop, playing = asyncio.get_running_loop(), set[Player]()
    server = await loop.create_server(lambda: Player(recording, playing), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Recording(json.loads(Path(sys.argv[1]).read_text()))))
