"""What only the server can read comes back to it as it was: signatures of calls, sealed thinking."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onplan.backends import COMPATIBLE, OPENAI, Backend
from onplan.chat.details import Details
from onplan.chat.request import prepare
from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.chunks import ChunkEncoder
from onplan.dialects.openai_chat.request import read_request
from onplan.flow import decode_json
from onplan.types import CompletionRequest, Message

GOOGLE = {"extra_content": {"google": {"thought_signature": "U0lHMQ=="}}}
DONE = b"[DONE]"


def chunk(finish=None, **delta):
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index=None, id_=None, name=None, arguments=None, function=None, **more):
    function = {"name": name, "arguments": arguments, **(function or {})}
    return {"index": index, "id": id_, "type": "function", "function": function, **more}


def sent_back(answer: Message, backend: Backend = COMPATIBLE):
    """The assistant's message, as the next request has it."""
    results = [Message.tool(called.id, "42") for called in answer.tool_calls]
    messages = [Message.user("hi"), answer, *(results or [Message.user("go on")])]
    request = CompletionRequest(messages=messages)
    body = decode_json(prepare(request, backend, "http://127.0.0.1/v1", "m").body)
    return body["messages"][1]


def signed(message):
    """What the calls of a message carry beside the usual."""
    usual = {"id", "type", "function"}
    carried = []
    for sent in message["tool_calls"]:
        inner = {name: value for name, value in sent["function"].items() if name not in ("name", "arguments")}
        outer = {name: value for name, value in sent.items() if name not in usual}
        carried.append({**outer, **({"function": inner} if inner else {})})
    return carried


SIGNED = {
    "a call that came whole": (
        [chunk("tool_calls", tool_calls=[call(0, "a", "f", "{}", **GOOGLE)])],
        [GOOGLE],
    ),
    "without an index": ([chunk("stop", tool_calls=[call(None, "a", "f", "{}", **GOOGLE)])], [GOOGLE]),
    "the first of two calls": (
        [
            chunk(tool_calls=[call(0, "a", "f", "{}", **GOOGLE)]),
            chunk("tool_calls", tool_calls=[call(1, "b", "g", "{}")]),
        ],
        [GOOGLE, {}],
    ),
    "a later piece": (
        [
            chunk(tool_calls=[call(0, "a", "f", "")]),
            chunk(tool_calls=[call(0, arguments="{}", **GOOGLE)]),
            chunk("tool_calls"),
        ],
        [GOOGLE],
    ),
    "a last piece that says nothing else": (
        [
            chunk(tool_calls=[call(0, "a", "f", "{}")]),
            chunk(tool_calls=[call(0, **GOOGLE)]),
            chunk("tool_calls"),
        ],
        [GOOGLE],
    ),
    "every piece": (
        [
            chunk(tool_calls=[call(0, "a", "f", "", **GOOGLE)]),
            chunk(tool_calls=[call(0, arguments="{}", **GOOGLE)]),
            chunk("tool_calls"),
        ],
        [GOOGLE],
    ),
    "fields of two pieces": (
        [
            chunk(tool_calls=[call(0, "a", "f", "", extra_content={"google": {"thought": True}})]),
            chunk(tool_calls=[call(0, arguments="{}", extra_content={"google": {"thought_signature": "S"}})]),
            chunk("tool_calls"),
        ],
        [{"extra_content": {"google": {"thought": True, "thought_signature": "S"}}}],
    ),
    "a call that is sent again, with its signature only then": (
        [
            chunk(tool_calls=[call(0, "a", "f", '{"p":1}')]),
            chunk("tool_calls", tool_calls=[call(1, "a", "f", '{"p":1}', **GOOGLE)]),
        ],
        [GOOGLE],
    ),
    "LiteLLM's field": (
        [
            chunk(
                "tool_calls",
                tool_calls=[call(0, "a", "f", "{}", provider_specific_fields={"thought_signature": "S"})],
            )
        ],
        [{"provider_specific_fields": {"thought_signature": "S"}}],
    ),
    "a field of the function": (
        [chunk("tool_calls", tool_calls=[call(0, "a", "f", "{}", function={"thought_signature": "S"})])],
        [{"function": {"thought_signature": "S"}}],
    ),
    "an answer that was not streamed": (
        [
            {
                "choices": [
                    {
                        "message": {"tool_calls": [call(None, "a", "f", "{}", **GOOGLE)]},
                        "finish_reason": "stop",
                    }
                ]
            }
        ],
        [GOOGLE],
    ),
    "control: none, and fields of other kinds": (
        [chunk("tool_calls", tool_calls=[call(0, "a", "f", "{}", extra_content=None, status="completed")])],
        [{}],
    ),
}


@pytest.mark.parametrize(("events", "carried"), SIGNED.values(), ids=SIGNED)
def test_a_calls_signature_goes_back_with_it(listen, events, carried):
    """Whatever piece it came with, each call has its own signature again, in the field that it came in."""
    answer = listen(*events, DONE).done.response.message

    assert carried == signed(sent_back(answer))


@pytest.mark.parametrize("field", ["extra_content", "provider_specific_fields", "thought_signature"])
@pytest.mark.parametrize("is_inside", [False, True], ids=["beside the function", "in it"])
def test_a_signature_may_come_with_any_piece(listen, field, is_inside):
    """In each of the six places, with the arguments or after them."""
    signature = {field: "S" if field == "thought_signature" else {"thought_signature": "S"}}
    signature = {"function": signature} if is_inside else signature
    for pieces in ([{"arguments": "{}", **signature}], [{"arguments": "{}"}, signature]):
        events = [chunk(tool_calls=[call(0, "a", "f", "")])]
        events += [chunk(tool_calls=[call(0, **piece)]) for piece in pieces]
        answer = listen(*events, chunk("tool_calls"), DONE).done.response.message

        assert signed(sent_back(answer)) == [signature]


def test_a_platform_that_signs_nothing_is_sent_no_signature(listen):
    """A history that began at another server has nothing of it where such fields are refused."""
    events, _ = SIGNED["a call that came whole"]
    answer = listen(*events, DONE).done.response.message

    assert [{}] == signed(sent_back(answer, OPENAI))


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("case", ["the first of two calls", "a field of the function"])
def test_a_signature_passes_through_a_server_of_this_api(listen, case, streamed):
    """A client that was served the answer, and sends it again, brings the signatures back."""
    events, carried = SIGNED[case]
    heard = listen(*events, DONE)
    if streamed:
        encoder = ChunkEncoder("id", "m", 0)
        data = encoder.encode(heard.chunks)
        served = listen.bytes(data).done.response
    else:
        body = response_body(heard.done.response, "id", "m", 0)
        item = body["choices"][0]["message"]
        messages = [{"role": "user", "content": "hi"}, item]
        message = read_request(json.dumps({"messages": messages}).encode()).request.messages[1]
        assert carried == signed(sent_back(message))
        served = listen(body).done.response

    assert carried == signed(sent_back(served.message))


def test_a_signature_survives_being_stored(listen):
    """A conversation that was kept as JSON still has it."""
    events, carried = SIGNED["a call that came whole"]
    answer = listen(*events, DONE).done.response.message
    kept = msgspec.json.decode(msgspec.json.encode(answer), type=Message)

    assert answer == kept
    assert carried == signed(sent_back(kept))


# --- thinking in entries -----------------------------------------------------------------------------


def sealed(id_=None, data="AAA=", index=0, **more):
    entry = {"type": "reasoning.encrypted", "id": id_, "data": data, "index": index, **more}
    return {name: value for name, value in entry.items() if value is not None}


def text(words=None, index=0, **more):
    entry = {"type": "reasoning.text", "text": words, "index": index, **more}
    return {name: value for name, value in entry.items() if value is not None}


A, B = sealed("a", "AAA="), sealed("b", "BBB=")
# lists of entries, one for each chunk -> the entries that they are
DETAILS = {
    "two ids in one chunk": ([[A, B]], [A, B]),
    "two ids in two chunks": ([[A], [B]], [A, B]),
    "two ids, no index": (
        [[sealed("a", index=None)], [sealed("b", "BBB=", index=None)]],
        [sealed("a", index=None), sealed("b", "BBB=", index=None)],
    ),
    "no ids, no index": (
        [[sealed(index=None)], [sealed(data="BBB=", index=None)]],
        [sealed(index=None), sealed(data="BBB=", index=None)],
    ),
    "no ids, one index, in one chunk": ([[sealed(), sealed(data="BBB=")]], [sealed(), sealed(data="BBB=")]),
    "an id where the one before had none": ([[sealed()], [B]], [sealed(), B]),
    "two indices": (
        [[sealed(index=0)], [sealed(data="BBB=", index=1)]],
        [sealed(), sealed(data="BBB=", index=1)],
    ),
    "one id at two indices": (
        [[A], [sealed("a", "BBB=", 1)]],
        [A, sealed("a", "BBB=", 1)],
    ),
    "text and sealed in turns, in one chunk": (
        [[text("x"), A, text("y"), B]],
        [text("x"), A, text("y"), B],
    ),
    "text and sealed in turns, in many": (
        [[text("x")], [A], [text("y")], [B]],
        [text("x"), A, text("y"), B],
    ),
    "two signed texts, all index 0": (
        [[text("x")], [text(signature="S")], [text("y")], [text(signature="T")]],
        [text("x", signature="S"), text("y", signature="T")],
    ),
    "two texts with ids of their own": (
        [[text("x", id="a")], [text("y", id="b")]],
        [text("x", id="a"), text("y", id="b")],
    ),
    "control: pieces of two texts in turns, named by their ids": (
        [[text("a", id="x")], [text("b", id="y")], [text("c", id="x")], [text("d", id="y")]],
        [text("ac", id="x"), text("bd", id="y")],
    ),
    "two formats": (
        [[text("x", format="one")], [text("y", format="two")]],
        [text("x", format="one"), text("y", format="two")],
    ),
    "one sealed entry again": ([[A], [A]], [A]),
    "control: a text in pieces, its signature last": (
        [[text("Let")], [text(" me")], [text(signature="S")]],
        [text("Let me", signature="S")],
    ),
    "control: a text in pieces, its signature in each": (
        [[text("Let", signature="S")], [text(signature="S")]],
        [text("Let", signature="S")],
    ),
    "control: a text in pieces without an index": (
        [[text("Let", index=None)], [text(" me", index=None)]],
        [text("Let me", index=None)],
    ),
    "control: a sealed entry in pieces, the id in the first": (
        [[A], [sealed(data="BBB=")]],
        [sealed("a", "AAA=BBB=")],
    ),
    "control: a sealed entry in pieces, the id in all": (
        [[A], [sealed("a", "BBB=")]],
        [sealed("a", "AAA=BBB=")],
    ),
    "control: pieces of two entries in turns": (
        [[text("a"), text("b", index=1)], [text("c")], [text("d", index=1)]],
        [text("ac"), text("bd", index=1)],
    ),
    "control: an index that is no number": (
        [[text("a", index=[1])], [text("b", index=[1])]],
        [text("ab", index=[1])],
    ),
}


@pytest.mark.parametrize(("chunks", "entries"), DETAILS.values(), ids=DETAILS)
def test_entries_of_thinking_go_back_as_they_are(listen, chunks, entries):
    """Pieces of one entry are joined, and no two entries are, whatever their ids and indices."""
    events = [chunk(reasoning_details=pieces) for pieces in chunks]
    answer = listen(*events, chunk("stop", content="x"), DONE).done.response.message

    assert entries == sent_back(answer)["reasoning_details"]


def test_a_signature_that_comes_after_the_answer_finds_its_text(listen):
    """Thinking that was over when its signature came is signed when it goes back."""
    events = [
        chunk(reasoning="hm", reasoning_details=[text("hm")]),
        chunk(content="x"),
        chunk("stop", content="", reasoning_details=[text("", signature="S")]),
    ]
    answer = listen(*events, DONE).done.response.message

    assert [text("hm", signature="S")] == sent_back(answer)["reasoning_details"]


OTHER_FIELDS = {
    "thinking_blocks": (
        [
            {"thinking_blocks": [{"type": "thinking", "thinking": "Let"}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": " me"}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "S"}]},
            {"thinking_blocks": [{"type": "redacted_thinking", "data": "AAA="}]},
            {"thinking_blocks": [{"type": "redacted_thinking", "data": "BBB="}]},
        ],
        "Let me",
        {
            "thinking_blocks": [
                {"type": "thinking", "thinking": "Let me", "signature": "S"},
                {"type": "redacted_thinking", "data": "AAA="},
                {"type": "redacted_thinking", "data": "BBB="},
            ]
        },
    ),
    "reasoning_text and its seal": (
        [{"reasoning_text": "Let"}, {"reasoning_text": " me"}, {"reasoning_opaque": "c2Vh"}],
        "Let me",
        {"reasoning_text": "Let me", "reasoning_opaque": "c2Vh"},
    ),
    "a signature of the text": ([GOOGLE], "", GOOGLE),
    "a summary that is a list": (
        [
            {
                "reasoning_details": [
                    {"type": "reasoning.summary", "summary": [{"type": "summary_text", "text": "Let me"}]}
                ]
            }
        ],
        "Let me",
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": [{"type": "summary_text", "text": "Let me"}]}
            ]
        },
    ),
}


@pytest.mark.parametrize(("deltas", "words", "fields"), OTHER_FIELDS.values(), ids=OTHER_FIELDS)
def test_other_fields_of_thinking_go_back(listen, deltas, words, fields):
    """Whatever field the server keeps its thinking in, its text is read and the field comes back."""
    heard = listen(*(chunk(**delta) for delta in deltas), chunk("stop", content="x"), DONE)
    sent = sent_back(heard.done.response.message)

    assert words == heard.joined("thinking")
    assert fields == {name: value for name, value in sent.items() if name not in ("role", "content")}


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["reasoning.text", "reasoning.encrypted"])},
        optional={
            "id": st.sampled_from(["a", "b"]),
            "index": st.integers(0, 1),
            "text": st.text(max_size=3),
            "data": st.sampled_from(["AAA=", "BBB="]),
            "signature": st.sampled_from(["S", "T"]),
        },
    ),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(entries=ENTRIES, cuts=st.lists(st.integers(0, 8), max_size=4))
def test_no_text_of_thinking_is_lost(entries, cuts):
    """However the entries are numbered, every character of text and every signature is in what comes out."""
    details = Details()
    for start, end in itertools.pairwise([0, *sorted(cuts), len(entries)]):
        details.feed(entries[start:end])
    whole = details.entries

    assert sorted("".join(entry.get("text", "") for entry in entries)) == sorted(
        "".join(entry.get("text", "") for entry in whole)
    )
    assert {entry.get("signature") for entry in entries} - {None} == {
        entry.get("signature") for entry in whole
    } - {None}
    json.dumps(whole)


@pytest.mark.parametrize("name", ["extra_content", "provider_specific_fields", "thought_signature"])
@pytest.mark.parametrize("inner", [False, True], ids=["of the call", "of its function"])
def test_each_field_of_a_signature_is_kept(listen, name, inner):
    """Also where it is the only one, and comes in a piece of its own."""
    value = {"google": {"thought_signature": "c"}} if name == "extra_content" else "c"
    signed = {"index": 0, "function": {name: value}} if inner else {"index": 0, name: value}
    pieces = [{"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}, signed]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in pieces]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    (call,) = listen(*chunks, end).done.response.tool_calls

    assert json.loads(call.signature) == ({"function": {name: value}} if inner else {name: value})
