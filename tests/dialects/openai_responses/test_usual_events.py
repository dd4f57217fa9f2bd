"""What comes usually next in a stream, event by event: the first one that differs is found at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.dialects.openai_responses.relay_options import RelayOptions
from onplan.dialects.openai_responses.usual_stream import UsualStream

from .streams import TEXT, USAGE, Event, added, call, encoded, message, numbered, whole_stream

# Where the events of `whole_stream` are.
CREATED, IN_PROGRESS, THOUGHT_ADDED, SUMMARY_ADDED, SUMMARY_DELTA = range(5)
SUMMARY_TEXT, SUMMARY_DONE, THOUGHT_DONE, MESSAGE_ADDED, PART_ADDED, TEXT_DELTA = range(6, 12)
TEXT_DONE, PART_DONE, MESSAGE_DONE, CALL_ADDED, OTHER_CALL_ADDED, ARGUMENTS_DELTA = range(15, 21)
ARGUMENTS_DONE, OTHER_ARGUMENTS_DONE, CALL_DONE, OTHER_CALL_DONE, COMPLETED = 22, 25, 26, 27, 28
DELETED = object()


def first_odd(events: list[Event], earlier: tuple[str, ...] = ()) -> int:
    """The place of the first event that is not as usual; the number of events if all are."""
    stream = UsualStream("gpt-5.5", None, dict.fromkeys(earlier), RelayOptions())
    return stream.take(encoded(events))


def changed(place: int, path: str, value: Any) -> list[Event]:
    """The stream with one field of one event changed, or left out."""
    events: list[Event] = json.loads(json.dumps(whole_stream()))  # whose objects are shared
    *outer, name = path.split(".")
    inside: Any = events[place]
    for each in outer:
        inside = inside[int(each) if each.isdigit() else each]
    if value is DELETED:
        del inside[name]
    else:
        inside[name] = value
    return events


def test_the_names_of_the_places() -> None:
    """They fit the stream."""
    events = whole_stream()
    assert events[CREATED]["type"] == "response.created"
    assert events[SUMMARY_TEXT]["type"] == "response.reasoning_summary_text.done"
    assert events[TEXT_DONE]["type"] == "response.output_text.done"
    assert events[MESSAGE_DONE]["type"] == events[CALL_DONE]["type"] == "response.output_item.done"
    assert events[ARGUMENTS_DELTA]["type"] == "response.function_call_arguments.delta"
    assert events[ARGUMENTS_DONE]["type"] == "response.function_call_arguments.done"
    assert events[OTHER_ARGUMENTS_DONE]["type"] == "response.function_call_arguments.done"
    assert events[COMPLETED]["type"] == "response.completed"


def test_a_whole_stream_is_as_usual() -> None:
    """And so is one that is taken in several calls; what comes after its end is not looked at."""
    events = whole_stream()
    assert first_odd(events) == len(events)
    assert first_odd([*events, {"type": "of tomorrow"}]) == len(events) + 1
    stream = UsualStream("gpt-5.5", None, {}, RelayOptions())
    for event in encoded(events):
        assert stream.take([event]) == 1
    assert stream.take(encoded(events), len(events)) == len(events)


def test_nothing_after_the_end_is_handed_on() -> None:
    """The answer is complete, and the rest of the same read is nobody's."""
    stream, events = UsualStream("gpt-5.5", None, {}, RelayOptions(framed=False)), encoded(whole_stream())
    stream.take([*events, *events[TEXT_DELTA : TEXT_DELTA + 1]])
    assert len(stream.taken()) == len(events)


CHANGES: list[tuple[int, str, Any]] = [
    *((CREATED, "response.id", value) for value in (DELETED, None, "", 5)),
    *((CREATED, "response.model", value) for value in ("", 5)),
    (CREATED, "response.usage", {}),
    (CREATED, "response", DELETED),
    (CREATED, "type", "of tomorrow"),
    *((IN_PROGRESS, "response.id", value) for value in (DELETED, "resp_2", 5)),
    (IN_PROGRESS, "type", "response.created"),
    (THOUGHT_ADDED, "item.summary", [{"type": "summary_text", "text": "a"}]),
    (THOUGHT_ADDED, "item.summary", DELETED),
    (THOUGHT_ADDED, "item.content", [{"type": "reasoning_text", "text": "a"}]),
    (THOUGHT_ADDED, "item.id", ""),
    (THOUGHT_ADDED, "item.type", "of tomorrow"),
    (THOUGHT_ADDED, "output_index", 1),
    (THOUGHT_ADDED, "output_index", DELETED),
    (SUMMARY_ADDED, "summary_index", 1),
    (SUMMARY_ADDED, "item_id", "rs_2"),
    (SUMMARY_ADDED, "output_index", 1),
    (SUMMARY_ADDED, "part.text", "a"),
    (SUMMARY_ADDED, "part.type", "output_text"),
    (SUMMARY_DELTA, "summary_index", 1),
    (SUMMARY_DELTA, "delta", 5),
    (SUMMARY_TEXT, "text", "Let me"),
    (SUMMARY_TEXT, "item_id", "rs_2"),
    (SUMMARY_DONE, "part.text", "Let me"),
    (SUMMARY_DONE, "item_id", "rs_2"),
    (SUMMARY_DONE, "summary_index", 1),
    (THOUGHT_DONE, "item.id", "rs_2"),
    (THOUGHT_DONE, "item.summary", []),
    (THOUGHT_DONE, "item.summary.0.type", "output_text"),
    (THOUGHT_DONE, "item.content", [{"type": "reasoning_text", "text": "a"}]),
    (THOUGHT_DONE, "item.type", "message"),
    (THOUGHT_DONE, "output_index", 1),
    (MESSAGE_ADDED, "item.role", "user"),
    (MESSAGE_ADDED, "item.role", DELETED),
    (MESSAGE_ADDED, "item.content", [{"type": "output_text", "text": ""}]),
    (MESSAGE_ADDED, "item.content", DELETED),
    (MESSAGE_ADDED, "item.status", "completed"),
    (MESSAGE_ADDED, "item.id", "rs_1"),
    (MESSAGE_ADDED, "output_index", 0),
    (PART_ADDED, "content_index", 1),
    (PART_ADDED, "part.text", "a"),
    (PART_ADDED, "part.type", "refusal"),
    (PART_ADDED, "item_id", DELETED),
    (TEXT_DELTA, "content_index", 1),
    (TEXT_DELTA, "content_index", DELETED),
    (TEXT_DELTA, "item_id", "msg_2"),
    (TEXT_DELTA, "output_index", 0),
    (TEXT_DELTA, "delta", None),
    (TEXT_DELTA, "logprobs", DELETED),
    (TEXT_DELTA, "arguments", {}),
    (TEXT_DONE, "text", TEXT[:-1]),
    (TEXT_DONE, "content_index", 1),
    (TEXT_DONE, "item_id", "msg_2"),
    (TEXT_DONE, "output_index", 0),
    (TEXT_DONE, "logprobs", DELETED),
    (TEXT_DONE, "arguments", {}),
    (PART_DONE, "part.text", TEXT[:-1]),
    (PART_DONE, "part.type", "refusal"),
    (PART_DONE, "content_index", 1),
    (PART_DONE, "item_id", "msg_2"),
    (PART_DONE, "arguments", {}),
    (MESSAGE_DONE, "item.content", []),
    (MESSAGE_DONE, "item.content.0.text", TEXT[:-1]),
    (MESSAGE_DONE, "item.content.0.type", "refusal"),
    (MESSAGE_DONE, "item.content.0.annotations", DELETED),
    (MESSAGE_DONE, "item.content.0.logprobs", DELETED),
    (MESSAGE_DONE, "item.status", "incomplete"),
    (MESSAGE_DONE, "item.id", "msg_2"),
    (MESSAGE_DONE, "output_index", 0),
    (CALL_ADDED, "item.arguments", "{}"),
    (CALL_ADDED, "item.status", "completed"),
    *((CALL_ADDED, f"item.{name}", "") for name in ("id", "call_id", "name")),
    (OTHER_CALL_ADDED, "item.call_id", "call_1"),
    (OTHER_CALL_ADDED, "item.id", "fc_0"),
    (ARGUMENTS_DELTA, "item_id", "fc_1"),
    (ARGUMENTS_DELTA, "output_index", 9),
    (ARGUMENTS_DELTA, "output_index", -1),
    (ARGUMENTS_DONE, "arguments", "{}"),
    (ARGUMENTS_DONE, "arguments", {"city": "Oslo"}),
    (ARGUMENTS_DONE, "item_id", "fc_1"),
    (CALL_DONE, "item.arguments", "{}"),
    (CALL_DONE, "item.call_id", "call_2"),
    (CALL_DONE, "item.name", "other"),
    (CALL_DONE, "item.status", "incomplete"),
    (COMPLETED, "response.status", "incomplete"),
    (COMPLETED, "response.id", "resp_2"),
    (COMPLETED, "response.model", 5),
    (COMPLETED, "response.error", {"code": "x"}),
    (COMPLETED, "response.incomplete_details", {"reason": "x"}),
    (COMPLETED, "response.usage", DELETED),
    (COMPLETED, "response.output.1.content.0.text", "other"),
    (COMPLETED, "error", {"code": "x"}),
    (COMPLETED, "type", "response.done"),
]


def _name(value: object) -> str:
    """How pytest calls a case: the same in each of its processes."""
    return "deleted" if value is DELETED else str(value)[:40]


@pytest.mark.parametrize(("place", "path", "value"), CHANGES, ids=_name)
def test_the_first_odd_event_is_found(place: int, path: str, value: Any) -> None:
    """Each field that clients or the assembler read is looked at."""
    assert first_odd(changed(place, path, value)) == place


@pytest.mark.parametrize("place", [*range(COMPLETED)])
def test_no_event_comes_twice(place: int) -> None:
    """A delta that does shows when its text ends."""
    events = numbered([*whole_stream()[: place + 1], *whole_stream()[place:]])
    is_delta = events[place]["type"].endswith(".delta")
    found = first_odd(events)
    assert found < len(events)
    if not is_delta:
        assert found == place + 1


# These say nothing that is not said once more; clients get them with what follows, or not at all.
SPARE = (IN_PROGRESS, SUMMARY_DONE, PART_DONE)


@pytest.mark.parametrize("place", range(COMPLETED))
def test_an_event_that_is_missing_is_noticed(place: int) -> None:
    """Unless it is the second announcement, or the end of a part, which not all backends send."""
    events = whole_stream()
    del events[place]
    assert (first_odd(numbered(events)) == len(events)) is (place in SPARE)


def test_the_second_announcement_may_be_missing() -> None:
    """It says nothing new; after the first item it is none."""
    events = whole_stream()
    late = events.pop(IN_PROGRESS)
    assert first_odd(numbered(events)) == len(events)
    assert first_odd(numbered([*events[:3], late, *events[3:]])) == 3


@pytest.mark.parametrize("known", ["resp_1", "rs_1", "msg_1", "fc_0", "call_1"])
def test_an_id_of_an_earlier_answer_is_odd(known: str) -> None:
    """Late events of an answer before this one are left out, which needs a careful look."""
    places = {"resp_1": CREATED, "rs_1": THOUGHT_ADDED, "msg_1": MESSAGE_ADDED}
    assert first_odd(whole_stream(), earlier=(known,)) == places.get(known, CALL_ADDED)


@pytest.mark.parametrize("output", [None, [], "as streamed", "left out"])
def test_the_last_event_may_repeat_the_items(output: Any) -> None:
    """As they were, or not at all."""
    events = whole_stream()
    if output == "left out":
        del events[COMPLETED]["response"]["output"]
    elif output != "as streamed":
        events[COMPLETED]["response"]["output"] = output
    assert first_odd(events) == len(events)


def test_only_calls_arrive_at_once() -> None:
    """A call beside an open text, and a text beside an open call, would have to be put into an order."""
    events = whole_stream()
    inside = [*events[: TEXT_DELTA + 1], added(2, call(0, is_done=False))]
    assert first_odd(numbered(inside)) == len(inside) - 1
    beside = [*events[: CALL_ADDED + 1], added(3, message("", "msg_2"))]
    assert first_odd(numbered(beside)) == len(beside) - 1
    assert first_odd(numbered([*events[: CALL_ADDED + 2]])) == CALL_ADDED + 2


def custom(text: str, status: str) -> Event:
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_9", "name": "patch"}
    return {**item, "status": status, "input": text}


@pytest.mark.parametrize(
    ("begun", "is_usual"),
    [
        (custom("", "in_progress"), True),
        (custom("x", "in_progress"), False),
        (custom("", "completed"), False),
    ],
)
def test_a_custom_call_begins_empty(begun: Event, *, is_usual: bool) -> None:
    """As calls of functions do."""
    events = [*whole_stream()[:2], added(0, begun)]
    assert first_odd(numbered(events)) == (3 if is_usual else 2)


def test_an_answer_without_content_is_odd() -> None:
    """A thought alone, or a text of nothing, may be one that was lost."""
    events = whole_stream()

    def ended(count: int) -> list[Event]:
        last = {**events[COMPLETED]["response"], "output": None, "usage": USAGE}
        return [*events[:count], {**events[COMPLETED], "response": last}]

    assert first_odd(numbered(ended(MESSAGE_ADDED))) == MESSAGE_ADDED
    assert first_odd(numbered(ended(MESSAGE_DONE + 1))) == MESSAGE_DONE + 2
    assert first_odd(numbered(ended(MESSAGE_DONE))) == MESSAGE_DONE
