"""What need not be said again over a WebSocket, and what must be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.responses.continuation import Continuation, Create

FIELDS = {"model": "gpt-5.5", "stream": True, "tools": [{"type": "function", "name": "look"}]}


def message(role, text):
    return {"type": "message", "role": role, "content": text}


def create(*items, **fields):
    return Create(json.dumps({**FIELDS, **fields, "input": items}).encode())


def result(call_id):
    return {"type": "function_call_output", "call_id": call_id, "output": "x"}


ONE, ANSWER, TWO = message("user", "one"), message("assistant", "you said one"), message("user", "two")


@pytest.fixture
def seen():
    """A connection over which one turn went."""
    continuation = Continuation()
    continuation.begin(create(ONE))
    # As our own requests will encode it.
    continuation.end(Create(encoded(ONE)), [ANSWER], "resp_1")
    return continuation


def encoded(*items, **fields):
    return json.dumps({**FIELDS, **fields, "input": items}, separators=(",", ":")).encode()


def test_the_first_message_says_everything():
    """All fields, all items, its type, and no previous response."""
    assert json.loads(Continuation().begin(create(ONE))) == {
        "type": "response.create",
        **FIELDS,
        "input": [ONE],
    }


def test_what_follows_says_only_what_is_new(seen):
    """The items after those that were seen, and the response that they follow."""
    following = Create(encoded(ONE, ANSWER, TWO))

    assert seen.fits(following)
    assert json.loads(seen.begin(following)) == {
        "type": "response.create",
        **FIELDS,
        "input": [TWO],
        "previous_response_id": "resp_1",
    }


CHANGED = {
    "another question": encoded(TWO, ANSWER, TWO),
    "another answer": encoded(ONE, message("assistant", "else"), TWO),
    "no answer": encoded(ONE, TWO),
    "another order": encoded(ANSWER, ONE, TWO),
    "something between": encoded(ONE, TWO, ANSWER, TWO),
    "nothing new": encoded(ONE, ANSWER),
    "less": encoded(ONE),
    "another field": encoded(ONE, ANSWER, TWO, reasoning={"effort": "high"}),
    "another value": encoded(ONE, ANSWER, TWO, model="gpt-6"),
}


@pytest.mark.parametrize("body", CHANGED.values(), ids=CHANGED)
def test_what_does_not_follow_says_everything(seen, body):
    """Whatever differs, in the items or in any other field."""
    following = Create(body)

    assert not seen.fits(following)
    said = json.loads(seen.begin(following))
    assert {"type": "response.create", **json.loads(body)} == said


def test_nothing_follows_what_did_not_end(seen):
    """From the moment that a message is sent until its response is complete."""
    following = Create(encoded(ONE, ANSWER, TWO))
    seen.begin(following)

    assert not seen.settled
    assert not seen.fits(following)


def test_a_new_connection_has_seen_nothing():
    """It can serve any turn, and must be told all of it."""
    assert Continuation().settled
    assert not Continuation().fits(create(ONE))


def test_nothing_follows_what_was_cut(seen):
    """A response without an id to go on from leaves the connection usable, and nothing else."""
    seen.begin(create(TWO))
    seen.end(create(TWO), [], None)

    assert seen.settled
    assert not seen.fits(create(TWO, ONE))


def test_a_preparation_produces_nothing():
    """It says so, and what it said is seen."""
    continuation, preparing = Continuation(), Create(encoded(ONE))

    assert json.loads(continuation.begin(preparing, generate=False))["generate"] is False
    continuation.end(preparing, [], "resp_0")
    assert "generate" not in json.loads(continuation.begin(Create(encoded(ONE, TWO))))


def test_the_state_of_a_turn_is_said_again(seen):
    """Where there is one; what the backend tells last counts."""
    told = json.loads(seen.begin(create(ONE), "ts_1"))
    assert told["client_metadata"] == {"x-codex-turn-state": "ts_1"}

    seen.end(create(ONE), [], "resp_2")
    assert seen.turn_state == "ts_1"
    seen.begin(create(ONE), "ts_1")
    seen.end(create(ONE), [], "resp_3", "ts_2")
    assert seen.turn_state == "ts_2"
    assert "client_metadata" not in json.loads(seen.begin(create(ONE)))


@pytest.mark.parametrize(
    ("items", "goes_on"),
    [
        ([ONE], False),
        ([ONE, ANSWER, result("c")], True),
        ([ONE, {**result("c"), "type": "custom_tool_call_output"}], True),
        ([ONE, result("c"), TWO], False),
        ([{"role": "user", "content": "one"}], False),
        ([], False),
    ],
)
def test_results_of_tools_go_on_with_a_turn(items, goes_on):
    """Anything else that comes last begins one."""
    assert create(*items).goes_on is goes_on


ITEMS = st.lists(st.sampled_from([ONE, ANSWER, TWO, result("a"), result("b")]), max_size=6)


@given(ITEMS, ITEMS, ITEMS)
def test_whatever_is_said_amounts_to_the_whole(before, answer, after):
    """What was seen and what is said are the request's items, whether it follows or not."""
    continuation, following = Continuation(), Create(encoded(*before, *answer, *after))
    continuation.begin(Create(encoded(*before)))
    continuation.end(Create(encoded(*before)), answer, "resp_1")
    said = json.loads(continuation.begin(following))

    known = [*before, *answer] if "previous_response_id" in said else []
    assert [*known, *said["input"]] == [*before, *answer, *after]
    assert ("previous_response_id" in said) is bool(after)


def test_ids_of_earlier_responses_are_kept_in_bounds():
    """The latest thousand are known."""
    continuation = Continuation()
    for number in range(3_000):
        continuation.begin(create(ONE))
        continuation.end(create(ONE), [], None, ids=[f"resp_{number}"])

    assert [f"resp_{number}" for number in range(2_000, 3_000)] == list(continuation.ids)
