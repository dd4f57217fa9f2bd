"""What goes back of an answer that a program has changed, as a table of values."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

import pytest

import onplan
from onplan import HostedToolCall, Refusal, Text, Thinking, ToolCall
from onplan.integrations.call_arguments import Said, is_same, written
from onplan.integrations.merged_parts import SaidPart, is_all_said, merged
from onplan.types import ContentPart

from ..amount_of_work import lines_run

SEALED = Thinking("Hm.", "sealed")
SEARCH = HostedToolCall("web_search", {"id": "ws_1"})
CALL = ToolCall("c1", "run", '{"n" : 1}', namespace="tools", signature='"s"')
OTHER = ToolCall("c2", "run", '{"n" : 2}', namespace="tools")
CUSTOM = ToolCall("c3", "shell", "ls -l", is_custom=True)
SAID, SAID_OTHER = Said("c1", "run", {"n": 1}), Said("c2", "run", {"n": 2})
SAID_CUSTOM = Said("c3", "shell", {"text": "ls -l"})


def again(call: ToolCall, **changes: Any) -> ToolCall:
    fields = {name: getattr(call, name) for name in call.__struct_fields__}
    return ToolCall(**{**fields, **changes})


CASES: dict[str, tuple[list[ContentPart], list[SaidPart], list[SaidPart], list[ContentPart]]] = {
    "nothing was kept": ([], [], [Text("Hi."), SAID], [Text("Hi."), ToolCall("c1", "run", '{"n":1}')]),
    "nothing was changed": ([SEALED, SEARCH, CALL], [SAID], [SAID], [SEALED, SEARCH, CALL]),
    "arguments": (
        [SEALED, CALL],
        [SAID],
        [SAID._replace(arguments={"n": True})],
        [SEALED, again(CALL, arguments='{"n":true}')],
    ),
    "a name": ([CALL], [SAID], [SAID._replace(name="go")], [again(CALL, name="go")]),
    "an id": ([SEALED, CALL], [SAID], [SAID._replace(id="mine")], [SEALED, again(CALL, id="mine")]),
    "an id, and another call of the same name": (
        [CALL, OTHER],
        [SAID, SAID_OTHER],
        [SAID_OTHER._replace(id="mine"), SAID],
        [again(OTHER, id="mine"), CALL],
    ),
    "the text for a custom tool": (
        [CUSTOM],
        [SAID_CUSTOM],
        [SAID_CUSTOM._replace(arguments={"text": "ls"})],
        [again(CUSTOM, arguments="ls")],
    ),
    "a custom tool's call copied": (
        [CUSTOM],
        [SAID_CUSTOM],
        [SAID_CUSTOM._replace(id="mine")],
        [again(CUSTOM, id="mine")],
    ),
    "a call taken out": ([SEALED, CALL, OTHER], [SAID, SAID_OTHER], [SAID_OTHER], [SEALED, OTHER]),
    "all calls taken out": ([SEALED, CALL], [SAID], [], [SEALED]),
    "a call put in": (
        [SEALED, CALL],
        [SAID],
        [Said("new", "go", {}), SAID],
        [SEALED, ToolCall("new", "go", "{}"), CALL],
    ),
    "text read by the program": (
        [CALL],
        [Said("c1", "run", '{"n" : 1}')],
        [SAID],
        [CALL],
    ),
    "text written anew by the program": (
        [CALL],
        [Said("c1", "run", '{"n" : 1}')],
        [Said("c1", "run", '{"n": 1.0}')],
        [again(CALL, arguments='{"n": 1.0}')],
    ),
    "a text, in the phase that it had": (
        [SEALED, SEARCH, Text("It rains.", "final_answer", [{"type": "x"}]), CALL],
        [Text("It rains."), SAID],
        [Text("It rains. "), SAID],
        [SEALED, SEARCH, Text("It rains. ", "final_answer"), CALL],
    ),
    "one text for several": (
        [Text("It ", "commentary"), Text("rains.")],
        [Text("It rains.")],
        [Text("It "), Text("rains.")],
        [Text("It ", "commentary"), Text("rains.")],
    ),
    "a text put before a call": (
        [SEALED, CALL],
        [SAID],
        [Text("I run."), SAID],
        [SEALED, Text("I run."), CALL],
    ),
    "a text taken out": ([SEALED, Text("Hi."), CALL], [Text("Hi."), SAID], [SAID], [SEALED, CALL]),
    "a refusal": ([Refusal("No.")], [Refusal("No.")], [Refusal("No!")], [Refusal("No!")]),
    "thinking of which the message says nothing": ([SEALED, SEALED], [], [], [SEALED, SEALED]),
    "thinking": (
        [SEALED, CALL],
        [SEALED, SAID],
        [Thinking("Oh.", "sealed"), SAID],
        [Thinking("Oh.", "sealed"), CALL],
    ),
    "thinking taken out": ([SEALED, CALL], [SEALED, SAID], [SAID], [CALL]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_changed_is_sent_so_and_all_else_as_it_came(name: str) -> None:
    """In the order in which it came; calls in the order of the message."""
    kept, before, now, expected = CASES[name]
    assert merged(kept, before, now, "text") == expected


@pytest.mark.parametrize("every", [1, 2])
def test_calls_taken_out_cost_in_proportion(every: int) -> None:
    """All, or every second one: twice as many cost twice the work."""
    work = []
    for count in (200, 400):
        calls: list[ContentPart] = [again(CALL, id=f"c{number}") for number in range(count)]
        said = [SAID._replace(id=f"c{number}") for number in range(count)]
        left = [each for at, each in enumerate(said) if at % every]
        work.append(lines_run(partial(merged, calls, said, left, "text")))
    assert work[1] < 3 * work[0]


def test_what_needs_no_keeping() -> None:
    """Parts that come back from the message alone; arguments only as onplan writes them."""
    assert is_all_said([ToolCall("c1", "run", '{"n":1}')], [SAID])
    assert not is_all_said([ToolCall("c1", "run", '{"n" : 1}')], [SAID])
    assert not is_all_said([CALL], [SAID._replace(arguments={"n": float("nan")})])


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (1, 1.0), (0, False), (0.0, -0.0), ([1], [True]), ({"a": None}, {}), ("a", "a "), (None, "")],
)
def test_values_that_are_not_the_same(one: object, other: object) -> None:
    """Although Python calls most of them equal."""
    assert not is_same(one, other)
    assert not is_same({"n": [one]}, {"n": [other]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (float("nan"), float("nan")),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        (10**30, 10**30),
    ],
)
def test_values_that_are_the_same(one: object, other: object) -> None:
    """For JSON, in which keys have no order."""
    assert is_same(one, other)


class _Model:
    """As pydantic's models are: they say themselves what they are in JSON."""

    def model_dump(self, *, mode: str) -> dict[str, str]:
        assert mode == "json"
        return {"day": "2026-12-01"}


def test_what_is_no_json() -> None:
    """Nothing is the same as it, and it is refused; a date or a model is written as JSON has it."""
    thing = object()
    assert not is_same(thing, thing)
    for wrong in (thing, b"x", {(1, 2): 3}):
        with pytest.raises(onplan.InvalidRequestError, match="The arguments of the call are not JSON values"):
            written({"a": wrong}, "the call")
    assert written({"a": date(2026, 12, 1)}, "the call") == '{"a":"2026-12-01"}'
    assert written({"a": _Model()}, "the call") == '{"a":{"day":"2026-12-01"}}'
    assert written({"a": 10**30, "b": "é"}, "the call") == '{"a":1000000000000000000000000000000,"b":"é"}'


def test_a_number_that_json_does_not_have_is_named() -> None:
    """By its place, also within lists and tuples."""
    with pytest.raises(onplan.InvalidRequestError, match=r"argument a\[1\]\.b of the call is infinite"):
        written({"a": (1, {"b": float("-inf")})}, "the call")
