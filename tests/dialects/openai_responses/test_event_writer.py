"""Events as a client gets them: as they came where that will do, with consecutive numbers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_responses.event_writer import MOST_HELD, EventWriter, Place, is_text, place_of

NUMBER = b'"sequence_number"'


def place(payload: bytes) -> Place:
    found = place_of(payload)
    assert found is not None
    return found


def written(*payloads: bytes, framed: bool = False) -> list[bytes]:
    """These events, handed on."""
    writer = EventWriter(framed=framed)
    for payload in payloads:
        writer.hand_on(place(payload), payload)
    return writer.taken()


# --- where an event belongs ---


def test_the_place_of_an_event() -> None:
    """Its type, its item and its part; what is not there is unknown."""
    full = {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 1,
        "content_index": 2,
        "summary_index": 3,
        "delta": "a",
        "arguments": "{}",
        "sequence_number": 4,
        "more": {"type": "other"},
    }
    found = place(json.dumps(full).encode())
    assert msgspec.structs.asdict(found) == {
        **{name: value for name, value in full.items() if name != "more"},
        "logprobs": msgspec.UNSET,
    }
    assert msgspec.structs.asdict(place(b"{}")) == {
        "type": "",
        "item_id": None,
        "output_index": None,
        "content_index": None,
        "summary_index": None,
        "delta": None,
        "arguments": "",
        "sequence_number": None,
        "logprobs": msgspec.UNSET,
    }
    assert place(b'{"logprobs": []}').logprobs is not msgspec.UNSET


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'"x"', b"{", b'{"type": 5}', b'{"output_index": "1"}', b'{"x": ' + b"[" * 100_000],
    ids=lambda payload: payload[:20].decode(),
)
def test_what_is_no_event_has_no_place(payload: bytes) -> None:
    """However it is wrong."""
    assert place_of(payload) is None


@pytest.mark.parametrize(
    ("payload", "is_it"),
    [(b"", True), (b"abc", True), ("ü".encode(), True), (b"\xff", False), (b"a\xc3", False)],
)
def test_text_is_utf_8(payload: bytes, *, is_it: bool) -> None:
    """What ends within a character is none."""
    assert is_text(payload) is is_it


# --- events of our own ---


def test_our_own_events_are_numbered() -> None:
    """Type and number stand where the backend's stand; a number that came along is replaced."""
    writer = EventWriter(framed=False)
    writer.write({"item_id": "msg_1", "type": "a"})
    writer.write({"type": "b", "sequence_number": 7})
    assert writer.taken() == [
        b'{"type":"a","item_id":"msg_1","sequence_number":0}',
        b'{"type":"b","sequence_number":1}',
    ]
    assert writer.taken() == []
    writer.write({"type": "c"})
    assert writer.taken() == [b'{"type":"c","sequence_number":2}']


def test_events_may_be_framed() -> None:
    """As server-sent events, each with its type."""
    writer = EventWriter(framed=True)
    writer.write({"type": "a.ü"})
    writer.hand_on(place(b'{"type":"b"}'), b'{"type":"b"}')
    assert writer.taken() == [
        'event: a.ü\ndata: {"type":"a.ü","sequence_number":0}\n\n'.encode(),
        b'event: b\ndata: {"type":"b","sequence_number":1}\n\n',
    ]


def test_a_writer_goes_on_where_another_was() -> None:
    """What it had written is what the other wrote, too."""
    first, second = EventWriter(framed=False), EventWriter(framed=False)
    for kind in ("a", "b"):
        first.write({"type": kind})
    second.write({"type": "a"})
    second.go_on_after(first)
    second.write({"type": "c"})
    assert second.taken() == [b'{"type":"c","sequence_number":2}']


# --- events as they came ---


def test_an_event_with_the_right_number_is_not_touched() -> None:
    """Its spaces and the order of its fields are the backend's."""
    events = [b'{ "sequence_number": 0, "type": "a" }', b'{"type" :"b","sequence_number":1}']
    assert written(*events) == events


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b'{"type":"a","sequence_number":7}', b'{"type":"a","sequence_number":0}'),
        (b'{"sequence_number":7,"type": "a"}', b'{"sequence_number":0,"type": "a"}'),
        (b'{"type":"a","sequence_number":12345,"b":1}', b'{"type":"a","sequence_number":0,"b":1}'),
        (b'{"type":"a", "sequence_number": 7}', b'{"type":"a","sequence_number":0}'),
        (b'{"type":"a","sequence_number":7 }', b'{"type":"a","sequence_number":0}'),
        (b'{"type":"a"}', b'{"type":"a","sequence_number":0}'),
        (b'{"type":"a","sequence_number":"7"}', b'{"type":"a","sequence_number":0}'),
        (b'{"type":"a","sequence_number":true}', b'{"type":"a","sequence_number":0}'),
        (b'{"type":"a","sequence_number":7.0}', b'{"type":"a","sequence_number":0}'),
        (b'{"type":"a","sequence_number":-7}', b'{"type":"a","sequence_number":0}'),
        (
            b'{"x":{"sequence_number":7},"type":"a","sequence_number":7}',
            b'{"x":{"sequence_number":7},"type":"a","sequence_number":0}',
        ),
        (
            b'{"type":"a","sequence_number":7,"x":{"sequence_number":7}}',
            b'{"type":"a","sequence_number":0,"x":{"sequence_number":7}}',
        ),
        (
            b'{"x":{"sequence_number":71},"type":"a","sequence_number":7}',
            b'{"x":{"sequence_number":71},"type":"a","sequence_number":0}',
        ),
        (
            b'{"type":"a","text":"\\"sequence_number\\":7","sequence_number":7}',
            b'{"type":"a","text":"\\"sequence_number\\":7","sequence_number":0}',
        ),
    ],
)
def test_another_number_is_replaced(payload: bytes, told: bytes) -> None:
    """That of the event, and none that stands within it."""
    assert written(payload) == [told]


def test_numbers_are_consecutive() -> None:
    """Whatever the backend counts."""
    events = [b'{"type":"a","sequence_number":%d}' % number for number in (5, 5, 1, 3)]
    assert [json.loads(each)["sequence_number"] for each in written(*events)] == [0, 1, 2, 3]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_no_line_ends_within_an_event(end: bytes) -> None:
    """A client would take it for the end of a field."""
    payload = b'{"type":"a",' + end + b'"sequence_number":0}'
    assert written(payload) == [b'{"type":"a","sequence_number":0}']


# --- events that must say where they belong ---

AT = {"item_id": "msg_1", "output_index": 0}


def at(payload: dict[str, Any], **more: Any) -> tuple[bool, bytes]:
    """Whether the event came as the client must get it, and how it got it."""
    writer, said = EventWriter(framed=False), json.dumps(payload).encode()
    is_same = writer.hand_on_at({**AT, **more}, place(said), said)
    (told,) = writer.taken()
    return is_same, told


def test_an_event_that_says_it_is_not_touched() -> None:
    """Its bytes are handed on."""
    event = {"type": "response.refusal.delta", "delta": "a", "sequence_number": 0, **AT}
    assert at(event) == (True, json.dumps(event).encode())


@pytest.mark.parametrize("wrong", [{"item_id": None}, {"item_id": "msg_2"}, {"output_index": 1}, {}])
def test_another_place_is_replaced(wrong: dict[str, Any]) -> None:
    """The client knows the item by the id that it was told."""
    event = {"type": "response.refusal.delta", "delta": "a", **(wrong and {**AT, **wrong})}
    is_same, told = at(event)
    assert not is_same
    assert json.loads(told) == {**event, **AT, "sequence_number": 0}


@pytest.mark.parametrize(
    ("kind", "is_added"),
    [
        ("response.output_text.delta", True),
        ("response.output_text.done", True),
        ("response.output_text", False),
        ("response.refusal.delta", False),
    ],
)
def test_texts_have_logprobs(kind: str, *, is_added: bool) -> None:
    """SDKs check for the list; one that is there stays."""
    event = {"type": kind, "delta": "a", "sequence_number": 0, **AT}
    is_same, told = at(event)
    assert is_same is not is_added
    assert json.loads(told) == ({**event, "logprobs": []} if is_added else event)
    assert at({**event, "logprobs": [1]}) == (True, json.dumps({**event, "logprobs": [1]}).encode())


def test_arguments_are_text() -> None:
    """llama.cpp sends an object."""
    event = {"type": "response.function_call_arguments.done", "arguments": {"a": 1}, **AT}
    is_same, told = at(event)
    assert not is_same
    assert json.loads(json.loads(told)["arguments"]) == {"a": 1}
    assert at({**event, "arguments": "{}", "sequence_number": 0})[0]


def test_so_many_of_the_backend_s_own_events_are_held() -> None:
    """Before the answer begins; a stream of nothing else must not fill the memory."""
    assert MOST_HELD == 100
