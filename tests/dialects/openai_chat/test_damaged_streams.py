"""Damaged streams of the backend, told as chat completions: an error, or an answer that clients can read."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.errors import OnplanError
from onplan.responses.stream import ResponseStream

from ..damage import damage
from ..openai_responses.streams import encoded, whole_stream

SEEDS = range(600)


def test_damage_is_an_error_or_nothing_that_clients_see() -> None:
    """Never an unknown exception, a call without its beginning, two reasons, or an end after an error."""
    assert {_is_whole(random.Random(seed)) for seed in SEEDS} == {True, False}


def _is_whole(chance: random.Random) -> bool:
    """Whether a damaged stream has an answer; AssertionError if a client cannot read what it gets."""
    events = copy.deepcopy(whole_stream())
    for _ in range(chance.choice([1, 1, 2, 3, 5])):
        damage(events, chance)
    stream, encoder, data = ResponseStream("m"), ChunkEncoder("c", "m", 7), b""
    for payload in encoded(events):
        data += encoder.encode(stream.feed([payload]))
    try:
        stream.close()
    except OnplanError as error:
        stream.failure = stream.failure or error
    heard = Heard(data)
    if stream.failure:
        assert heard.reasons == []
        assert not heard.has_ended
        return False
    assert stream.response
    message = response_body(stream.response, "c", "m", 7)["choices"][0]["message"]
    assert heard.has_ended
    assert len(heard.reasons) == 1
    assert heard.text("content") == (message["content"] or "")
    assert heard.text("reasoning_content") == message.get("reasoning_content", "")
    told = sorted(call["function"]["arguments"] for call in message.get("tool_calls", ()))
    assert sorted(heard.arguments) == told
    return True


class Heard:
    """What a client puts together from a stream."""

    def __init__(self, data: bytes) -> None:
        events = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event]
        self.has_ended = events[-1:] == [b"[DONE]"]
        choices = [json.loads(event)["choices"][0] for event in events if event != b"[DONE]"]
        self.reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
        self.deltas: list[dict[str, Any]] = [choice["delta"] for choice in choices]
        self.arguments: list[str] = []
        for delta in self.deltas:
            for piece in delta.get("tool_calls", ()):
                if piece["index"] == len(self.arguments):
                    assert (piece["type"], type(piece["id"])) == ("function", str)
                    self.arguments.append("")
                self.arguments[piece["index"]] += piece["function"]["arguments"]

    def text(self, field: str) -> str:
        """The pieces of a text."""
        return "".join(delta.get(field) or "" for delta in self.deltas)
