"""Answers that come as usual are not assembled: clients of Chat Completions get what they get otherwise."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.answers.sse import EventDecoder
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.errors import OnplanError, StreamTruncatedError
from onplan.parameters import Reports
from onplan.responses.answer_stream import AnswerStream
from onplan.responses.stream import ResponseStream
from onplan.types import Text

from ...cases import case
from ..damage import damage
from ..openai_responses.streams import (
    CALLS,
    RESPONSE,
    USAGE,
    Event,
    added,
    done,
    message,
    numbered,
    text_part,
)
from ..openai_responses.usual_streams import (
    OWN,
    as_sent,
    call_item,
    disturbed,
    message_item,
    reasoning_item,
    usual_stream,
)

LIMITS = {"x-codex-primary-used-percent": "12.5", "x-codex-primary-window-minutes": "300"}
KEPT = [Text("said before")]
RECORDINGS = Path(__file__).parents[2] / "recordings"


class Client:
    """What a client gets of an answer, which is read in one of the two ways."""

    def __init__(self, kind: type[ResponseStream], earlier: Sequence[str] = (), **options: Any) -> None:
        self.stream = kind("gpt-5.5", Reports(ignored=("seed",)), "req_1", KEPT, ("a repair",))
        self.stream.earlier, self.stream.limit_headers, self.stream.began_at = earlier, LIMITS, 7.0
        self.encoder = ChunkEncoder("chatcmpl-1", "gpt", 7, **options)
        self.told: list[bytes] = []

    def read(self, payloads: Sequence[bytes]) -> None:
        """What came in one read."""
        self.told.append(self.encoder.encode(self.stream.feed(payloads)))

    def known(self) -> tuple[Any, ...]:
        """All that is known of the answer."""
        stream = self.stream
        failure = stream.failure and (type(stream.failure), stream.failure.message, stream.failure.request_id)
        known = (stream.finished, failure, stream.response, stream.parts, stream.ids, stream.limits)
        more = (stream.complaint, stream.turn_state, stream.failure_codes, stream.is_mixed)
        return (*known, *more, stream.compactions, ended(stream))

    @property
    def is_usual(self) -> bool:
        """Whether the answer was not assembled."""
        return isinstance(self.stream, AnswerStream) and not self.stream._is_careful


def ended(stream: ResponseStream) -> tuple[type[OnplanError], str] | None:
    """The failure of an answer of which nothing more comes."""
    try:
        stream.close()
    except OnplanError as error:
        return type(error), error.message
    return None


def heard(payloads: Sequence[bytes], chance: random.Random, earlier: Sequence[str] = ()) -> Client:
    """A client of the usual way, which got and knows what one of the careful way does, at any time."""
    usage = chance.random() < 0.5
    usual = Client(AnswerStream, earlier, include_usage=usage)
    careful = Client(ResponseStream, earlier, include_usage=usage)
    at = 0
    while at < len(payloads):
        count = chance.choice([1, 1, 2, 5, 50])
        for each in (usual, careful):
            each.read(payloads[at : at + count])
        at += count
        assert usual.told == careful.told
        assert usual.known() == careful.known()
    return usual


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_the_client_gets_the_same_bytes(first: int) -> None:
    """However the stream is split: as if each event had been assembled. None is."""
    for seed in range(first, first + 10):
        with case("seed", seed):
            chance = random.Random(seed)
            usual = heard(as_sent(usual_stream(chance)), chance)
            assert usual.is_usual
            assert usual.stream.response
            assert usual.told[-1].endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("first", range(0, 500, 25))
def test_a_damaged_stream_is_as_if_it_had_been_assembled_from_its_start(first: int) -> None:
    """Events lost, doubled, moved, changed, with odd bytes: the same bytes, and the same end."""
    for seed in range(first, first + 25):
        with case("seed", seed):
            hear_damaged(random.Random(seed))


def hear_damaged(chance: random.Random) -> None:
    events = copy.deepcopy(usual_stream(chance))
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        damage(events, chance)
    payloads = as_sent(events)
    for at in chance.sample(range(len(payloads)), min(len(payloads), chance.choice([0, 0, 1, 2]))):
        payloads[at] = disturbed(payloads[at], chance)
    earlier: Sequence[str] = chance.choice([(), (), ("resp_1",), ("msg_0", "call_1")])
    heard(payloads, chance, earlier)


@pytest.mark.parametrize("seed", range(20))
def test_one_odd_event_anywhere_changes_nothing(seed: int) -> None:
    """One of a new kind, which is skipped: what follows goes on from what came before."""
    chance = random.Random(seed)
    payloads = as_sent(usual_stream(chance))
    plain = heard(payloads, chance)
    for at in range(len(payloads)):
        odd = heard([*payloads[:at], b'{"type":"response.new"}', *payloads[at:]], random.Random(seed))
        assert not odd.is_usual
        assert odd.stream.response == plain.stream.response


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=8), max_size=6),
        min_size=1,
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_any_text_is_told_as_it_is(messages: list[list[str]], chance: random.Random) -> None:
    """Quotes, control characters, separators, any script, empty pieces."""
    events: list[Event] = [{"type": "response.created", "response": {**RESPONSE, "output": []}}]
    items = []
    for index, texts in enumerate(messages):
        name, text = f"msg_{index}", "".join(texts)
        at = {"item_id": name, "output_index": index, "content_index": 0}
        item = {**message("x", name), "content": [text_part(text)] if text else []}
        items.append(item)
        events += [
            added(index, message("", name)),
            *({"type": "response.output_text.delta", **at, "delta": piece} for piece in texts),
            {"type": "response.output_text.done", **at, "text": text},
            done(index, item),
        ]
    ended = {**RESPONSE, "status": "completed", "output": items, "usage": USAGE}
    events.append({"type": "response.completed", "response": ended})
    usual = heard(as_sent(numbered(events)), chance)
    said = "".join(map("".join, messages))
    assert usual.is_usual == bool(said)
    told = [
        json.loads(line[6:]) for line in b"".join(usual.told).split(b"\n\n") if line.startswith(b"data: {")
    ]
    deltas = [choice["delta"].get("content", "") for chunk in told for choice in chunk["choices"]]
    assert "".join(deltas) == said


def recorded() -> list[bytes]:
    """The bodies of event streams in the recordings, as far as they are whole."""
    return [
        body.encode()
        for path in sorted(RECORDINGS.glob("*.json"))
        for each in json.loads(path.read_text())
        if isinstance(body := (each.get("reply") or {}).get("body"), str)
        and body.startswith("event: ")
        and "chars in all" not in body
    ]


def test_recorded_answers_are_told_the_same_in_both_ways() -> None:
    """Those of the official client's turns, with and without a call."""
    bodies = recorded()
    assert len(bodies) > 2
    for body in bodies:
        for seed in range(5):
            assert heard(list(EventDecoder().feed(body)), random.Random(seed)).stream.finished


def test_a_stream_that_ends_too_early_is_no_answer() -> None:
    """Wherever it breaks off; the parts that were finished are known."""
    payloads = as_sent(usual_stream(random.Random(7)))
    for length in range(len(payloads)):
        usual = heard(payloads[:length], random.Random(length))
        assert usual.is_usual
        assert not usual.stream.finished
        with pytest.raises(StreamTruncatedError):
            usual.stream.close()


def test_events_about_the_plan_do_not_change_how_an_answer_is_read() -> None:
    """They come over a WebSocket, before the answer and in it."""
    payloads = as_sent(usual_stream(random.Random(3)))
    state = {"type": "response.metadata", "headers": {"x-codex-turn-state": "state"}}
    usual = heard(as_sent([OWN, state]) + payloads[:5] + as_sent([OWN]) + payloads[5:], random.Random(1))
    assert usual.is_usual
    assert usual.stream.turn_state == "state"


def _first(events: list[Event], kind: str) -> Event:
    return next(event for event in events if event["type"] == f"response.{kind}")


def _first_item(events: list[Event]) -> Event:
    item: Event = _first(events, "output_item.added")["item"]
    return item


def _changed(kind: str, **fields: Any) -> Callable[[list[Event]], None]:
    return lambda events: _first(events, kind).update(fields)


def _item(**fields: Any) -> Callable[[list[Event]], None]:
    """With other fields in the item of the last event about one: a message."""

    def change(events: list[Event]) -> None:
        item = [event for event in events if event["type"] == "response.output_item.done"][-1]["item"]
        item.update(fields)
        events[-1]["response"]["output"] = []

    return change


def _response(**fields: Any) -> Callable[[list[Event]], None]:
    return lambda events: events[-1]["response"].update(fields)


def _without(kind: str) -> Callable[[list[Event]], None]:
    return lambda events: events.remove(_first(events, kind))


_OF_CALL: Event = {"type": "response.output_text.delta", "item_id": "fc_0", "output_index": 0}


def _place(events: list[Event], kind: str) -> int:
    return events.index(_first(events, kind))


ODD: dict[str, Callable[[list[Event]], None]] = {
    "no announcement": _without("created"),
    "an item without its end": _without("output_item.done"),
    "an item without its beginning": _without("output_item.added"),
    "a text without its end": _without("output_text.done"),
    "a delta is lost": _without("output_text.delta"),
    "another text in the end": _changed("output_text.done", text="other"),
    "arguments that are an object": _changed("function_call_arguments.delta", delta={"city": "Oslo"}),
    "a delta of another item": _changed("output_text.delta", item_id="msg_7"),
    "a delta of another part": _changed("output_text.delta", content_index=1),
    "an index that was there": _changed("output_item.done", output_index=1),
    "an item that failed": _item(status="failed"),
    "an item with an error": _item(error={"code": "x"}),
    "an item with another text": _item(content=[text_part("other")]),
    "an item with a refusal": _item(content=[{"type": "refusal", "refusal": "no"}]),
    "an item with another id": _item(id="msg_8"),
    "an item of another type": _item(type="image_generation_call"),
    "a response that failed": _response(error={"code": "server_error", "message": "x"}),
    "a response that was cut": _response(incomplete_details={"reason": "max_output_tokens"}),
    "a response that is called cut": _response(status="incomplete"),
    "an end of another response": _response(id="resp_2"),
    "an end with another item": _response(output=[message("more", "msg_9")]),
    "no status": _response(status=None),
    "a failure": lambda events: events.insert(6, {"type": "error", "code": "x", "message": "no"}),
    "an index that is left out": _changed("output_item.added", output_index=1),
    "a text of a call": lambda events: events.insert(2, {**_OF_CALL, "delta": "x"}),
    "an end of a text of a call": lambda events: events.insert(
        _place(events, "function_call_arguments.done"),
        {**_OF_CALL, "type": "response.output_text.done", "text": CALLS[0][2]},
    ),
    "an id twice": lambda events: events.insert(-1, added(3, message("", "msg_2"))),
    "a call twice": lambda events: events.insert(-1, added(3, {**_first_item(events), "id": "fc_3"})),
    "an end twice": lambda events: events.insert(6, copy.deepcopy(events[-2])),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_not_as_usual_is_read_carefully(odd: str) -> None:
    """One thing that is odd in a stream that is otherwise as usual."""
    chance = random.Random(5)
    begun = usual_stream(chance)[0]
    events = [begun, *call_item(0, chance), *reasoning_item(1, chance), *message_item(2, chance)]
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    events += [
        {"type": "response.completed", "response": {**RESPONSE, "status": "completed", "output": items}}
    ]
    events = copy.deepcopy(numbered(events))
    assert heard(as_sent(events), chance).is_usual
    ODD[odd](events)
    for seed in range(5):
        assert not heard(as_sent(events), random.Random(seed)).is_usual


def test_an_answer_of_nothing_is_read_carefully() -> None:
    """It may have been produced and not sent."""
    for tokens in (0, 9):
        end = {**RESPONSE, "status": "completed", "usage": {**USAGE, "output_tokens": tokens}}
        events = [
            {"type": "response.created", "response": RESPONSE},
            added(0, message("")),
            done(0, message("")),
            {"type": "response.completed", "response": end},
        ]
        usual = heard(as_sent(numbered(events)), random.Random(1))
        assert not usual.is_usual
        assert bool(usual.stream.failure) == bool(tokens)


def test_so_many_items_are_read_carefully() -> None:
    """What is found of them does not have to be bounded twice."""
    events: list[Event] = [{"type": "response.created", "response": RESPONSE}]
    for index in range(1_001):
        events += [added(index, message("", f"msg_{index}")), done(index, message("", f"msg_{index}"))]
    usual, careful = Client(AnswerStream), Client(ResponseStream)
    for each in (usual, careful):
        each.read(as_sent(events))
    assert not usual.is_usual
    assert usual.known() == careful.known()
