"""Chunks as a server sends them, and what a stream of them amounts to."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from onplan.answers.sse import EventDecoder
from onplan.chat.stream import ChatStream


class Heard:
    """What a program hears of a stream: chunks, then either a ``Done`` or a failure."""

    def __init__(self, chunks, stream):
        self.chunks, self.failure, self.parts = chunks, stream.failure, stream.parts

    def of(self, kind):
        return [chunk for chunk in self.chunks if chunk.type == kind]

    def joined(self, kind):
        return "".join(chunk.text for chunk in self.of(kind))

    @property
    def done(self):
        assert self.failure is None, self.failure
        (done,) = self.of("done")
        assert done is self.chunks[-1]
        return done

    @property
    def calls(self):
        return [(call.name, call.arguments) for call in self.done.response.tool_calls]


def heard(data, cuts=(), **options):
    """Bytes from the wire, cut at some places, as the turn would read them."""
    decoder, stream = EventDecoder(), ChatStream("asked-for", **options)
    edges = [0, *sorted(cuts), len(data)]
    chunks = []
    for start, end in pairwise(edges):
        if not stream.finished:
            chunks += stream.feed(decoder.feed(data[start:end]))
    if not stream.finished:
        chunks += stream.feed(decoder.close())
    if not stream.finished:
        chunks += stream.close()
    return Heard(chunks, stream)


def on_the_wire(*events):
    frames = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return b"".join(b"data: %b\n\n" % frame for frame in frames)


@pytest.fixture(scope="session")  # so that hypothesis may use it
def listen():
    """Feed events in the usual framing, and give back what was heard."""

    def listen(*events, **options):
        return heard(on_the_wire(*events), **options)

    listen.bytes = heard
    listen.wire = on_the_wire
    return listen
