from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from onplan.errors import StreamCorruptError
from onplan.responses import events
from onplan.responses.events import decode_event
from onplan.responses.stream import ResponseStream


def payload(type_, **fields):
    return json.dumps({**fields, "type": type_}).encode()


@pytest.mark.parametrize(
    "unknown",
    [
        b"[DONE]",
        b"",
        b"null",
        b"[]",
        payload("response.sparkle.delta", delta={"colour": "gold"}),
        b"{}",
        b'{"type": null}',
        b'{"type": 7}',
        b'{"type": []}',
        b'[{"a": 1}]',
        b'[["error"]]',
    ],
    ids=repr,
)
def test_what_is_unknown_is_skipped(unknown):
    """Events of unknown types, and payloads that are no events, do not fail."""
    assert decode_event(unknown) is None


@pytest.mark.parametrize("fields", [{}, {"part": None, "item_id": 7}, {"response": "odd"}], ids=repr)
def test_events_that_add_nothing_are_skipped_whatever_is_in_them(fields):
    """They are known by their type alone, and no chunk comes of them."""
    for skipped in events.SKIPPED:
        said = payload(skipped.__struct_config__.tag, **fields)
        stream = ResponseStream("gpt-5.5")

        assert isinstance(decode_event(said), events.Skipped)
        assert stream.feed([said]) == []
        assert stream.failure is None


def test_unknown_fields_are_skipped():
    """A known event may carry more than is known of it, in any order."""
    more = {"obfuscation": "x", "logprobs": [], "sequence_number": 4, "future": {"a": [1]}}

    assert events.OutputTextDelta("Hi", item_id="m", output_index=0) == decode_event(
        payload("response.output_text.delta", **more, delta="Hi", item_id="m", output_index=0)
    )


@dataclass
class Case:
    type: str
    fields: dict[str, object]
    nullable: list[str] = field(default_factory=list)


CASES = [
    Case("response.output_text.delta", {"delta": "x"}, ["item_id", "output_index", "content_index"]),
    Case("response.output_text.done", {"text": "x"}, ["item_id", "output_index", "content_index"]),
    Case("response.refusal.delta", {"delta": "x"}, ["item_id", "output_index", "content_index"]),
    Case(
        "response.reasoning_summary_text.delta", {"delta": "x"}, ["item_id", "output_index", "summary_index"]
    ),
    Case("response.reasoning_text.delta", {"delta": "x"}, ["item_id", "output_index", "content_index"]),
    Case("response.function_call_arguments.delta", {"delta": "x"}, ["item_id", "output_index"]),
    Case("response.function_call_arguments.done", {"arguments": "{}"}, ["item_id", "output_index"]),
    Case("response.output_item.added", {"item": {}}, ["output_index"]),
    Case("response.output_item.done", {"item": {}}, ["output_index"]),
    Case("response.completed", {"response": {}}),
    Case("response.incomplete", {"response": {}}),
    Case("response.created", {}, ["response"]),
    Case("response.done", {}, ["response"]),
    Case("response.failed", {}, ["response", "error", "code", "message", "headers"]),
    Case("response.cancelled", {}, ["response", "error"]),
    Case("error", {}, ["error", "code", "message", "status", "status_code", "headers"]),
    Case("response.error", {}, ["error", "code", "message", "status", "response"]),
    Case("codex.rate_limits", {}, ["plan_type", "rate_limits", "limit_name"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_what_may_be_missing_may_be_null(case):
    """A null says the same as a field that is not there."""
    nulls = dict.fromkeys(case.nullable)

    expected = decode_event(payload(case.type, **case.fields))

    assert expected is not None
    assert expected == decode_event(payload(case.type, **case.fields, **nulls))


@pytest.mark.parametrize("case", [case for case in CASES if case.fields], ids=lambda case: case.type)
@pytest.mark.parametrize("wrong", ["missing", "null", "number"])
def test_a_known_event_without_its_content_is_corrupt(case, wrong):
    """A known event that lacks what it must carry is an error, for a part of the answer may be lost."""
    (name,) = case.fields
    fields = {"missing": {}, "null": {name: None}, "number": {name: 7}}[wrong]

    with pytest.raises(StreamCorruptError, match=case.type):
        decode_event(payload(case.type, **fields))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"{not json", id="no JSON"),
        pytest.param(b" \n{not json", id="after white space"),
        pytest.param(b'{"type":"response.compl', id="cut"),
        pytest.param(b'{"type":"x"} {}', id="two values"),
        pytest.param(b'{"type":"response.output_text.delta","delta":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"type":"response.completed","response":' + b'{"a":' * 2000, id="bottomless"),
    ],
)
def test_broken_json_is_corrupt(broken):
    """An object that is not valid JSON is an error, whatever it wanted to say."""
    with pytest.raises(StreamCorruptError):
        decode_event(broken)


@pytest.mark.parametrize(
    "fields",
    [
        {"object": "response"},
        {"error": {"message": "x"}},
        {"errors": ["x"]},
        {"detail": "x"},
        {"base_resp": {"status_code": 1004}},
    ],
    ids=str,
)
def test_an_object_without_a_type_may_be_an_answer_or_an_error(fields):
    """By its fields; the assembler reads which."""
    data = json.dumps(fields).encode()

    assert decode_event(data) == events.Document(data, fields)


MORE = {"code": "c", "message": "m"}
NONE = {"code": None, "message": None}
DETAILS = [
    ({}, NONE),
    (MORE, MORE),
    ({"error": {"message": "n"}}, {"code": None, "message": "n"}),
    ({"error": {"message": "n", "code": None}, **MORE}, {"code": "c", "message": "n"}),
    ({"response": {"error": {"message": "n"}}}, {"code": None, "message": "n"}),
    ({"response": "n"}, NONE),
    ({"error": "n"}, "n"),
    ({"error": "n", "message": "m"}, {"code": None, "message": "m", "type": "n"}),
    ({"error": ""}, NONE),
    ({"error": "", "message": "m"}, {"code": None, "message": "m"}),
]


@pytest.mark.parametrize(("fields", "details"), DETAILS, ids=str)
def test_the_details_of_an_error(fields, details):
    """Nested fields count before flat ones; an error that is a word is the type beside flat fields."""
    assert events.ErrorEvent(**fields).details == details


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (events.Created(), "response.created"),
        (events.Document(b"{}", {}), "nameless"),
        (None, "nameless"),
    ],
    ids=str,
)
def test_the_name_of_an_event(event, name):
    """For an error about it; what is no event has none."""
    assert events.name_of(event) == name


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        (events.OutputTextDelta("x", item_id="m"), ["m"]),
        (events.OutputTextDelta("x", item_id=""), []),
        (events.ItemAdded({"id": "i", "call_id": "c"}), ["i", "c"]),
        (events.ItemAdded({"id": None, "call_id": 5}), []),
        (events.Created(), []),
    ],
    ids=str,
)
def test_the_ids_in_an_event(event, ids):
    """Those of its item and its call, if they are texts."""
    assert events.ids_of(event) == ids


@pytest.mark.parametrize(
    "error",
    [
        {"code": 429, "message": "Slow down."},
        {"error": "Slow down."},
        {"error": {"message": "Slow down.", "code": 429}},
        {"status": "429", "message": "Slow down."},
    ],
    ids=str,
)
def test_an_error_event_of_any_shape_stays_an_error_event(error):
    """A failure that is told in an unusual shape is still told, not called malformed."""
    assert isinstance(decode_event(payload("error", **error)), events.ErrorEvent)
