"""Streams that come as usual are handed on without being assembled: clients get what they get otherwise."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_responses.careful_relay import CarefulRelay
from onplan.dialects.openai_responses.relay import RelayStream
from onplan.dialects.openai_responses.relay_options import RelayOptions
from onplan.errors import StreamCorruptError, StreamTruncatedError
from onplan.parameters import NOTHING_REPORTED, CutAt

from ..damage import damage
from .streams import RESPONSE, USAGE, Event, call, encoded, failed, numbered, text_part, whole_stream
from .usual_streams import OWN, as_sent, call_item, disturbed, message_item, usual_stream

# --- both ways of handing on ------------------------------------------------------------------------


def carefully(**options: Any) -> CarefulRelay:
    return CarefulRelay("gpt-5.5", NOTHING_REPORTED, None, RelayOptions(**options))


def relayed(**options: Any) -> RelayStream:
    return RelayStream("gpt-5.5", NOTHING_REPORTED, None, RelayOptions(**options))


def is_usual(stream: RelayStream) -> bool:
    """Whether the stream has been handed on without being assembled."""
    return stream._usual is not None


def fed(stream: CarefulRelay, payloads: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """What a client gets of payloads that arrive some at a time."""
    told: list[bytes] = []
    at = 0
    while at < len(payloads):
        count = chance.choice([1, 1, 2, 5, 50])
        told += stream.feed(payloads[at : at + count])
        at += count
    return told


def outcome(stream: CarefulRelay) -> tuple[Any, ...]:
    """All that is known of an answer after its end."""
    failure = stream.failure and (type(stream.failure), stream.failure.message)
    final = stream.final and json.loads(bytes(stream.final))
    known = (stream.finished, failure, final, stream.response, stream.parts, stream.ids, stream.limits)
    return (*known, stream.turn_state, stream.failure_codes)


@pytest.mark.parametrize("seed", range(60))
def test_the_client_gets_the_same_bytes(seed: int) -> None:
    """However the stream is split, and whether events are framed: as if each event had been assembled."""
    chance = random.Random(seed)
    payloads = as_sent(usual_stream(chance))
    options = {"framed": chance.random() < 0.5, "is_codex": chance.random() < 0.5}
    usual, careful = relayed(**options), carefully(**options)
    assert fed(usual, payloads, chance) == fed(careful, payloads, chance)
    assert is_usual(usual)
    assert usual.finished
    assert usual.usage == (careful.response and careful.response.usage)
    assert outcome(usual) == outcome(careful)
    assert is_usual(usual)


@pytest.mark.parametrize("seed", range(400))
def test_a_damaged_stream_is_as_if_it_had_been_assembled_from_its_start(seed: int) -> None:
    """Events lost, doubled, moved, changed, with odd bytes: the same events, and the same end."""
    chance = random.Random(seed)
    events = copy.deepcopy(usual_stream(chance))
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        damage(events, chance)
    payloads = encoded(events)
    for at in chance.sample(range(len(payloads)), min(len(payloads), chance.choice([0, 0, 1, 2]))):
        payloads[at] = disturbed(payloads[at], chance)
    usual, careful = relayed(framed=False), carefully(framed=False)
    usual.earlier = careful.earlier = chance.choice(
        [(), (), {"resp_1": None}, {"msg_0": None, "call_1": None}]
    )
    told = [list(map(json.loads, fed(stream, payloads, chance))) for stream in (usual, careful)]
    assert told[0] == told[1]
    assert outcome(usual) == outcome(careful)


def _first(events: list[Event], kind: str) -> Event:
    return next(event for event in events if event["type"] == f"response.{kind}")


def _changed(kind: str, **fields: Any) -> Callable[[list[Event]], None]:
    return lambda events: _first(events, kind).update(fields)


def _lacking(kind: str, name: str) -> Callable[[list[Event]], None]:
    def change(events: list[Event]) -> None:
        del _first(events, kind)[name]

    return change


def _with_other_arguments_at_the_end(events: list[Event]) -> None:
    events[-1]["response"]["output"] = [{**call(0, is_done=True), "arguments": "{}"}, *_ended(events)[1:]]


def _ended(events: list[Event]) -> list[Event]:
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def _without_text(events: list[Event]) -> None:
    """Nothing but the announcement and the end, which says that there was an answer."""
    del events[2:-1]
    events[-1]["response"]["output"] = []


def _with_messages_at_once(events: list[Event]) -> None:
    """The second one begins before the first one has ended, and says more first."""
    more = message_item(2, random.Random(5))
    events[-1:-1] = [more[0]]
    last = next(at for at, event in enumerate(events) if event.get("output_index") == 1)
    events.insert(last + 1, events.pop(-2))
    events[-1:-1] = more[1:]
    events[-1]["response"]["output"] = []


ODD: dict[str, Callable[[list[Event]], None]] = {
    "arguments of another type": _changed("output_text.delta", arguments={}),
    "a delta without logprobs": _lacking("output_text.delta", "logprobs"),
    "an end of a text without logprobs": _lacking("output_text.done", "logprobs"),
    "an end of a text with arguments": _changed("output_text.done", arguments=[1]),
    "a part with arguments": _changed("content_part.done", arguments=[1]),
    "another text in the end": _changed("output_text.done", text="other"),
    "a part of another kind": _changed("content_part.added", part={"type": "refusal", "refusal": ""}),
    "a part that has its text": _changed("content_part.added", part=text_part("Hel")),
    "other arguments at the end": _with_other_arguments_at_the_end,
    "an answer that was not sent": _without_text,
    "two messages at once": _with_messages_at_once,
    "a response that failed": lambda events: events[-1]["response"].update(error={"code": "x"}),
    "a response that was cut": lambda events: events[-1]["response"].update(
        incomplete_details={"reason": "max_output_tokens"}
    ),
    "an item that failed": lambda events: _ended(events)[-1].update(status="failed"),
    "an end of another response": lambda events: events[-1]["response"].update(id="resp_2"),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_not_as_usual_is_read_carefully(odd: str) -> None:
    """One thing that is odd in a stream that is otherwise as usual."""
    chance = random.Random(5)
    begun, *_ = usual_stream(chance)
    events = [
        begun,
        {**begun, "type": "response.in_progress"},
        *call_item(0, chance),
        *message_item(1, chance),
    ]
    response = {**RESPONSE, "status": "completed", "output": _ended(events), "usage": USAGE}
    events.append({"type": "response.completed", "response": response})
    events = copy.deepcopy(events)
    payloads = as_sent(numbered(events))
    plain = relayed(framed=False)
    plain.feed(payloads)
    assert is_usual(plain)
    ODD[odd](events)
    payloads = as_sent(numbered(events))
    usual, careful = relayed(framed=False), carefully(framed=False)
    assert fed(usual, payloads, chance) == fed(careful, payloads, chance)
    assert not is_usual(usual)
    assert outcome(usual) == outcome(careful)


def test_line_ends_between_tokens_do_not_end_up_in_events() -> None:
    """Each event is one line, whatever part of it the backend wrote."""
    payloads = [
        payload.replace(b'"response":{', b'"response":\n{\r\n').replace(b'"item":{', b'"item":{\n')
        for payload in as_sent(usual_stream(random.Random(5)))
    ]
    for event in relayed().feed(payloads):
        assert event.count(b"\n") == len(b"\n\n\n")
        assert b"\r" not in event


@pytest.mark.parametrize("value", [b"1e999", b'"\xff"', b"[" * 3_000 + b"]" * 3_000])
@pytest.mark.parametrize(
    ("kind", "number"),
    [(b"text.delta", 0), (b"text.delta", -1), (b"item.added", 0), (b"item.added", -1), (b"part.done", 0)],
)
def test_a_value_that_cannot_be_decoded_is_an_error(kind: bytes, number: int, value: bytes) -> None:
    """In a field that is not read, of an event that is written anew, as its number is missing."""
    payloads = [msgspec.json.encode({**event, "sequence_number": None}) for event in whole_stream()]
    at = [place for place, payload in enumerate(payloads) if kind in payload][number]
    payloads[at] = payloads[at][:-1] + b',"new":' + value + b"}"
    error, told = failed(payloads, relayed(framed=False))
    assert isinstance(error, StreamCorruptError)
    assert told == failed(payloads, carefully(framed=False))[1] == told[:at]


@pytest.mark.parametrize(
    "kind", ["output_text.delta", "content_part.added", "output_item.done", "new", "codex"]
)
def test_what_is_no_text_is_never_handed_on(kind: str) -> None:
    """Bytes that are not UTF-8, in a field that is not looked at otherwise: the answer is damaged."""
    events = usual_stream(random.Random(7))
    own = {"new": {"type": "response.new"}, "codex": OWN}.get(kind)
    events.insert(4, own or {"type": "response.newer"})
    odd = own or _first(events, kind)
    odd["extra"] = [{"of": "bytes"}]
    payloads = [each.replace(b'"bytes"', b'"\xff"') for each in encoded(numbered(events))]
    usual, careful = relayed(framed=False), carefully(framed=False)
    told = usual.feed(payloads)
    assert told == careful.feed(payloads)
    assert all(each.decode() for each in told)
    assert type(usual.failure) is type(careful.failure) is StreamCorruptError
    assert usual.final is None


@pytest.mark.parametrize("place", [0, 1, 4])
def test_what_has_no_type_is_no_event(place: int) -> None:
    """It may have anything else of a delta."""
    payloads = as_sent(usual_stream(random.Random(7)))
    nameless = [
        {"item_id": "", "output_index": 0, "delta": "x"},
        {"type": "", "item_id": "", "output_index": 0},
    ]
    usual, plain = relayed(), relayed()
    told = usual.feed([*payloads[:place], *encoded(nameless), *payloads[place:]])
    assert told == plain.feed(payloads)


def test_numbers_of_objects_inside_of_an_event_stay() -> None:
    """Only the event itself gets another ``sequence_number``."""
    events = usual_stream(random.Random(7))
    delta = _first(events, "output_text.delta")
    number = events.index(delta)
    delta |= {"sequence_number": 70, "before": {"sequence_number": 70}}
    for payload in (encoded([delta])[0], json.dumps({"before": 0, "sequence_number": 70} | delta).encode()):
        usual = relayed(framed=False)
        usual.feed([*as_sent(events[:number])])
        (told,) = usual.feed([payload])
        assert json.loads(told) == {**delta, "sequence_number": number}


def test_a_stream_that_ends_too_early_is_no_answer() -> None:
    """Wherever it breaks off. What its client was told of it is what the failure goes on from."""
    payloads = as_sent(usual_stream(random.Random(7)))
    for length in range(len(payloads)):
        usual, careful = relayed(framed=False), relayed(framed=False)
        careful._read_carefully()
        assert [usual.feed([each]) for each in payloads[:length]] == [
            careful.feed([each]) for each in payloads[:length]
        ]
        assert (usual.final, usual.usage, usual.finished) == (None, None, False)
        for stream in (usual, careful):
            with pytest.raises(StreamTruncatedError):
                stream.close()
        error = StreamTruncatedError("The answer ended before it was complete.")
        if length > 2:
            assert usual.failure_events(error) == careful.failure_events(error)


def test_events_of_the_backends_own_do_not_grow_without_bound() -> None:
    """A stream with many of them is not noted for ever."""
    usual = relayed(is_codex=False)
    for _ in range(200):
        usual.feed(encoded([OWN]))
    assert not is_usual(usual)


@pytest.mark.parametrize("change", [{"cut_at": CutAt(max_tokens=5)}])
def test_an_answer_that_may_have_to_be_cut_is_assembled(change: dict[str, Any]) -> None:
    """Each of its deltas may be the last one."""
    usual = relayed(framed=False, **change)
    told = [json.loads(each) for each in usual.feed(as_sent(usual_stream(random.Random(3))))]
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
