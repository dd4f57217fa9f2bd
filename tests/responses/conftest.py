"""Events as bytes, and what a stream of them amounts to."""

from __future__ import annotations

import json

import pytest

from onplan.responses.answer_stream import AnswerStream
from onplan.responses.stream import ResponseStream


class Heard:
    """What a program hears of a stream: chunks, then either a ``Done`` or a failure."""

    def __init__(self, chunks, stream):
        self.chunks, self.failure, self.parts = chunks, stream.failure, stream.parts

    def of(self, kind):
        return [chunk for chunk in self.chunks if chunk.type == kind]

    @property
    def text(self):
        return "".join(chunk.text for chunk in self.of("text"))

    @property
    def thinking(self):
        return "".join(chunk.text for chunk in self.of("thinking"))

    @property
    def done(self):
        (done,) = self.of("done")
        assert done is self.chunks[-1]
        return done

    def arguments(self, call_id):
        return "".join(chunk.arguments_delta for chunk in self.of("tool_call_delta") if chunk.id == call_id)


@pytest.fixture
def listen():
    """Feed events, one in each read, and give back what was heard.

    That is the same as in any two reads, and as what ``AnswerStream`` makes of them.
    """

    def listen(*events, model="gpt-5.5", **options):
        payloads = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
        stream = ResponseStream(model, **options)
        chunks = [chunk for payload in payloads for chunk in stream.feed([payload])]
        for kind in (ResponseStream, AnswerStream):
            for cut in range(len(payloads)):
                other = kind(model, **options)
                assert chunks == other.feed(payloads[:cut]) + other.feed(payloads[cut:])
                assert repr(stream.failure) == repr(other.failure)
                assert (stream.response, stream.parts) == (other.response, other.parts)
        return Heard(chunks, stream)

    return listen
