"""Which item an event belongs to, however servers name their items; and what makes an item whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onplan.errors import StreamCorruptError
from onplan.types import (
    ContentPart,
    FinishReason,
    Refusal,
    StreamChunk,
    Text,
    Thinking,
    ToolCall,
    ToolCallStart,
)

Event = dict[str, Any]


def said(*texts: str, **fields: Any) -> Event:
    content = [{"type": "output_text", "text": text} for text in texts]
    return {"type": "message", "content": content, **fields}


def call(arguments: Any, **fields: Any) -> Event:
    return {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments, **fields}


def event(kind: str, content: Event, item_id: str | None = None, index: int | None = None) -> Event:
    return {"type": f"response.{kind}", "item_id": item_id, "output_index": index, **content}


def text(delta: str, item_id: str | None = None, index: int | None = None, part: int = 0) -> Event:
    return event("output_text.delta", {"delta": delta, "content_index": part}, item_id, index)


def text_done(whole: str, item_id: str | None = None, index: int | None = None, part: int = 0) -> Event:
    return event("output_text.done", {"text": whole, "content_index": part}, item_id, index)


def arguments(delta: str, item_id: str | None = None, index: int | None = None) -> Event:
    return event("function_call_arguments.delta", {"delta": delta}, item_id, index)


def arguments_done(whole: str, item_id: str | None = None, index: int | None = None) -> Event:
    return event("function_call_arguments.done", {"arguments": whole}, item_id, index)


def added(item: Event, index: int | None = None) -> Event:
    return event("output_item.added", {"item": item}, index=index)


def done(item: Event, index: int | None = None) -> Event:
    return event("output_item.done", {"item": item}, index=index)


def completed(*output: Event, **fields: Any) -> Event:
    return {"type": "response.completed", "response": {"id": "r", "output": list(output), **fields}}


CUT: Event = {
    "type": "response.incomplete",
    "response": {"id": "r", "output": [], "incomplete_details": {"reason": "max_output_tokens"}},
}
SERVER_TOOL: Event = {"type": "computer_call", "id": "ws"}

# By id, by index, by kind: the events, and the parts of the answer.
ITEMS: dict[str, tuple[list[Event], list[ContentPart]]] = {
    "an item without a type is what its deltas are": (
        [added({"id": "x"}, 0), text("Hel", "x"), text("lo", "x"), completed()],
        [Text("Hello")],
    ),
    "its deltas may come without id and index": (
        [added({"id": "x"}), text("Hel", "x"), text("lo"), completed()],
        [Text("Hello")],
    ),
    "an item without id and type has the id of its first delta": (
        [added({}, 0), text("Hel", "y", 0), text("lo", "y"), completed()],
        [Text("Hello")],
    ),
    "an item without a type is what it is in the end": (
        [added({"id": "m"}), done(said("Hello", id="m")), completed()],
        [Text("Hello")],
    ),
    "an id in each event, one index": (
        [added(said(id="a"), 0), text("Hel", "b", 0), text("lo", "c", 0), done(said("Hello", id="d"), 0)],
        [Text("Hello")],
    ),
    "one index for two items of two kinds": (
        [text("Hello", "m", 0), arguments("{}", "f", 0), done(call("{}", id="f"), 0), completed()],
        [Text("Hello"), ToolCall("c", "f", "{}")],
    ),
    "one index for two finished items": (
        [done(said("One", id="a"), 0), text("Two", "b", 0), done(said("Two", id="b"), 0)],
        [Text("One"), Text("Two")],
    ),
    "one that had no name, and then has": (
        [added({"type": "message"}), added(said(id="a"), 0), text("One", "a"), text("Two", "b", 1)],
        [Text("One"), Text("Two")],
    ),
    "one without a name is the latest of its kind": (
        [done(said("One")), added(said()), text("Two"), completed()],
        [Text("One"), Text("Two")],
    ),
    "one without a name again, with the same content": (
        [done(said("One"), 0), done(said("One"), 0)],
        [Text("One")],
    ),
    "one without a name again, with other content": (
        [done(said("One"), 0), done(said("Two"), 0)],
        [Text("One"), Text("Two")],
    ),
    "a tool of the server again": ([done(SERVER_TOOL, 0), done({"type": "computer_call"}, 0)], []),
    "one of a kind that is not known": (
        [added({**SERVER_TOOL, "id": "x"}), done({"type": "x_call", "id": "x"}), done(said("One", id="m"))],
        [Text("One")],
    ),
    "a kind that is not known, with the fields of a call": (
        [added({"type": "mcp_call", "id": "m", "call_id": "c", "name": "f"}), done(call("{}", id="fc"))],
        [ToolCall("c", "f", "{}")],
    ),
    "a text under the name of one that was heard": (
        [done({"type": "message", "content": [{"type": "input_text", "text": "One"}]})],
        [Text("One")],
    ),
    "texts and thinking by their ends alone": (
        [
            event("reasoning_text.done", {"text": "hm", "content_index": 0}, "r"),
            event("reasoning_text.done", {"text": "oh", "content_index": 1}, "r"),
            event("reasoning_summary_text.done", {"text": "ah", "summary_index": 0}, "s"),
            event("reasoning_summary_text.done", {"text": "eh", "summary_index": 1}, "s"),
            text_done("One", "m"),
            text_done("Two", "m", part=1),
            event("refusal.done", {"refusal": "No", "content_index": 2}, "m"),
        ],
        [Thinking("hm\n\noh"), Thinking("ah\n\neh"), Text("One"), Text("Two"), Refusal("No")],
    ),
    "an output that repeats all": (
        [done(said("One", id="a")), done(call("{}", id="b")), completed(said("One", id="a"), call("{}"))],
        [Text("One"), ToolCall("c", "f", "{}")],
    ),
    "an output without ids": (
        [done(said("One")), done(said("Two")), completed(said("One"), said("Two"))],
        [Text("One"), Text("Two")],
    ),
    "an output with the same twice": (
        [done(said("One")), done(said("One", id="b")), completed(said("One"), said("One"))],
        [Text("One"), Text("One")],
    ),
    "an output with one more": (
        [done(said("One", id="a"), 0), completed(said("One", id="x"), said("Two", id="y"))],
        [Text("One"), Text("Two")],
    ),
    "an output with another text under another id": (
        [done(said("One", id="a"), 0), completed(said("Two", id="b"))],
        [Text("One"), Text("Two")],
    ),
    "an output whose item is still arriving": (
        [added(said(id="a"), 0), text("Hel", "a", 0), completed(said("Hello", id="b"))],
        [Text("Hello")],
    ),
    "an output without a text that came": (
        [text("Hello", "a", 0), completed(call("{}"))],
        [Text("Hello"), ToolCall("c", "f", "{}")],
    ),
    "an output that is null": ([done(said("One")), completed(output=None)], [Text("One")]),
}


@pytest.mark.parametrize(("events", "parts"), ITEMS.values(), ids=ITEMS)
def test_whose_an_event_is(events: list[Event], parts: list[ContentPart], listen: Callable[..., Any]) -> None:
    """Each event is counted to one item, by the best name that it has."""
    last = [] if events[-1]["type"] == "response.completed" else [completed()]
    heard = listen(*events, *last)

    assert heard.failure is None
    assert heard.parts == parts
    assert heard.text == "".join(part.text for part in parts if isinstance(part, Text))
    assert len(heard.of("tool_call_start")) == sum(isinstance(part, ToolCall) for part in parts)


CALLS: dict[str, list[Event]] = {
    "announced, then told by the event that it is whole": [
        arguments("{}", "fc"),
        added(call("", id="fc")),
        arguments_done("{}", "fc"),
    ],
    "announced whole": [added(call("{}"))],
    "announced with its beginning": [added(call("{", id="fc")), arguments("{}", "fc")],
    "its id comes at the end": [
        added(call("", id="fc", call_id=None)),
        arguments("{}", "fc"),
        done(call("{}", id="fc")),
    ],
    "again": [done(call("{}")), done(call("{}"))],
    "again without arguments": [done(call("{}")), done(call(""))],
    "again without a name": [done(call("{}")), done(call("{}", name=None))],
    "again without a type": [done(call("{}")), done(call("{}", type=None))],
}


@pytest.mark.parametrize("events", CALLS.values(), ids=CALLS)
def test_a_call_that_is_whole(events: list[Event], listen: Callable[..., Any]) -> None:
    """It comes out once, with one beginning and its arguments as they were streamed."""
    heard = listen(*events, completed())

    assert heard.failure is None
    assert heard.parts == [ToolCall("c", "f", "{}")]
    assert heard.of("tool_call_start") == [ToolCallStart("c", "f")]
    assert heard.arguments("c") == "{}"


def test_arguments_that_are_no_json_are_the_models(listen: Callable[..., Any]) -> None:
    """What the server calls whole is handed on; a repetition is the same call."""
    broken = call('{"a', id="fc")
    for events in (
        [done(broken), done(broken)],
        [added(call("", id="fc")), arguments('{"a', "fc"), arguments_done('{"a', "fc")],
    ):
        heard = listen(*events, completed())
        assert heard.failure is None
        assert heard.parts == [ToolCall("c", "f", '{"a')]


CORRUPT: dict[str, list[Event]] = {
    "a call without arguments": [added(call(""))],
    "a call that was cut": [done(call("{}", status="incomplete"))],
    "a call that ends before its arguments do": [added(call("", id="fc")), arguments('{"a', "fc")],
    "two calls with one id": [done(call("{}")), done(call('{"a":1}', type=None))],
    "arguments of which neither is JSON": [
        added(call("", id="fc")),
        arguments("one", "fc"),
        done(call("other", id="fc")),
    ],
    "a text that says the same JSON otherwise": [text('{"a": 1}', "m"), done(said('{"a":1}', id="m"))],
    "more text after the item": [done(said("One", id="m")), text("Two", "m")],
    "texts by turns": [text("a", "m"), text_done("a", "m"), text("b", "m", part=1), text("c", "m")],
    "thinking after that of a later message": [
        text("a", "m"),
        done({"type": "message", "id": "n", "content": [{"type": "reasoning_text", "text": "hm"}]}),
        done(
            {
                "type": "message",
                "id": "m",
                "content": [{"type": "output_text", "text": "a"}, {"type": "reasoning_text", "text": "oh"}],
            }
        ),
    ],
}


@pytest.mark.parametrize("events", CORRUPT.values(), ids=CORRUPT)
def test_what_cannot_be_an_answer(events: list[Event], listen: Callable[..., Any]) -> None:
    """An error, and no call is handed out that might be another."""
    heard = listen(*events, completed())

    assert isinstance(heard.failure, StreamCorruptError)
    assert not heard.of("done")


def test_text_that_goes_on_after_its_end_is_the_same_text(listen: Callable[..., Any]) -> None:
    """A section that was called whole and is not holds back the one after it, as before."""
    heard = listen(
        text("He", "m"),
        text_done("He", "m"),
        text("llo", "m"),
        text("x", "m", part=1),
        text_done("x", "m", part=1),
        text("!", "m"),
        done(said("Hello!", "x", id="m")),
        completed(),
    )

    assert heard.failure is None
    assert heard.parts == [Text("Hello!"), Text("x")]
    assert heard.text == "Hello!x"


CUT_OFF: dict[str, tuple[list[Event], list[ContentPart]]] = {
    "text": ([text("Hel", "m")], [Text("Hel")]),
    "text after thinking": (
        [done({"type": "reasoning", "summary": ["Hm."]}), text("Hel", "m")],
        [Thinking("Hm."), Text("Hel")],
    ),
    "a refusal": ([event("refusal.delta", {"delta": "No"}, "m")], [Refusal("No")]),
    "a call": ([added(call("", id="fc")), arguments('{"a', "fc")], []),
    "a call that says so": ([done(call('{"a', status="incomplete"))], []),
    "a call that says so twice": ([done(call('{"a', status="incomplete"))] * 2, []),
    "a finished call": ([done(call("{}"))], [ToolCall("c", "f", "{}")]),
    "a finished call of broken JSON": ([done(call('{"a'))], []),
}


@pytest.mark.parametrize(("events", "parts"), CUT_OFF.values(), ids=CUT_OFF)
@pytest.mark.parametrize("again", [False, True], ids=["no output", "with output"])
def test_what_is_left_of_an_answer_that_was_cut(
    events: list[Event], parts: list[ContentPart], again: bool, listen: Callable[..., Any]
) -> None:
    """What was said, and no call that may have been cut; the same if the last event repeats the items."""
    items = [each["item"] for each in events if each["type"] == "response.output_item.done"]
    usage = {"input_tokens": 3, "output_tokens": 2}
    end = {**CUT, "response": {**CUT["response"], "output": items if again else [], "usage": usage}}
    heard = listen(*events, end)

    assert heard.failure is None
    assert heard.parts == parts
    assert heard.done.finish_reason is FinishReason.LENGTH
    assert (heard.done.usage.prompt_tokens, heard.done.usage.completion_tokens) == (3, 2)


def test_what_comes_only_with_the_end_of_a_cut_answer(listen: Callable[..., Any]) -> None:
    """Its texts count; a call that no event told before may have been cut."""
    heard = listen({**CUT, "response": {**CUT["response"], "output": [said("Hel"), call("{}")]}})

    assert heard.failure is None
    assert heard.parts == [Text("Hel")]


def test_chunks_of_a_call_that_is_announced_late(listen: Callable[..., Any]) -> None:
    """Its first arguments wait for its id and its name."""
    heard = listen(arguments('{"a"', "fc"), added(call("", id="fc")), arguments(":1}", "fc"))
    chunks: list[StreamChunk] = heard.chunks

    assert [chunk.type for chunk in chunks] == ["tool_call_start", "tool_call_delta", "tool_call_delta"]
    assert heard.arguments("c") == '{"a":1}'


def test_a_call_without_arguments_says_so(listen: Callable[..., Any]) -> None:
    """In place of a guess at what they would have been."""
    assert "without its arguments" in str(listen(added(call("")), completed()).failure)
