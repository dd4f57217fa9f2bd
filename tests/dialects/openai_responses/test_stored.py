"""How much is kept of responses, and for how long."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_responses.stored import (
    Before,
    Bounds,
    KeptResponses,
    StoredResponse,
    decode,
    encode,
    input_items_page,
    name_for,
    names_of,
    references_in,
)


def as_json(response: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(response))


def test_the_oldest_go_first() -> None:
    """Whichever bound is reached: the number of responses, their bytes, their age in seconds."""
    for bounds, left in (
        (Bounds(count=2), [b"bb", b"cc"]),
        (Bounds(size=5), [b"bb", b"cc"]),
        (Bounds(age=10), [b"cc"]),
        (Bounds(size=1), []),
    ):
        kept = KeptResponses(bounds)
        for name, now in (("a", 0.0), ("b", 1.0), ("c", 5.0)):
            kept.put(name, [f"item of {name}"], name.encode() * 2, now)
        for prefix in ("", "item of "):
            assert [found for name in "abc" if (found := kept.get(prefix + name, 12.0))] == left
        assert len(kept) == len(left)


def test_a_response_put_again_is_counted_once_and_takes_its_items_along() -> None:
    """The latest response with an item's id has it, as long as that response is kept."""
    kept = KeptResponses(Bounds(size=4))
    kept.put("a", ["x", "y"], b"1", 0.0)
    kept.put("a", ["x"], b"2", 0.0)
    assert (kept.get("x", 0.0), kept.get("y", 0.0), len(kept)) == (b"2", None, 1)
    kept.put("b", ["x"], b"3", 0.0)
    assert kept.remove("a")
    assert kept.get("x", 0.0) == b"3"
    assert kept.remove("b")
    assert not kept.remove("b")
    assert kept.get("x", 0.0) is None
    for number in range(100):
        kept.put("c", ["x"], b"4444", float(number))
        assert kept.get("c", float(number)) == b"4444"


def test_a_response_is_found_by_its_id_although_an_item_of_another_has_it() -> None:
    """As at servers that number both from the start."""
    kept = KeptResponses()
    kept.put("a", [], b"1", 0.0)
    kept.put("b", ["a"], b"2", 0.0)
    assert kept.get("a", 0.0) == b"1"


def test_names_tell_callers_and_ids_apart() -> None:
    """However they are cut: no name can be made that is another caller's."""
    pairs = [("a", "bc"), ("ab", "c"), ("", "abc"), ('a","b', "c"), ("a", 'b","c')]
    names = {name_for(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    assert all(len(name) == 64 and "abc" not in name for name in names)


def test_a_response_survives_being_encoded() -> None:
    """It is the same afterwards, with whatever items backends invent; its text is not in its repr's names."""
    item = {"type": "of tomorrow", "id": "x_1", "nested": [{"a": None}]}
    stored = StoredResponse(
        as_json({"id": "resp_1", "output": [item, {"type": "message"}]}), [item], "m", "s"
    )
    assert decode(encode(stored)) == stored
    assert names_of(stored, "me") == (name_for("me", "resp_1"), [name_for("me", "x_1")])


def test_listed_items_have_ids_of_their_own() -> None:
    """An item that came without an id gets one that says its kind and is the same on every page."""
    items = [{"type": "message", "role": "user"}, {"type": "reasoning"}, {"type": "of tomorrow"}]
    stored = StoredResponse(as_json({"id": "resp_7", "output": []}), items, "m", "s")
    listed = input_items_page(stored, {"order": "asc"})["data"]
    assert [each["id"] for each in listed] == ["msg_7_0", "rs_7_1", "item_7_2"]
    empty = StoredResponse(as_json({"id": "resp_7", "output": []}), [], "m", "s")
    assert input_items_page(empty, {})["first_id"] is None


def test_a_response_is_not_printed() -> None:
    """What was asked and answered is the client's; its id tells it apart."""
    stored = StoredResponse(as_json({"id": "resp_1", "output": [{"secret": 1}]}), [{"secret": 1}], "m", "s")
    assert repr(stored) == "StoredResponse('resp_1')"


def test_names_are_those_of_items_that_have_an_id() -> None:
    """What a backend sends without one, or with a number, cannot be referred to."""
    output = [{"type": "message"}, {"id": 7}, {"id": "msg_1"}, {"id": None}]
    stored = StoredResponse(as_json({"id": "resp_1", "output": output}), [], "m", "s")
    assert names_of(stored, "me") == (name_for("me", "resp_1"), [name_for("me", "msg_1")])


def test_a_response_is_kept_to_its_last_second() -> None:
    """And as long as no bound is passed: a bound that is just reached gives nothing up."""
    kept = KeptResponses(Bounds(count=2, size=4, age=10))
    kept.put("a", [], b"aa", 0.0)
    kept.put("b", [], b"bb", 0.0)
    assert [kept.get(name, 10.0) for name in "ab"] == [b"aa", b"bb"]
    assert kept.get("a", 10.1) is None
    assert len(kept) == 0


def test_what_alone_is_too_large_replaces_nothing_else() -> None:
    """The response of that name is given up all the same: it would be an older one."""
    kept = KeptResponses(Bounds(size=4))
    kept.put("a", [], b"a", 0.0)
    kept.put("b", [], b"b", 0.0)
    kept.put("b", [], b"bbbbb", 0.0)
    assert (kept.get("a", 0.0), kept.get("b", 0.0)) == (b"a", None)


def test_a_server_keeps_a_thousand_responses_for_an_hour() -> None:
    """Or 64 MiB of them, unless it is told otherwise."""
    assert Bounds() == Bounds(count=1_000, size=64 * 1024 * 1024, age=3_600.0)


# --- going on ---

USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hello", "annotations": []}],
}
ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "and?"}]}
REFERENCE = {"type": "item_reference", "id": "rs_1"}


def answered(model: str = "gpt-5.5") -> StoredResponse:
    """A thought and a text, in answer to one message."""
    return StoredResponse(as_json({"id": "resp_1", "output": [THOUGHT, SAID]}), [USER], model, "s")


@pytest.mark.parametrize(
    ("before", "items", "kinds"),
    [
        (Before(), [ASKED], ["user"]),
        (Before(previous=answered()), [ASKED], ["user", "reasoning", "assistant", "user"]),
        (Before(previous=answered()), [], ["user", "reasoning", "assistant"]),
        (Before(referenced={"rs_1": answered()}), [USER, REFERENCE, ASKED], ["user", "reasoning", "user"]),
    ],
    ids=["alone", "after a response", "nothing new", "after an item"],
)
def test_the_whole_input(before: Before, items: list[dict[str, Any]], kinds: list[str]) -> None:
    """What went before, the answer, and what is new; an item that is referred to stands in its place."""
    whole, left_out = before.whole(items, "gpt-5.5", "developer")
    assert [item.get("role", item["type"]) for item in whole] == kinds
    assert left_out == []
    assert all(item.get("encrypted_content", "sealed") == "sealed" for item in whole)


@pytest.mark.parametrize("before", [Before(previous=answered()), Before(referenced={"rs_1": answered()})])
def test_another_model_does_not_get_what_it_cannot_read(before: Before) -> None:
    """Encrypted reasoning is left out, and the client is told; all else stays."""
    items = [] if before.previous else [USER, REFERENCE]
    whole, left_out = before.whole(items, "gpt-5", "developer")
    assert "reasoning" not in [item["type"] for item in whole]
    assert USER in whole
    assert left_out == ["Left out 1 encrypted reasoning item(s): another model thought them."]


def test_the_client_s_own_reasoning_is_not_judged() -> None:
    """Nobody knows which model thought what a client sends."""
    whole, left_out = Before().whole([THOUGHT], "gpt-5", "developer")
    assert (whole, left_out) == ([THOUGHT], [])


def test_references_are_found() -> None:
    """In their order, and nothing else that has an id."""
    items = [USER, REFERENCE, SAID, {"type": "item_reference", "id": "msg_9"}]
    assert references_in(items) == ["rs_1", "msg_9"]


# --- listing ---


def page(**query: str) -> dict[str, Any]:
    """Of a response with 30 input items, whose ids end with their numbers."""
    items = [{"type": "message", "role": "user", "content": str(number)} for number in range(30)]
    items[3] = {"type": "reasoning", "id": "rs_3"}
    stored = StoredResponse(as_json({"id": "resp_1", "output": []}), items, "m", "s")
    return input_items_page(stored, query)


@pytest.mark.parametrize(
    ("query", "first", "last", "count", "more"),
    [
        ({}, "msg_1_29", "msg_1_10", 20, True),
        ({"order": "asc"}, "msg_1_0", "msg_1_19", 20, True),
        ({"order": "asc", "limit": "1"}, "msg_1_0", "msg_1_0", 1, True),
        ({"order": "asc", "limit": "30"}, "msg_1_0", "msg_1_29", 30, False),
        ({"limit": "100"}, "msg_1_29", "msg_1_0", 30, False),
        ({"order": "asc", "after": "rs_3", "limit": "2"}, "msg_1_4", "msg_1_5", 2, True),
        ({"after": "rs_3"}, "msg_1_2", "msg_1_0", 3, False),
        ({"order": "asc", "after": "msg_1_29"}, None, None, 0, False),
    ],
    ids=str,
)
def test_items_are_listed_by_the_page(
    query: dict[str, str], first: str | None, last: str | None, count: int, more: bool
) -> None:
    """Twenty at a time, the newest first, unless the query says otherwise."""
    told = page(**query)
    assert told["object"] == "list"
    assert (told["first_id"], told["last_id"]) == (first, last)
    assert (len(told["data"]), told["has_more"]) == (count, more)
    assert [each["id"] for each in told["data"]][:1] == ([first] if first else [])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"order": "up"}, "order"),
        *(({"limit": limit}, "limit") for limit in ("0", "101", "", "-1", "1.0", "²", "100000000")),
        ({"after": "msg_9"}, "after"),
    ],
    ids=str,
)
def test_a_query_that_cannot_be(query: dict[str, str], param: str) -> None:
    """The error names its field."""
    with pytest.raises(ParameterError) as caught:
        page(**query)
    assert caught.value.param == param


def test_a_listed_item_is_complete_and_unchanged() -> None:
    """Each has a status but reasoning; what came with an id or a status keeps it."""
    asked = {"type": "function_call_output", "status": "incomplete", "call_id": "c", "output": "x"}
    items = [USER, THOUGHT, asked, {"type": "function_call", "call_id": "c"}]
    stored = StoredResponse(as_json({"id": "resp_1", "output": []}), items, "m", "s")
    listed = input_items_page(stored, {"order": "asc"})["data"]
    assert listed == [
        {"id": "msg_1_0", "status": "completed", **USER},
        THOUGHT,
        {"id": "fco_1_2", **asked},
        {"id": "fc_1_3", "status": "completed", "type": "function_call", "call_id": "c"},
    ]
