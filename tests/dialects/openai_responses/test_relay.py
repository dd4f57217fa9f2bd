"""Streams that are handed on: what the backend says well is not touched, the rest is made readable."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from onplan.answers.sse import Body
from onplan.errors import (
    OverloadedError,
    ServerError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
)
from onplan.parameters import CutAt

from .reading import read
from .streams import (
    CALLS,
    RESPONSE,
    TEXT,
    THOUGHT,
    USAGE,
    Event,
    added,
    call,
    decoded,
    done,
    encoded,
    failed,
    frames,
    message,
    numbered,
    relay,
    split,
    text_part,
    told,
    told_bytes,
    whole_stream,
)

ARGUMENTS = "response.function_call_arguments"


def without_types(*types: str) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [event for event in events if event["type"] not in types]


def without(*names: str) -> Callable[[list[Event]], list[Event]]:
    """Without these fields of each event."""
    return lambda events: [
        {name: value for name, value in event.items() if name not in names} for event in events
    ]


def in_items(*names: str) -> Callable[[list[Event]], list[Event]]:
    """Without these fields of each item, wherever it stands."""

    def change(events: list[Event]) -> list[Event]:
        for event in events:
            output = event.get("response", {}).get("output", [])
            for item in [event.get("item"), *output]:
                for name in names:
                    if item is not None:
                        item.pop(name, None)
        return events

    return change


def with_arguments_as_objects(events: list[Event]) -> list[Event]:
    """As llama.cpp and Ollama send them."""
    for event in events:
        if event["type"] == f"{ARGUMENTS}.done":
            event["arguments"] = json.loads(event["arguments"])
        item = event.get("item", {})
        if item.get("arguments"):
            item["arguments"] = json.loads(item["arguments"])
    return [event for event in events if event["type"] != f"{ARGUMENTS}.delta"]


def with_new_ids(events: list[Event]) -> list[Event]:
    """As GitHub Copilot sends them: another id for the same item in each event."""
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"new_{number}"
        if "item" in event:
            event["item"]["id"] = f"new_{number}"
    return events


def with_one_index(events: list[Event]) -> list[Event]:
    """As LiteLLM sends them: every item has index 0, one after another."""
    second = [event for event in events if event.get("output_index") == 3]
    first = [event for event in events[:-1] if event not in second]
    events = [*first, *second, events[-1]]
    return [{**event, "output_index": 0} if "output_index" in event else event for event in events]


def with_empty_output(events: list[Event]) -> list[Event]:
    events[-1]["response"]["output"] = []
    return events


def with_new_ids_at_the_end(events: list[Event]) -> list[Event]:
    """As mistral.rs sends them."""
    for number, item in enumerate(events[-1]["response"]["output"]):
        item["id"] = f"other_{number}"
    events[-1]["response"]["id"] = "resp_other"
    return events


def with_content_in_added(events: list[Event]) -> list[Event]:
    """The first event of an item has all of it already."""
    ends = {event["output_index"]: event["item"] for event in events if event["type"].endswith("item.done")}
    for event in events:
        if event["type"] == "response.output_item.added":
            event["item"] = copy.deepcopy(ends[event["output_index"]])
    return events


def with_calls_announced_late(events: list[Event]) -> list[Event]:
    """Arguments come before the event that says whose they are."""
    late = [event for event in events if event.get("item", {}).get("type") == "function_call"]
    rest = [event for event in events if event not in late]
    at = next(index for index, event in enumerate(rest) if event["type"] == f"{ARGUMENTS}.done")
    return [*rest[: at - 1], *late[:2], *rest[at - 1 : -1], *late[2:], rest[-1]]


def with_every_event_twice(events: list[Event]) -> list[Event]:
    """Announcements and ends come again, as after a proxy's retry."""
    again = (
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
    )
    return [copy.deepcopy(event) for event in events for _ in range(1 + (event["type"] in again))]


def with_own_events(events: list[Event]) -> list[Event]:
    """The Codex backend's own kinds are among them."""
    limits = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 7}}}
    metadata = {"type": "response.metadata", "headers": {"x-codex-turn-state": "t"}}
    return [events[0], limits, *events[1:4], metadata, *events[4:]]


def with_some_logprobs(events: list[Event]) -> list[Event]:
    """Every second delta has none."""
    for event in events[::2]:
        event.pop("logprobs", None)
    return events


def with_content_as_texts(events: list[Event]) -> list[Event]:
    """A message's content is a text, or a list of texts."""
    events[-1]["response"]["output"] = []
    for event in events:
        item = event.get("item", {})
        if item.get("content"):
            item["content"] = [TEXT]
        if item.get("summary"):
            item["summary"] = THOUGHT
    return events


def as_done(events: list[Event]) -> list[Event]:
    """As the Codex WebSocket ends."""
    events[-1]["type"] = "response.done"
    return events


def chain(*changes: Callable[[list[Event]], list[Event]]) -> Callable[[list[Event]], list[Event]]:
    def change(events: list[Event]) -> list[Event]:
        for each in changes:
            events = each(events)
        return events

    return change


ALL_DELTAS = (f"{ARGUMENTS}.delta", "response.output_text.delta", "response.reasoning_summary_text.delta")
ALL_DONE = (f"{ARGUMENTS}.done", "response.output_text.done", "response.reasoning_summary_text.done")
PARTS = tuple(
    f"response.{name}.{what}"
    for name in ("content_part", "reasoning_summary_part")
    for what in ("added", "done")
)
ADDED, DONE = "response.output_item.added", "response.output_item.done"
CHANGES = {
    "as it is": lambda events: events,
    "no item ids": without("item_id"),
    "no ids at all": chain(without("item_id"), in_items("id")),
    "no indexes": without("output_index"),
    "no indexes inside items": without("content_index", "summary_index"),
    "no statuses": in_items("status"),
    "no sequence numbers": without("sequence_number"),
    "no logprobs": without("logprobs"),
    "some logprobs": with_some_logprobs,
    "content as texts": with_content_as_texts,
    "no parts": without_types(*PARTS),
    "no announcements": without_types(ADDED),
    "no announcements and no parts": without_types(ADDED, *PARTS),
    "no deltas": without_types(*ALL_DELTAS),
    "no ends of texts": without_types(*ALL_DONE),
    "ends of items alone": without_types(ADDED, *PARTS, *ALL_DELTAS, *ALL_DONE),
    "the last event alone": without_types(ADDED, DONE, *PARTS, *ALL_DELTAS, *ALL_DONE),
    "the last event quite alone": lambda events: events[-1:],
    "no opening": lambda events: events[2:],
    "empty output": with_empty_output,
    "empty output and no parts": chain(with_empty_output, without_types(*PARTS)),
    "no ends of items": without_types(DONE),
    "arguments as objects": with_arguments_as_objects,
    "new ids in each event": with_new_ids,
    "one index": with_one_index,
    "new ids at the end": with_new_ids_at_the_end,
    "content in the announcement": with_content_in_added,
    "content in the announcement alone": chain(
        with_content_in_added, without_types(DONE, *ALL_DELTAS, *ALL_DONE)
    ),
    "calls announced late": with_calls_announced_late,
    "events twice": with_every_event_twice,
    "own events": with_own_events,
    "response.done": as_done,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_every_client_reads_what_the_backend_meant(change: Callable[[list[Event]], list[Event]]) -> None:
    """Whatever the backend leaves out or says twice: each text and call once, and the right order."""
    got = read(told(encoded(change(whole_stream()))))

    assert (got.text, got.thinking, got.calls) == (TEXT, THOUGHT, CALLS)
    assert [item["type"] for item in got.response["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert got.response["output"][0]["encrypted_content"] == "sealed"
    assert got.response["usage"]["total_tokens"] == 12


@pytest.mark.parametrize("name", ["as it is", "no sequence numbers", "own events", "no ids at all"])
def test_the_same_comes_out_however_the_bytes_are_split(name: str) -> None:
    """Events, not reads, decide what is sent."""
    data = frames(CHANGES[name](whole_stream()))
    expected = b"".join(told_bytes((payload for some in decoded([data]) for payload in some), relay()))
    for size in (1, 2, 3, 7, 61, 1000):
        stream = relay()
        sent = b"".join(piece for some in decoded(split(data, size)) for piece in stream.feed(some))
        assert sent == expected


def test_what_the_backend_says_well_is_not_touched() -> None:
    """Every event between the opening and the end goes out byte for byte."""
    payloads = encoded(whole_stream())
    assert told_bytes(payloads, relay(framed=False))[2:-1] == payloads[2:-1]


def test_only_numbers_change_where_events_are_left_out() -> None:
    """The bytes around them stay."""
    payloads = encoded(numbered(with_own_events(whole_stream())))
    sent = told_bytes(payloads, relay(framed=False))
    delta = next(payload for payload in payloads if b"output_text.delta" in payload)
    number = payloads.index(delta)
    expected = delta.replace(b'"sequence_number":%d' % number, b'"sequence_number":%d' % (number - 2))
    assert expected in sent


def test_codex_gets_its_own_events() -> None:
    """Also between others, with numbers that fit."""
    events = told(encoded(with_own_events(whole_stream())), relay(framed=False, is_codex=True))
    assert [event["type"] for event in events if "." in event["type"]].count("codex.rate_limits") == 1
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_frames_hold_whatever_a_payload_has() -> None:
    """Line ends between the tokens of an event, and in the name of one, cannot make another event."""
    pretty = encoded(whole_stream())[5].replace(b",", b",\r\n\n")
    evil = encoded([{"type": "x\n\ndata: {}\n\n", "sequence_number": 0}])
    payloads = encoded(whole_stream())
    sent = b"".join(told_bytes([*payloads[:5], pretty, *evil, *payloads[6:]], relay()))
    frames_sent = sent.split(b"\n\n")[:-1]
    assert all(frame.count(b"\n") == 1 and b"\r" not in frame for frame in frames_sent)
    assert len(frames_sent) == len(payloads)


def test_a_whole_answer_in_place_of_a_stream_becomes_one() -> None:
    """A gateway that does not stream answers with the response object."""
    [payload] = encoded([{**whole_stream()[-1]["response"], "status": "completed"}])
    got = read(told([Body(payload)]))
    assert (got.text, got.thinking, got.calls) == (TEXT, THOUGHT, CALLS)
    assert got.response["id"] == RESPONSE["id"]


def test_a_response_without_an_id_gets_one() -> None:
    """The same in all events, and in the ids of its items."""
    events = chain(in_items("id"), without("item_id"))(whole_stream())
    for event in (*events[:2], events[-1]):
        event["response"].pop("id", None)
    got = read(told(encoded(events), relay(framed=False, response_id="resp_mine")))
    assert got.response["id"] == "resp_mine"
    assert all("mine" in item["id"] for item in got.response["output"])


def test_nothing_is_told_before_the_backend_has_begun() -> None:
    """Opening events are held, however many: a failure after them can be asked again, unseen."""
    stream = relay()
    opening = encoded(whole_stream())[:2]
    assert [stream.feed([payload]) for payload in opening * 1_000] == [[]] * 2_000
    busy = {"code": "server_is_overloaded", "message": "busy"}
    failed_event = {
        "type": "response.failed",
        "response": {"id": "resp_1", "status": "failed", "error": busy},
    }
    assert stream.feed(encoded([failed_event])) == []
    assert isinstance(stream.failure, OverloadedError)


def test_the_opening_is_told_once() -> None:
    """However often it came."""
    events = whole_stream()
    assert len(told(encoded([*events[:2] * 1_000, *events[2:]]))) == len(events)


def test_a_number_inside_of_an_event_is_not_its_own() -> None:
    """Only the event's own number is changed where events were left out before it."""
    nested = {"type": "response.of_tomorrow", "held": {"sequence_number": 4}, "sequence_number": 4}
    own = {"type": "codex.rate_limits", "sequence_number": 3}
    events = told(encoded([*whole_stream()[:3], own, nested, *whole_stream()[3:]]))
    [handed_on] = [event for event in events if event["type"] == "response.of_tomorrow"]
    assert handed_on == {**nested, "sequence_number": 3}


def test_the_state_of_a_turn_is_for_codex_alone() -> None:
    """Other clients get what the plan has left."""
    for is_codex in (True, False):
        stream = relay(is_codex=is_codex)
        stream.limit_headers = {"x-codex-turn-state": "t", "x-codex-primary-used-percent": "7", "via": "x"}
        stream.feed(encoded(with_own_events(whole_stream())))
        state = {"x-codex-turn-state": "t"} if is_codex else {}
        told_headers = stream.headers()
        assert float(told_headers.pop("x-codex-primary-used-percent")) == 7
        assert {name: told_headers[name] for name in told_headers if "turn" in name} == state
        assert "via" not in told_headers


@pytest.mark.parametrize(
    ("last", "error", "code"),
    [
        (
            {
                "type": "response.failed",
                "response": {"error": {"code": "server_is_overloaded", "message": "busy"}},
            },
            OverloadedError,
            "server_is_overloaded",
        ),
        (
            {"type": "error", "code": "server_is_overloaded", "message": "busy"},
            OverloadedError,
            "server_is_overloaded",
        ),
        (
            {"type": "response.error", "error": {"code": "server_error", "message": "broke"}},
            ServerError,
            "upstream_error",
        ),
        ({"type": "response.cancelled", "response": {}}, StreamFailedError, "upstream_error"),
        ({"type": "response.done", "response": {"status": "cancelled"}}, StreamFailedError, "upstream_error"),
        ({"type": "response.output_text.delta", "delta": 7}, StreamCorruptError, "upstream_error"),
        (None, StreamTruncatedError, "upstream_error"),
    ],
)
def test_a_failure_after_the_first_delta_is_told_and_never_a_clean_end(
    last: Event | None, error: type[Exception], code: str
) -> None:
    """An ``error`` event and ``response.failed``, numbered on, with what was finished until then."""
    stream = relay(framed=False)
    events = [*whole_stream()[:13], *([last] if last else [])]
    raised, sent = failed(encoded(events), stream)
    assert isinstance(raised, error)
    told_of_it = relay_failure(stream, raised)
    got = read([*(json.loads(piece) for piece in sent), *told_of_it])
    assert [event["type"] for event in told_of_it] == ["error", "response.failed"]
    assert told_of_it[0]["code"] == got.response["error"]["code"] == code
    assert [item["type"] for item in got.response["output"]] == ["reasoning"]


def relay_failure(stream: Any, error: Any) -> list[Event]:
    return [json.loads(line) for line in stream.failure_events(error).replace(b"}{", b"}\n{").splitlines()]


def test_an_answer_that_the_backend_cuts_is_incomplete() -> None:
    """It ends with ``response.incomplete`` and its reason, whatever the event was called."""
    for kind in ("response.incomplete", "response.completed", "response.done"):
        events = whole_stream()[:14]
        ended = {
            **RESPONSE,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [],
            "usage": USAGE,
        }
        got = read(told(encoded([*events, {"type": kind, "response": ended}])))
        assert got.response["status"] == "incomplete"
        assert got.response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert got.response["output"][-1]["status"] == "incomplete"
        assert TEXT.startswith(got.text)
        assert got.text


@pytest.mark.parametrize(
    "name", ["as it is", "ends of items alone", "the last event alone", "no ids at all", "no parts"]
)
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 9])
def test_max_output_tokens_ends_the_answer(name: str, limit: int) -> None:
    """Text and arguments count, about four characters to a token; what is open ends as incomplete."""
    stream = relay(framed=False, cut_at=CutAt(max_tokens=limit), input_tokens=lambda: 70)
    got = read(told(encoded(CHANGES[name](whole_stream())), stream))
    assert got.response["status"] == "incomplete"
    assert got.response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert len(got.text) + sum(len(arguments) for _, _, arguments in got.calls) == limit * 4
    if name != "the last event alone":
        assert got.response["usage"]["input_tokens"] == 70
        assert got.response["usage"]["output_tokens"] == limit
        assert stream.usage is not None
        assert stream.usage.completion_tokens == limit


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    """The answer is complete, with the backend's own count of tokens."""
    got = read(told(encoded(whole_stream()), relay(framed=False, cut_at=CutAt(max_tokens=1_000))))
    assert (got.text, got.calls, got.response["status"]) == (TEXT, CALLS, "completed")
    assert got.response["usage"]["output_tokens"] == USAGE["output_tokens"]


def test_the_response_repeats_what_the_client_said() -> None:
    """Not what the backend was told, nor what it told back."""
    echo = {"instructions": "Be brief", "metadata": {"a": "b"}, "temperature": 0.3, "store": False}
    events = whole_stream()
    for event in (*events[:2], events[-1]):
        event["response"] |= {"instructions": "other", "store": False, "metadata": {}, "top_p": 0.98}
    for event in told(encoded(events), relay(framed=False, echo=echo)):
        if "response" in event:
            assert {name: event["response"][name] for name in echo} == echo
            assert event["response"]["top_p"] == 1.0


def test_refusals_custom_tools_and_items_of_tomorrow_are_handed_on() -> None:
    """Whatever kind an item is of, it has its id and its place."""
    refusal = {"type": "refusal", "refusal": "I will not"}
    items = [
        {"type": "message", "id": "m", "role": "assistant", "content": [refusal]},
        {"type": "custom_tool_call", "id": "c", "call_id": "call_9", "name": "patch", "input": "*** Begin"},
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}},
        {"type": "of_tomorrow", "id": "t", "anything": [1]},
    ]
    end = {"type": "response.completed", "response": {**RESPONSE, "output": [], "usage": USAGE}}
    searching = {"type": "response.web_search_call.searching", "item_id": "ws", "output_index": 2}
    opening = whole_stream()[0]
    events = [opening, *(done(index, item) for index, item in enumerate(items)), end]
    with_search = [opening, added(2, items[2]), searching, *events[1:]]
    for some in (events, with_search):
        got = read(told(encoded(some)))
        assert {item["id"] for item in got.response["output"]} == {"m", "c", "ws", "t"}
        assert got.calls == [("call_9", "patch", "*** Begin")]


def test_events_of_an_earlier_answer_are_not_handed_on() -> None:
    """Over one WebSocket they may come late, after the next answer has begun."""
    stream = relay(framed=False)
    stream.earlier = {"resp_0", "msg_0"}
    part = {"item_id": "msg_0", "output_index": 0, "content_index": 0, "part": {"type": "output_text"}}
    late = [
        {"type": "response.content_part.done", **part},
        {"type": "response.completed", "response": {"id": "resp_0", "output": []}},
        {"type": "response.in_progress", "response": {"id": "resp_0"}},
    ]
    events = whole_stream()
    got = read(told(encoded([*events[:3], *late, *events[3:]]), stream))
    assert (got.text, got.response["id"]) == (TEXT, "resp_1")


def test_an_index_that_is_nonsense_is_not_taken_over() -> None:
    """A backend's index does not make the client wait for items in between."""
    for index in (7, -1, 10**12):
        events = [
            whole_stream()[0],
            {**done(index, message("hi", "m"))},
            {**done(index, message("ho", "n"))},
            {"type": "response.completed", "response": {**RESPONSE, "output": []}},
        ]
        got = read(told(encoded(events)))
        assert got.text == "hiho"
    error, _ = failed(encoded([whole_stream()[0], {**done(0, message("hi")), "output_index": "x"}]), relay())
    assert isinstance(error, StreamCorruptError)


def test_two_items_with_one_id_stay_two() -> None:
    """Each has an id of its own for the client."""
    items = [call(0, is_done=True) | {"id": "same"}, message("hi", "same")]
    events = [
        whole_stream()[0],
        *(done(index, item) for index, item in enumerate(items)),
        {"type": "response.completed", "response": {**RESPONSE, "output": []}},
    ]
    got = read(told(encoded(events)))
    assert (got.text, got.calls) == ("hi", CALLS[:1])


def test_endless_items_and_parts_end() -> None:
    """A backend cannot fill the memory with them: what was finished until then is told with the error."""
    events = (done(number, message("hi", f"m{number}")) for number in range(20_000))
    error, sent = failed(encoded([whole_stream()[0], *events]), relay(framed=False))
    assert isinstance(error, StreamCorruptError)
    assert len(sent) < 100_000

    part = {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0}
    parts = ({**part, "content_index": number, "part": text_part("")} for number in range(20_000))
    error, _ = failed(encoded([whole_stream()[0], added(0, message("")), *parts]), relay())
    assert isinstance(error, StreamCorruptError)


def test_an_event_that_only_the_relay_cannot_read_is_an_error() -> None:
    """Not an exception of another kind, which no program expects."""
    stream = relay()
    stream.earlier = {"resp_0"}
    error, _ = failed(encoded([{"type": "response.created", "response": {"id": ["resp_1"]}}]), stream)
    assert isinstance(error, StreamCorruptError)


def test_a_header_holds_only_what_headers_can() -> None:
    """What the backend says of limits in an event becomes headers, unless it is something else."""
    limits = {"primary": {"used_percent": 7, "window_minutes": 300}}
    evil = {"type": "codex.rate_limits", "plan_type": "plus\r\nx-evil: 1", "rate_limits": limits}
    stream = relay()
    stream.feed(encoded([whole_stream()[0], evil, *whole_stream()[1:]]))
    headers = stream.headers()
    assert headers["x-codex-primary-used-percent"] in ("7", "7.0")
    assert all((name + value).isprintable() for name, value in headers.items())


def test_an_answer_that_is_cut_ends_what_is_open() -> None:
    """The text, its part and its item, one after the other, as if the backend had ended them."""
    events = told(encoded(whole_stream()), relay(framed=False, cut_at=CutAt(max_tokens=2)))
    assert [event["type"] for event in events[-4:]] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert events[-4]["text"] == events[-3]["part"]["text"] == TEXT[:8]
    assert events[-2]["item"]["content"][0]["text"] == TEXT[:8]


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"type":"codex.rate_limits","plan_type":"\\ud800"}',
        b'{"type":"response.metadata","headers":1e999}',
    ],
    ids=["half a character", "a number"],
)
def test_a_damaged_event_of_the_backend_s_own_ends_the_stream(damaged: bytes) -> None:
    """It could have said anything; what came before it stays."""
    events = encoded(whole_stream())
    whole = told_bytes(events, relay(framed=False))
    error, got = failed([*events[:9], damaged, *events[9:]], relay(framed=False))
    assert isinstance(error, StreamCorruptError)
    assert got == whole[: len(got)]
    assert len(got) == 9


def test_a_failure_over_a_websocket_is_one_event() -> None:
    """With what was complete by then, and the number after the last one."""
    stream = relay(framed=False)
    got = stream.feed(encoded(whole_stream()[:11]))
    last = json.loads(stream.failed_event(ServerError("It failed.")))
    assert (last["type"], last["sequence_number"]) == ("response.failed", len(got))
    assert last["response"]["error"]["code"] == "upstream_error"
    assert last["response"]["error"]["message"].startswith("It failed.")
    assert [item["id"] for item in last["response"]["output"]] == ["rs_1"]


def test_the_answer_for_programs_is_made_once() -> None:
    """It is asked for at several places."""
    stream = relay(framed=False)
    told_bytes(encoded(whole_stream()), stream)
    assert stream.response is not None
    assert stream.response is stream.response


@pytest.mark.parametrize("left_out", [(), ("logprobs",), ("sequence_number",)], ids=str)
def test_text_is_told_as_it_comes(left_out: tuple[str, ...]) -> None:
    """Every piece at once, also of backends that leave out fields, and none is kept for the end."""
    stream = relay(framed=False)
    events = without(*left_out)(whole_stream())
    for event, payload in zip(events, encoded(events), strict=True):
        pieces = [json.loads(piece) for piece in stream.feed([payload])]
        if event["type"] == "response.output_text.delta":
            assert [piece["delta"] for piece in pieces] == [event["delta"]]
