"""Which tool call a piece belongs to: what it says decides, where ids and indices do not."""

from __future__ import annotations

import itertools
import json
import re
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from onplan.chat.arguments import Arguments
from onplan.errors import StreamCorruptError
from onplan.types import FinishReason

from ..cases import case

DONE = b"[DONE]"


def call(index=None, id_=None, name=None, arguments=None):
    """A piece of a call; what is None is absent."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    piece = {"index": index, "id": id_, "function": function}
    return {key: value for key, value in piece.items() if value is not None}


def chunk(*pieces, finish=None):
    delta = {"tool_calls": list(pieces)} if pieces else {}
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def stream(pieces, finish="tool_calls"):
    """A piece in each chunk; a list of pieces is one chunk."""
    chunks = [chunk(*(piece if isinstance(piece, list) else [piece])) for piece in pieces]
    return [*chunks, chunk(finish=finish), DONE]


def said(heard):
    """The calls by what they say, after a look at whether the deltas amount to them."""
    calls = heard.done.response.tool_calls
    assert len({called.id for called in calls}) == len(calls)
    for called in calls:
        own = [one for one in heard.chunks if getattr(one, "id", None) == called.id]
        assert ["tool_call_start", *["tool_call_delta"] * (len(own) - 2), "tool_call_end"] == [
            one.type for one in own
        ]
        assert called.name == own[0].name
        assert called.arguments == "".join(one.arguments_delta for one in own[1:-1])
    assert len(heard.of("tool_call_start")) == len(calls)
    return [(called.name, called.parse_arguments()) for called in calls]


P1, P2 = '{"p":1}', '{"p":2}'
F1, F2, G2 = ("f", {"p": 1}), ("f", {"p": 2}), ("g", {"p": 2})
CALLS = {
    # --- several calls under one name for them
    "one index and id, whole": ([call(0, "x", "f", P1), call(0, "x", "f", P2)], [F1, F2]),
    "one index and id, a blank before the second": (
        [call(0, "x", "f", P1), call(0, "x", "f", f" {P2}")],
        [F1, F2],
    ),
    "one index and id, the first without arguments": (
        [call(0, "x", "f", "{}"), call(0, "x", "f", ""), call(0, "x", None, P2)],
        [("f", {}), F2],
    ),
    "one index and id, three": (
        [call(0, "x", "f", P1), call(0, "x", "f", P2), call(0, "x", "g", P2)],
        [F1, F2, G2],
    ),
    "one index and id, in pieces": (
        [
            call(0, "x", "f", '{"p"'),
            call(0, "x", None, ":1}"),
            call(0, "x", "f", '{"p"'),
            call(0, "x", None, ":2}"),
        ],
        [F1, F2],
    ),
    "one index and id, the name in every piece": (
        [
            call(0, "x", "f", '{"p"'),
            call(0, "x", "f", ":1}"),
            call(0, "x", "f", '{"p"'),
            call(0, "x", "f", ":2}"),
        ],
        [F1, F2],
    ),
    "one id, no index": ([[call(None, "x", "f", P1), call(None, "x", "f", P2)]], [F1, F2]),
    "one index and id, another tool": ([call(0, "x", "f", P1), call(0, "x", "g", P2)], [F1, G2]),
    "one id, two indices": ([call(0, "x", "f", P1), call(1, "x", "f", P2)], [F1, F2]),
    "one id, two indices, mixed": (
        [
            call(0, "x", "f", '{"p"'),
            call(1, "x", "g", '{"p"'),
            call(0, "x", None, ":1}"),
            call(1, "x", None, ":2}"),
        ],
        [F1, G2],
    ),
    "one id, no index, mixed": (
        [
            call(None, "x", "f", ""),
            call(None, "y", "g", ""),
            call(None, "x", "f", P1),
            call(None, "y", "g", P2),
        ],
        [F1, G2],
    ),
    "one index and id, another tool, after an empty object": (
        [call(0, "x", "f", "{}"), call(0, "x", "g", P2)],
        [("f", {}), G2],
    ),
    "no index, mixed, in pieces": (
        [
            call(None, "x", "f", '{"p"'),
            call(None, "y", "g", '{"p"'),
            call(None, "x", None, ":1}"),
            call(None, "y", None, ":2}"),
        ],
        [F1, G2],
    ),
    "no ids, mixed, the name in every piece": (
        [
            call(0, None, "f", '{"p":'),
            call(1, None, "f", '{"p":'),
            call(0, None, "f", "1}"),
            call(1, None, "f", "2}"),
        ],
        [F1, F2],
    ),
    "two indices, mixed, one tool": (
        [
            call(0, "x", "f", '{"p":'),
            call(1, "y", "f", ""),
            call(0, None, None, "1}"),
            call(1, None, None, P2),
        ],
        [F1, F2],
    ),
    "an index left out in the middle": (
        [
            call(0, "x", "f", ""),
            call(1, "y", "g", ""),
            call(0, None, None, '{"p":'),
            call(None, None, None, "1}"),
            call(1, None, None, P2),
        ],
        [F1, G2],
    ),
    "the id first, then the name": (
        [call(0, "a", "f", P1), call(1, "b", None, ""), call(1, None, "g", P2)],
        [F1, G2],
    ),
    "neither id nor index, the first without parameters": (
        [[call(None, None, "f", {}), call(None, None, "f", {"p": 1})]],
        [("f", {}), F1],
    ),
    "one index, another tool, a blank first": (
        [call(0, "x", "f", P1), call(0, "y", "g", "\n"), call(0, None, None, P2)],
        [F1, G2],
    ),
    "one id, two indices, a blank first": (
        [call(0, "x", "f", P1), call(1, "x", "g", "\n"), call(1, None, None, P2)],
        [F1, G2],
    ),
    "a blank first, after a call without arguments": (
        [call(0, "x", "f", ""), call(1, "y", "f", "\n"), call(1, None, None, P1)],
        [("f", {}), F1],
    ),
    "two indices, mixed, a blank first": (
        [
            call(0, "x", "f", '{"p":'),
            call(1, "y", "g", "\n"),
            call(0, None, None, "1}"),
            call(1, None, None, P2),
        ],
        [F1, G2],
    ),
    "one index and id, lists": (
        [call(0, "x", "f", "[1]"), call(0, "x", "f", "[2]")],
        [("f", [1]), ("f", [2])],
    ),
    "one index, other ids": ([call(0, "a", "f", P1), call(0, "b", "f", P2)], [F1, F2]),
    "one index, other ids, the same said": ([call(0, "a", "f", P1), call(0, "b", "f", P1)], [F1, F1]),
    "neither id nor index, the same said": (
        [[call(None, None, "f", P1), call(None, None, "f", P1)]],
        [F1, F1],
    ),
    "no index, mixed, one tool": (
        [call(None, "a", "f", '{"p":'), call(None, "b", "f", P2), call(None, "a", None, "1}")],
        [F1, F2],
    ),
    "one index, other ids, mixed": (
        [call(0, "a", "f", '{"p":1'), call(0, "b", "f", P2), call(0, "a", None, "}")],
        [F1, F2],
    ),
    "other ids, the first without arguments": (
        [call(None, "a", "f", ""), call(None, "b", "f", P2)],
        [("f", {}), F2],
    ),
    "no arguments, other ids, one index": (
        [call(0, "a", "f", ""), call(0, "b", "f", "")],
        [("f", {}), ("f", {})],
    ),
    "no arguments, other ids": (
        [[call(None, "a", "f", ""), call(None, "b", "f", "")]],
        [("f", {}), ("f", {})],
    ),
    "no arguments, other ids and tools, one index": (
        [call(0, "a", "f", ""), call(0, "b", "g", P2)],
        [("f", {}), G2],
    ),
    # --- one call under several names
    "repeated at another index": (
        [call(0, "L", "f", ""), call(0, "L", "f", P1), call(1, "L", "f", P1)],
        [F1],
    ),
    "repeated at another index, in pieces": (
        [call(0, "L", "f", P1), call(1, "L", "f", '{"p"'), call(1, "L", None, ":1}")],
        [F1],
    ),
    "repeated at many indices": ([call(index, "L", "f", P1) for index in range(5)], [F1]),
    "repeated without its index and id, after another": (
        [call(0, "a", "f", P1), call(1, "b", "g", P2), call(None, None, "f", P1)],
        [F1, G2],
    ),
    "repeated, written otherwise": ([call(0, "L", "f", P1), call(1, "L", "f", '{ "p": 1 }')], [F1]),
    "arguments once more": ([call(0, "a", "f", ""), call(0, None, None, P1), call(0, None, None, P1)], [F1]),
    "arguments once more, in pieces": (
        [call(0, "a", "f", P1), call(0, None, None, '{"p"'), call(0, None, None, ":1}")],
        [F1],
    ),
    "arguments once more, the id as well": ([call(0, "a", "f", P1), call(0, "a", None, P1)], [F1]),
    "arguments once more, by another id": ([call(0, "a", "f", P1), call(0, "b", None, P1)], [F1]),
    "arguments once more, no index": ([call(None, "a", "f", P1), call(None, None, None, P1)], [F1]),
    "arguments twice in one piece": ([call(0, "a", "f", P1 + P1)], [F1]),
    "arguments three times": ([call(0, "a", "f", P1), call(0, "a", None, P1), call(0, "a", None, P1)], [F1]),
    "arguments once more, written otherwise": (
        [call(0, "a", "f", P1), call(0, None, None, '{"p": 1}')],
        [F1],
    ),
    "all once more after pieces": (
        [call(0, "a", "f", '{"p":'), call(0, None, None, "1}"), call(0, "a", "f", P1)],
        [F1],
    ),
    "the head once more": ([call(0, "a", "f", P1), call(0, "a", "f", "")], [F1]),
    "all once more, by an id that came late": ([call(0, None, "f", P1), call(0, "a", "f", P1)], [F1]),
    "another id and the name in every piece": (
        [call(0, "a1", "f", ""), call(0, "a2", "f", '{"p":'), call(0, "a3", "f", "1}")],
        [F1],
    ),
    "another id with the arguments, no index": (
        [call(None, "a", "f", ""), call(None, "b", None, P1)],
        [F1],
    ),
    "another id and index in every piece": ([call(0, "a1", "f", '{"p":'), call(1, "a2", None, "1}")], [F1]),
    "another id and index and the name in every piece": (
        [call(0, "a1", "f", '{"p":'), call(1, "a2", "f", "1}")],
        [F1],
    ),
    "another id and the name in every piece, an object inside": (
        [call(0, "a1", "f", '{"p":'), call(0, "a2", "f", '{"q":1}}')],
        [("f", {"p": {"q": 1}})],
    ),
    "the same without an index": (
        [call(None, "a2", "f", '{"p":'), call(None, "a3", "f", "1}")],
        [F1],
    ),
    "another id after the first piece": (
        [call(0, "a", "f", ""), call(0, "b", None, '{"p":'), call(0, "b", None, "1}")],
        [F1],
    ),
    "another id with nothing, then more": (
        [call(0, "a", "f", ""), call(0, "b", None, ""), call(0, "b", None, P1)],
        [F1],
    ),
    "ids made of what the piece says": (
        [
            call(0, "a", "f", ""),
            call(0, "p", None, '{"p":'),
            call(0, "1", None, "1}"),
            call(1, "b", "g", ""),
            call(1, "p", None, '{"p":'),
            call(1, "2", None, "2}"),
        ],
        [F1, G2],
    ),
    "an index that counts pieces, id and name in each": (
        [call(0, "a", "f", '{"p"'), call(1, "a", "f", ":1}")],
        [F1],
    ),
    "the head of the second at the first one's index": (
        [call(0, "a", "f", P1), call(0, "b", "g", ""), call(1, None, None, P2)],
        [F1, G2],
    ),
    "a long name": ([call(0, "a", "f" * 4096, P1)], [("f" * 4096, {"p": 1})]),
    "an id that comes after the arguments": ([call(0, None, "f", P1), call(0, "a")], [F1]),
    "arguments once more, at another index": ([call(0, "a", "f", P1), call(1, None, None, P1)], [F1]),
    "the same in pieces, and the index counts them": (
        [call(0, "a", "f", P1), call(1, None, None, '{"p"'), call(2, None, None, ":1}")],
        [F1],
    ),
    "a blank at another index": ([call(0, "a", "f", P1), call(1, None, None, " ")], [F1]),
    "calls once more, where the index counts them": (
        [call(0, None, "f", P1), call(0, None, "f", P1), call(1, None, "g", P2)],
        [F1, G2],
    ),
    "calls without ids, where the index is always 0": (
        [call(0, None, "f", P1), call(0, None, "f", P1), call(0, None, "g", P2)],
        [F1, F1, G2],
    ),
    "one id for the second and the third, and none for the first": (
        [call(0, None, "f", P1), call(0, "x", "f", P2), call(0, "x", "g", P2)],
        [F1, F2, G2],
    ),
    "one without an id and arguments, after one with both": (
        [call(0, "a", "f", P1), call(0, None, "g", "")],
        [F1, ("g", {})],
    ),
    "an id alone at another index, before the arguments": (
        [call(0, None, "f", ""), call(1, "a"), call(2, None, None, P1)],
        [F1],
    ),
    "another id with nothing, between the arguments": (
        [call(0, "a", "f", '{"p"'), call(0, "b", None, ""), call(0, "b", None, ":1}")],
        [F1],
    ),
    "a name that comes last": ([call(0, None, None, P1), call(0, None, "f")], [F1]),
    "the head once more, without id and index": (
        [call(None, "a", "f", P1), call(None, None, "f", "")],
        [F1],
    ),
    "an empty object before them, by another id": (
        [call(0, "a", "f", "{}"), call(0, "b", None, P1)],
        [F1],
    ),
    "the id and another index come with the arguments": (
        [call(0, None, "f", ""), call(1, "a", None, P1)],
        [F1],
    ),
    "a name and an id that come last": ([call(0, None, None, P1), call(0, "a", "f")], [F1]),
    "a name that comes last, with an id": ([call(0, "a", None, P1), call(0, "a", "f")], [F1]),
    # --- arguments of other shapes
    "an empty object before them": ([call(0, "a", "f", "{}"), call(0, None, None, P1)], [F1]),
    "an empty object before their pieces": (
        [call(0, "a", "f", {}), call(0, None, None, '{"p"'), call(0, None, None, ":1}")],
        [F1],
    ),
    "an empty object before them, in one piece": ([call(0, "a", "f", "{}" + P1)], [F1]),
    "an empty object, then another call": (
        [call(0, "a", "f", "{}"), call(0, "b", "f", P1)],
        [("f", {}), F1],
    ),
    "an empty object alone": ([call(0, "a", "f", "{}")], [("f", {})]),
    "an empty list for an empty object": ([call(0, "a", "f", [])], [("f", {})]),
    "an object": ([call(0, "a", "f", {"p": 1})], [F1]),
    "an object, twice": ([call(0, "a", "f", {"p": 1}), call(0, "a", "f", {"p": 1})], [F1]),
    "all of them so far in every piece": (
        [call(0, "a", "f", text) for text in ('{"', '{"p', '{"p":', '{"p":1', '{"p":1}', '{"p":1}')],
        [F1],
    ),
    "all of them so far, without id and name": (
        [call(0, "a", "f", ""), *(call(0, None, None, text) for text in ("{", '{"p":', '{"p":1}'))],
        [F1],
    ),
    "an object like the one that it is in": (
        [call(0, "a", "f", '{"p":'), call(0, None, None, '{"p":'), call(0, None, None, "1}}")],
        [("f", {"p": {"p": 1}})],
    ),
    "a name like the object that it is in": (
        [call(0, "a", "f", '{"'), call(0, None, None, '{":'), call(0, None, None, "1}")],
        [("f", {"{": 1})],
    ),
    "a text like the object that it is in": (
        [
            call(0, "a", "f", '{"p":"'),
            call(0, None, None, "{"),
            call(0, None, None, '\\"p'),
            call(0, None, None, '"}'),
        ],
        [("f", {"p": '{"p'})],
    ),
    "a blank line after them": ([call(0, "a", "f", P1), call(0, None, None, "\n")], [F1]),
    "a blank line before them": ([call(0, "a", "f", "\n"), call(0, None, None, P1)], [F1]),
    "braces and quotes in texts": (
        [call(0, "a", "f", '{"p":"}{\\'), call(0, None, None, '"}"'), call(0, None, None, "}")],
        [("f", {"p": '}{"}'})],
    ),
}


@pytest.mark.parametrize(("pieces", "expected"), CALLS.values(), ids=CALLS)
def test_calls_are_told_apart_by_what_they_say(listen, pieces, expected):
    """No call is doubled, glued to another or lost, and none has another's arguments."""
    assert expected == said(listen(*stream(pieces)))


@pytest.mark.parametrize(("pieces", "expected"), CALLS.values(), ids=CALLS)
def test_it_does_not_matter_which_pieces_come_together(listen, pieces, expected):
    """All of them in one chunk are the same calls."""
    flat = [piece for group in pieces for piece in (group if isinstance(group, list) else [group])]
    assert expected == said(listen(chunk(*flat, finish="stop"), DONE))


def at_the_end(pieces, calls):
    """The pieces in a chunk each, then a message that has the whole answer in it."""
    last = {"index": 0, "message": {"content": "Hm", "tool_calls": calls}, "finish_reason": "tool_calls"}
    first = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hm"}, "finish_reason": None}]}
    return [first, *(chunk(piece) for piece in pieces), {"id": "c", "choices": [last]}, DONE]


STREAMED = [call(0, "a", "f", P1), call(1, "b", "g", P2)]
WHOLE = {
    "as they were": (STREAMED, [call(None, "a", "f", P1), call(None, "b", "g", P2)], [F1, G2]),
    "by their ids, in another order": (
        STREAMED,
        [call(None, "b", "g", P2), call(None, "a", "f", P1)],
        [F1, G2],
    ),
    "without ids": (STREAMED, [call(None, None, "f", P1), call(None, None, "g", P2)], [F1, G2]),
    "without ids, in another order": (
        STREAMED,
        [call(None, None, "g", P2), call(None, None, "f", P1)],
        [F1, G2],
    ),
    "without names": (STREAMED, [call(None, "a", None, P1), call(None, "b", None, P2)], [F1, G2]),
    "only the last one, by its id": (STREAMED, [call(None, "b", "g", P2)], [F1, G2]),
    "one more": (STREAMED[:1], [call(None, "a", "f", P1), call(None, "b", "g", P2)], [F1, G2]),
    "only the rest of them": ([], STREAMED, [F1, G2]),
    "the rest of the arguments": ([call(0, "a", "f", '{"p"')], [call(None, "a", "f", P1)], [F1]),
    "the arguments": ([call(0, "a", "f")], [call(None, "a", "f", P1)], [F1]),
    "the arguments in place of an empty object": (
        [call(0, "a", "f", "{}")],
        [call(None, "a", "f", P1)],
        [F1],
    ),
    "other white space": ([call(0, "a", "f", P1)], [call(None, "a", "f", '{ "p": 1 }')], [F1]),
    "no arguments": ([call(0, "a", "f", P1)], [call(None, "a", "f")], [F1]),
    "an object": ([call(0, "a", "f", P1)], [call(None, "a", "f", {"p": 1})], [F1]),
}


@pytest.mark.parametrize(("pieces", "calls", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_whole_message_at_the_end_adds_what_the_pieces_lack(listen, pieces, calls, expected):
    """Its calls are those of the pieces, found by their ids or their places, and no others."""
    assert expected == said(listen(*at_the_end(pieces, calls)))


@pytest.mark.parametrize("arguments", [P2, '{"p"'])
def test_a_whole_message_that_contradicts_the_pieces_is_an_error(listen, arguments):
    """One of the two is wrong, and which one is not known."""
    heard = listen(*at_the_end([call(0, "a", "f", P1)], [call(None, "a", "f", arguments)]))

    assert isinstance(heard.failure, StreamCorruptError)


def test_a_whole_message_doubles_no_text(listen):
    """Arguments that are no JSON are said once, too."""
    assert listen(*at_the_end([call(0, "a", "f", "p = 1")], [call(None, "a", "f", "p = 1")])).calls == [
        ("f", "p = 1")
    ]


def test_the_id_may_come_with_the_whole_message(listen):
    """The program's result goes back under it."""
    heard = listen(*at_the_end([call(0, None, "f", P1)], [call(None, "a", "f", P1)]))

    assert [(one.id, one.name) for one in heard.done.response.tool_calls] == [("a", "f")]


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "a", "f", ""), call(0, "b", None, '{"p":'), call(0, "c", None, "1}")],
        [call(0, None, "f", P1), call(0, "a")],
    ],
    ids=["a new one in every piece", "one that comes last"],
)
def test_the_first_id_is_that_of_the_call(listen, pieces):
    """The program's result goes back under an id that the server knows."""
    (called,) = listen(*stream(pieces)).done.response.tool_calls
    assert called.id == "a"


def test_calls_that_come_once_more_with_the_last_chunk_are_not_doubled(listen):
    """A second chunk that ends the answer, with the same call in it, adds nothing."""
    once = chunk(call(0, "a", "f", P1), finish="tool_calls")
    assert [F1] == said(listen(once, once, DONE))


def test_arguments_may_end_after_the_finish_reason(listen):
    """The rest of a call is taken wherever it comes."""
    events = [
        chunk(call(0, "a", "f", '{"p":'), finish="tool_calls"),
        chunk(call(0, None, None, "1}")),
        chunk(finish="stop"),
    ]
    assert [F1] == said(listen(*events, DONE))


@pytest.mark.parametrize(
    "text", [P1 + P2, P1 + "}", '{{"p":1}}', '{"p":', "p = 1", P1 + ' and "more"', 'no "p" no "p"']
)
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("id_", ["a", None])
def test_arguments_that_are_no_json_are_what_the_model_wrote(listen, text, size, id_):
    """They are handed out whole, however they came: the program can tell the model."""
    pieces = [call(0, None, None, text[at : at + size]) for at in range(0, len(text), size)]
    heard = listen(*stream([call(0, id_, "f", ""), *pieces]))

    assert [("f", text)] == heard.calls
    assert text == "".join(one.arguments_delta for one in heard.of("tool_call_delta"))


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "a", "f", P1), call(0, "b", None, P2)],
        [call(0, "a", None, P1)],
        [call(0, "a", "f", P1), call(1, None, None, P2)],
        [call(0, "a", "f", ""), call(1, "b", None, P1)],
        [call(0, None, "f", P1), call(1, "b")],
        [call(0, "a", "f", '{"p"'), call(0, None, "g", ":1}")],
        [call(0, None, "f", '{"p"'), call(0, None, "g", ":1}")],
        [call(0, "a", "f" * 4097, P1)],
    ],
    ids=[
        "arguments of a call without a name",
        "no name",
        "none at another index",
        "none at another index, with an id",
        "none at another index, only an id",
        "another name",
        "another name, and no id",
        "a name without end",
    ],
)
def test_calls_that_cannot_be_carried_out_are_errors(listen, pieces):
    """A call that is not known for sure is never handed out."""
    assert isinstance(listen(*stream(pieces)).failure, StreamCorruptError)


@pytest.mark.parametrize("again", [P1, '{"p"'])
def test_a_cut_leaves_what_is_whole(listen, again):
    """Of an answer that was cut, a call that came whole stays, also where it was being sent once more."""
    heard = listen(*stream([call(0, "a", "f", P1), call(0, "a", "f", again)], finish="length"))

    assert [F1] == said(heard)
    assert FinishReason.LENGTH is heard.done.finish_reason


def test_a_cut_leaves_out_a_call_whose_name_had_not_come(listen):
    """Its arguments are of no use without it."""
    heard = listen(*stream([call(0, "a", "f", P1), call(1, "b", None, P2)], finish="length"))

    assert [F1] == said(heard)


# --- every style of numbering, naming, cutting and repeating, with every other ------------------------

SAID = [("f", '{"p":1}'), ("f", '{"p":2}'), ("g", '{"q":{"r":"}x"}}')]
INDEX = {
    "right": lambda number, count: number,
    "none": lambda number, count: None,
    "zero": lambda number, count: 0,
    "counts pieces": lambda number, count: count,
}
IDS = {
    "first": lambda number, first, last: f"id{number}" if first else None,
    "every": lambda number, first, last: f"id{number}",
    "last": lambda number, first, last: f"id{number}" if last else None,
    "none": lambda number, first, last: None,
    "one for all": lambda number, first, last: "x" if first else None,
    "one for all, in every piece": lambda number, first, last: "x",
}
CUTS = {
    "whole": lambda text: [text],
    "head": lambda text: ["", text],
    "head without": lambda text: [None, text],
    "pieces": lambda text: [text[:3], text[3:5], text[5:]],
    "head and pieces": lambda text: ["", text[:3], text[3:]],
    "empty object first": lambda text: ["{}", text[:3], text[3:]],
    "white space after": lambda text: [text[:3], text[3:], " ", "\n"],
}
REPEATED = ["never", "arguments", "calls", "calls in the end"]


def styled(index, ids, names, cut, repeated):
    """The calls, as a server of this style sends them."""
    pieces = []

    def add(number, name, text, *, first, last):
        shown = name if first or names == "every" else None
        numbered = INDEX[index](number, len(pieces))
        pieces.append(call(numbered, IDS[ids](number, first, last), shown, text))

    for number, (name, text) in enumerate(SAID):
        texts = CUTS[cut](text)
        for at, piece in enumerate(texts):
            add(number, name, piece, first=at == 0, last=at == len(texts) - 1)
        if repeated == "arguments":
            add(number, name, text, first=False, last=False)
        if repeated == "calls":
            add(number, name, text, first=True, last=True)
    if repeated == "calls in the end":
        for number, (name, text) in enumerate(SAID):
            add(number, name, text, first=True, last=True)
    return pieces


def is_clear(index, ids, names, cut, repeated):
    """Whether the calls can be known: where nothing else tells two calls apart, a name begins one."""
    anonymous = ids == "none" and index != "right"
    if names == "every" and cut == "empty object first" and ids in ("none", "last", "one for all"):
        return False
    if anonymous and (
        repeated in ("calls", "calls in the end") or (repeated == "arguments" and names == "every")
    ):
        return False
    odd = ("empty object first", "white space after")
    return index != "counts pieces" or (names == "first" and cut not in odd and ids != "last")


STYLES = [
    style for style in itertools.product(INDEX, IDS, ["first", "every"], CUTS, REPEATED) if is_clear(*style)
]


@pytest.mark.parametrize(("index", "ids"), dict.fromkeys(style[:2] for style in STYLES))
def test_calls_are_known_in_every_style(listen, index, ids):
    """However a server numbers, names, cuts and repeats them, they are these three calls."""
    expected = [(name, json.loads(text)) for name, text in SAID]
    for style in STYLES:
        if style[:2] == (index, ids):
            with case(*style):
                assert expected == said(listen(*stream(styled(*style))))


# --- the arguments alone -----------------------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(st.integers(), st.text(max_size=6), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=3)


@settings(max_examples=300, deadline=None)
@given(value=OBJECTS, ascii_=st.booleans(), size=st.integers(1, 9), times=st.integers(1, 3))
def test_the_end_of_an_object_is_found_wherever_it_is_cut(value, ascii_, size, times):
    """An object ends at its last brace, and saying it again adds nothing."""
    text = json.dumps(value, ensure_ascii=ascii_)
    arguments = Arguments()
    if text == "{}":
        times = 1
    sent = text * times
    new = [arguments.add(sent[at : at + size]) for at in range(0, len(sent), size)]

    assert arguments.whole
    assert text == "".join(new) == arguments.text
    assert "" == arguments.finish()
    assert arguments.is_whole


SELF_SIMILAR = st.recursive(
    st.sampled_from([{}, [], 1, "{"]), lambda inner: st.one_of(inner.map(lambda value: {"n": value}), inner)
).map(lambda value: {"n": value})


@settings(max_examples=300, deadline=None)
@example(value={"n": {"n": {"n": []}}}, pieces=['{"n":', " ", '{"n": {"n"', ": []}}}"])
@given(value=SELF_SIMILAR, pieces=st.data())
def test_an_object_like_the_one_around_it_is_no_repetition(value, pieces):
    """Arguments come as they were sent where what is inside them begins as they do themselves."""
    text = json.dumps(value)
    if not isinstance(pieces, list):
        places = pieces.draw(st.sets(st.integers(1, len(text) - 1), max_size=6))
        pieces = [text[start:end] for start, end in pairwise([0, *sorted(places), len(text)])]
    arguments = Arguments()

    assert text == "".join(map(arguments.add, pieces)) == arguments.text


SO_FAR = ['{"a"', '{"a": {', '{"a": {}, "b', '{"a": {}, "b": 1}']
GROWING = {
    "in every place": SO_FAR,
    "from its brace on": ["{", *SO_FAR],
    "the empty object": ["{", "{}"],
    "over several lines": ["{", '{\n  "a"', '{\n  "a": 1\n}'],
}


@pytest.mark.parametrize("pieces", GROWING.values(), ids=GROWING)
def test_pieces_that_are_all_of_it_so_far_are_said_once(pieces):
    """A piece that begins with all that came, where no JSON can go on so, is that and more."""
    arguments = Arguments()

    assert pieces[-1] == "".join(map(arguments.add, pieces)) == arguments.text
    assert arguments.whole


@settings(max_examples=300, deadline=None)
@given(text=st.text('{}[]"\\,:1a ', max_size=20), cuts=st.lists(st.integers(0, 20), max_size=5))
def test_no_character_of_arguments_is_lost(text, cuts):
    """Whatever is written: what is not said twice is there, however it was cut."""
    assume(text.count('{"') < 2)  # else a piece may be all of the text so far
    assume(not re.search(r"[^:,\[\s]\s*\{", text))  # nor does JSON go on with an object there
    assume(not text.replace(" ", "").startswith("{}{"))  # nor may an empty object stand for another one
    edges = [0, *sorted(cuts), len(text)]
    arguments = Arguments()
    for start, end in pairwise(edges):
        if start < end:
            arguments.add(text[start:end])
    arguments.finish()
    whole = Arguments()
    if text:
        whole.add(text)
    whole.finish()

    said = arguments.text.strip()
    assert whole.text.strip() == said
    assert text.strip() == said or not text.replace("{}", "").replace(said, "").strip() or text.endswith(said)
