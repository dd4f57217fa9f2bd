"""A connection that carries one response after another: late events of the earlier ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.errors import StreamCorruptError
from onplan.responses.stream import ResponseStream
from onplan.types import Text


def created(response_id: str) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id}}


def added(item_id: str) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": {"type": "message", "id": item_id}}


def delta(item_id: str | None, text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": item_id, "delta": text}


def ended(response_id: str | None, kind: str = "completed") -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": response_id, "status": kind, "output": []}}


def heard(*events: dict[str, Any]) -> ResponseStream:
    """The stream of a second response, on a connection whose first response had the ids ``r1`` and ``m1``."""
    stream = ResponseStream("m")
    stream.earlier = {"r1", "m1"}
    stream.feed([json.dumps(event).encode() for event in events])
    return stream


SKIPPED: dict[str, list[dict[str, Any]]] = {
    "its end": [ended("r1")],
    "its failure": [ended("r1", "failed")],
    "its end twice": [ended("r1"), ended("r1", "incomplete")],
}


@pytest.mark.parametrize("late", SKIPPED.values(), ids=SKIPPED)
def test_the_end_of_an_earlier_response_does_not_end_this_one(late):
    """Once this response has begun, events that name an earlier one are skipped."""
    stream = heard(created("r2"), delta("m2", "a"), *late, delta("m2", "b"), ended("r2"))

    assert stream.failure is None
    assert stream.parts == [Text("ab")]
    assert not stream.is_mixed


@pytest.mark.parametrize("begun", [[created("r2")], [delta("m2", "a")]], ids=["created", "an item"])
def test_a_response_has_begun_with_its_first_event(begun):
    """Whether that was the one that says so, or an item."""
    stream = heard(*begun, ended("r1"), delta("m2", "b"), ended("r2"))

    assert stream.failure is None
    assert not stream.is_mixed


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "id": "m1", "call_id": "c"},
        {"type": "function_call", "id": "x", "call_id": "m1"},
        {"type": "web_search_call", "id": "m1"},
    ],
    ids=["a call", "a call's other id", "another item"],
)
def test_an_item_of_any_kind_may_have_an_id_again(item):
    """Its later events are its own."""
    item = {"name": "f", "arguments": "{}", **item}
    stream = heard(
        created("r2"),
        {"type": "response.output_item.added", "item": item},
        {"type": "response.output_item.done", "item": item},
        ended("r2"),
    )

    assert stream.failure is None
    assert not stream.is_mixed


def test_an_id_that_is_no_text_is_none():
    """Nothing is looked up by it."""
    stream = heard({"type": "response.created", "response": {"id": []}}, delta("m2", "a"), ended("r2"))

    assert stream.failure is None


MIXED: dict[str, list[dict[str, Any]]] = {
    "text of an earlier item": [created("r2"), delta("m1", "old")],
    "the same before this response": [delta("m1", "old")],
    "an earlier item": [added("m1")],
    "the end of an earlier response, first": [ended("r1")],
    "an earlier response that begins again": [created("r2"), created("r1")],
}


@pytest.mark.parametrize("events", MIXED.values(), ids=MIXED)
def test_what_may_belong_to_either_response_is_an_error(events):
    """Text of an earlier answer is never taken for this one's, and the stream says that it was mixed."""
    stream = heard(*events, ended("r2"))

    assert isinstance(stream.failure, StreamCorruptError)
    assert stream.is_mixed
    assert stream.parts == []


def test_an_id_that_this_response_gives_again_is_its_own():
    """Some servers number the items of each response from the start."""
    stream = heard(created("r2"), delta("m2", "a"), added("m1"), delta("m1", "b"), ended("r2"))

    assert stream.failure is None
    assert stream.parts == [Text("a"), Text("b")]
    assert not stream.is_mixed


def test_the_ids_that_a_later_response_must_know():
    """Those of the response, of its items and of its calls."""
    called = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    stream = heard(
        created("r2"), delta("m2", "a"), {"type": "response.output_item.done", "item": called}, ended("r2")
    )

    assert stream.ids == {"r2", "m2", "fc_1", "c"}


@pytest.mark.parametrize(
    ("headers", "state"),
    [({"x-codex-turn-state": "ts_1"}, "ts_1"), ({"x-codex-turn-state": 5}, None), ({}, None), (None, None)],
    ids=["text", "a number", "another header", "none"],
)
def test_the_state_of_the_turn_is_in_the_metadata(headers, state):
    """A text in that header counts, and later metadata without it changes nothing."""
    stream = heard({"type": "response.metadata", "headers": headers})
    assert stream.turn_state == state

    stream.feed([json.dumps({"type": "response.metadata", "headers": {}}).encode()])
    assert stream.turn_state == state
