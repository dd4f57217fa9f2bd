"""Custom tools over the Responses API: how they are offered, how their calls arrive, what goes back."""

from __future__ import annotations

import pytest

from onplan.errors import StreamCorruptError
from onplan.responses.items import input_items
from onplan.types import FinishReason, Message, Text, ToolCall, ToolCallDelta, ToolCallStart

CREATED = {"type": "response.created", "response": {"id": "resp_1"}}
USAGE = {"input_tokens": 1, "output_tokens": 5, "total_tokens": 6}
PATCH = "*** Begin Patch\n{not json"
CALL = ToolCall("call_1", "apply_patch", PATCH, is_custom=True)


def item(said=PATCH, **fields):
    call = {
        "type": "custom_tool_call",
        "id": "ctc_1",
        "call_id": "call_1",
        "name": "apply_patch",
        "input": said,
    }
    return {name: value for name, value in {**call, **fields}.items() if value is not None}


def added(**fields):
    return {"type": "response.output_item.added", "output_index": 0, "item": item("", **fields)}


def delta(text, **where):
    where = where or {"item_id": "ctc_1", "output_index": 0}
    return {"type": "response.custom_tool_call_input.delta", "delta": text, **where}


def whole(text=PATCH, **where):
    where = where or {"item_id": "ctc_1", "output_index": 0}
    return {"type": "response.custom_tool_call_input.done", "input": text, **where}


def done(said=PATCH, **fields):
    return {"type": "response.output_item.done", "output_index": 0, "item": item(said, **fields)}


def completed(*output, **fields):
    response = {"id": "resp_1", "status": "completed", "output": list(output), "usage": USAGE}
    return {"type": "response.completed", "response": {**response, **fields}}


PIECES = (delta(PATCH[:5]), delta(PATCH[5:]))
WHOLE = {
    "as the service sends it": [added(), *PIECES, whole(), done(), completed(item())],
    "without deltas": [added(), whole(), done(), completed()],
    "in the finished item alone": [added(), done(), completed()],
    "in the finished response alone": [completed(item())],
    "with deltas and no end of them": [added(), *PIECES, done(), completed()],
    "with the end of deltas alone": [added(), *PIECES, whole(), completed()],
    "without a beginning": [*PIECES, done(), completed()],
    "by index": [added(), delta(PATCH, output_index=0), done(id="other"), completed()],
    "by its call id": [added(), {**done(id="other"), "output_index": None}, completed(item(id="third"))],
    "by elimination": [added(id=None), delta(PATCH, output_index=None), done(id=None), completed()],
    "again": [added(), done(), done(), completed(item())],
    "again without its text": [added(), done(), completed(item(None))],
}


@pytest.mark.parametrize("events", WHOLE.values(), ids=WHOLE)
def test_a_call_is_whole_however_it_arrives(events, listen):
    """Its text reaches the program as the model wrote it, in chunks that say of what kind it is."""
    heard = listen(CREATED, *events)
    assert heard.done.response.message.content == [CALL]
    assert heard.done.finish_reason is FinishReason.TOOL_CALLS
    assert heard.of("tool_call_start") == [ToolCallStart("call_1", "apply_patch", is_custom=True)]
    assert heard.arguments("call_1") == PATCH
    assert [chunk.type for chunk in heard.chunks[-3:]] == ["tool_call_end", "part_done", "done"]


def test_its_pieces_are_streamed(listen):
    """Each as it comes, and none again at the end."""
    heard = listen(CREATED, added(), *PIECES, whole(), done(), completed(item()))
    assert heard.of("tool_call_delta") == [
        ToolCallDelta("call_1", PATCH[:5]),
        ToolCallDelta("call_1", PATCH[5:]),
    ]


def test_an_empty_text_is_a_text(listen):
    """A model may call a tool with nothing to say; the finished item says so."""
    heard = listen(CREATED, added(), done(""), completed())
    assert heard.done.response.tool_calls == [ToolCall("call_1", "apply_patch", "", is_custom=True)]


DAMAGED = {
    "another text in the finished item": [added(), *PIECES, done("rm -rf"), completed()],
    "another text at the end of the deltas": [added(), *PIECES, whole("rm -rf"), completed()],
    "the same JSON, spelled otherwise": [added(), delta('{"a":1}'), done('{ "a": 1 }'), completed()],
    "another text in the finished response": [added(), done(), completed(item("rm -rf"))],
    "another text in a second finished item": [added(), done(), done("rm -rf"), completed()],
    "another name": [added(), done(name="exec"), completed()],
    "another call id": [added(), done(call_id="call_2", id="ctc_1"), completed()],
    "no id": [added(id=None, call_id=None), *PIECES, done(id=None, call_id=None), completed()],
    "no name": [added(name=None), *PIECES, done(name=None), completed()],
    "no text": [added(), done(None), completed()],
    "no text and no end": [added(), completed()],
    "pieces without an end": [added(), *PIECES, completed()],
    "pieces of JSON without an end": [added(), delta('{"a":1}'), completed()],
    "the item of a function": [
        added(), {**done(), "item": {**item(None), "type": "function_call", "arguments": "{}"}}, completed()
    ],
    "a function's item again": [
        added(), done(), {**done(), "item": {**item(None), "type": "function_call"}}, completed()
    ],
    "the pieces of a function": [
        added(),
        {**delta("{}"), "type": "response.function_call_arguments.delta"},
        done(),
        completed(),
    ],
    "a piece after the end": [added(), done(), delta("more"), completed()],
    "a piece that is no text": [added(), delta({"a": 1}), done(), completed()],
}  # fmt: skip


@pytest.mark.parametrize("events", DAMAGED.values(), ids=DAMAGED)
def test_a_call_that_contradicts_itself_is_an_error(events, listen):
    """What the model meant is unknown, and nothing is carried out that it did not mean."""
    heard = listen(CREATED, *events)
    assert isinstance(heard.failure, StreamCorruptError)
    assert not heard.of("done")


@pytest.mark.parametrize(
    ("events", "kept"),
    [
        ([added(), *PIECES], []),
        ([added(), *PIECES, whole(), done()], []),  # nothing shows that the text is whole
        ([added(), *PIECES, done(status="incomplete")], []),
        (
            [
                added(), done(),
                {**added(id="ctc_2", call_id="call_2"), "output_index": 1},
                delta("*** Beg", item_id="ctc_2", output_index=1),
            ],
            [CALL],
        ),
    ],
    ids=["in pieces", "finished", "finished as incomplete", "before another one"],
)  # fmt: skip
def test_a_call_that_may_have_been_cut_is_no_part_of_a_cut_answer(events, kept, listen):
    """Only another item after it shows that all of a text has come."""
    end = {"id": "resp_1", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    heard = listen(CREATED, *events, {"type": "response.incomplete", "response": {**end, "usage": USAGE}})
    assert heard.done.finish_reason is FinishReason.LENGTH
    assert heard.done.response.message.content == kept


def test_calls_and_results_become_items_of_their_kind():
    """A result does not say whose it is: its call does, also where two calls of one id are of two kinds."""
    function = ToolCall("call_2", "look", "{}")
    history = [
        Message.assistant(
            Text("Hm."), ToolCall("call_1", "sql", "SELECT 1", "data", is_custom=True), function
        ),
        Message.tool("call_2", "seen"),
        Message.tool("call_1", ["a", Text("b")]),
        Message.assistant(ToolCall("call_2", "sql", "SELECT 2", is_custom=True)),
        Message.tool("call_2", "no table", is_error=True),
    ]
    _, custom, called, seen, answered, again, failed = input_items(history, "developer")
    assert custom == {
        "type": "custom_tool_call",
        "call_id": "call_1",
        "name": "sql",
        "input": "SELECT 1",
        "namespace": "data",
    }
    assert (called["type"], called["arguments"]) == ("function_call", "{}")
    assert seen == {"type": "function_call_output", "call_id": "call_2", "output": "seen"}
    assert answered["type"] == "custom_tool_call_output"
    assert [part["text"] for part in answered["output"]] == ["a", "b"]
    assert (again["type"], again["input"]) == ("custom_tool_call", "SELECT 2")
    assert failed == {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Error: no table"}


def test_late_results_of_calls_with_one_id_find_their_calls():
    """The latest call gets the first result, as the repair of the history pairs them."""
    history = [
        Message.assistant(ToolCall("c", "look", "{}")),
        Message.assistant(ToolCall("c", "sql", "SELECT 1", is_custom=True)),
        Message.tool("c", "of sql"),
        Message.tool("c", "of look"),
    ]
    kinds = [entry["type"] for entry in input_items(history, "developer")]
    assert kinds[2:] == ["custom_tool_call_output", "function_call_output"]
