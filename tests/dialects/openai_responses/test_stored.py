"""How much is kept of responses, and for how long."""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.dialects.openai_responses.stored import (
    Bounds,
    KeptResponses,
    StoredResponse,
    decode,
    encode,
    input_items_page,
    name_for,
    names_of,
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
