"""Thoughts between tools: whose they are, where they come back to, and how many are kept."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.dialects.openai_chat.kept_turns import KeptTurns, TurnOwner
from onplan.types import HostedToolCall, Message, Text, Thinking, ToolCall

OWNER = TurnOwner("ann", "conversation", "account", "gpt-5.5")
THOUGHT, SECOND = Thinking("Hm.", "sealed"), Thinking("", "sealed-2")
CALL, OTHER = ToolCall("call_1", "f", '{"a":1}'), ToolCall("call_2", "g", "{}")


def kept(*content: Any, **options: Any) -> KeptTurns:
    turns = KeptTurns(**options)
    turns.keep(OWNER, Message.assistant(*content), 0.0)
    return turns


def restored(turns: KeptTurns, *content: Any, owner: TurnOwner = OWNER, now: float = 1.0) -> list[Any]:
    """What becomes of an assistant's message with this content."""
    messages = [Message.user("?"), Message.assistant(*content), Message.tool("call_1", "42")]
    first, restored, last = turns.restored(owner, messages, now)
    assert (first, last) == (messages[0], messages[2])
    return restored.content


@pytest.mark.parametrize(
    ("answer", "sent", "expected"),
    [
        ([THOUGHT, CALL], [CALL], [THOUGHT, CALL]),
        ([THOUGHT, CALL, SECOND, OTHER], [CALL, OTHER], [THOUGHT, CALL, SECOND, OTHER]),
        (
            [THOUGHT, Text("So.", "commentary"), CALL],
            [Text("So."), CALL],
            [THOUGHT, Text("So.", "commentary"), CALL],
        ),
        ([THOUGHT, Text("So."), CALL], [Text("Edited."), CALL], [Text("Edited."), THOUGHT, CALL]),
        ([THOUGHT, Text("So."), CALL], [CALL], [THOUGHT, CALL]),
        ([THOUGHT, CALL, OTHER], [OTHER], [THOUGHT, OTHER]),
        ([THOUGHT, CALL], [CALL, OTHER], [THOUGHT, CALL, OTHER]),
        (
            [THOUGHT, CALL],
            [ToolCall("call_1", "f", '{"a": 2}')],
            [THOUGHT, ToolCall("call_1", "f", '{"a": 2}')],
        ),
        (
            [THOUGHT, ToolCall("call_1", "f", "{}", "program")],
            [ToolCall("call_1", "f", "{}")],
            [THOUGHT, ToolCall("call_1", "f", "{}", "program")],
        ),
        (
            [HostedToolCall("web_search", {"status": "completed"}), CALL],
            [CALL],
            [HostedToolCall("web_search", {"status": "completed"}), CALL],
        ),
        ([THOUGHT, CALL], [Thinking("", "of the client"), CALL], [Thinking("", "of the client"), CALL]),
        ([THOUGHT, CALL], [OTHER], [OTHER]),
        ([Thinking("Hm."), CALL], [CALL], [CALL]),
        ([THOUGHT, Text("Hi.")], [Text("Hi.")], [Text("Hi.")]),
    ],
)
def test_what_comes_back(answer: list[Any], sent: list[Any], expected: list[Any]) -> None:
    """The thoughts, in their places among the calls; text and calls are those that the client sends."""
    assert restored(kept(*answer), *sent) == expected


@pytest.mark.parametrize("field", TurnOwner._fields)
def test_nothing_is_shared(field: str) -> None:
    """Another caller, conversation, account or model gets nothing."""
    turns = kept(THOUGHT, CALL)
    assert restored(turns, CALL, owner=OWNER._replace(**{field: "another"})) == [CALL]
    assert restored(turns, CALL) == [THOUGHT, CALL]


def test_the_oldest_go_first() -> None:
    """There is room for so many, and what is used again is not old."""
    turns = KeptTurns(most=2)
    calls = [ToolCall(f"call_{number}", "f", "{}") for number in range(3)]
    for call in calls[:2]:
        turns.keep(OWNER, Message.assistant(THOUGHT, call), 0.0)
    assert restored(turns, calls[0]) == [THOUGHT, calls[0]]
    turns.keep(OWNER, Message.assistant(THOUGHT, calls[2]), 2.0)
    assert [restored(turns, call) for call in calls] == [[THOUGHT, calls[0]], [calls[1]], [THOUGHT, calls[2]]]
    assert len(turns) == 2


def test_there_is_room_for_so_many_bytes() -> None:
    """A large thought drives others out; one that is larger than all the room is not kept at all."""
    turns = kept(Thinking("", "x" * 600), CALL, most_bytes=2_000)
    turns.keep(OWNER, Message.assistant(Thinking("", "x" * 9_000), OTHER), 0.0)
    assert len(turns) == 1
    turns.keep(OWNER, Message.assistant(Thinking("", "x" * 1_200), OTHER), 0.0)
    assert (restored(turns, CALL), len(turns)) == ([CALL], 1)
    assert restored(turns, OTHER) == [Thinking("", "x" * 1_200), OTHER]


def test_they_are_kept_for_so_long() -> None:
    """After their last use."""
    turns = kept(THOUGHT, CALL, longest=10.0)
    assert restored(turns, CALL, now=9.0) == [THOUGHT, CALL]
    assert restored(turns, CALL, now=18.0) == [THOUGHT, CALL]
    assert restored(turns, CALL, now=29.0) == [CALL]
    assert len(turns) == 0


def test_how_much_is_kept() -> None:
    """4096 turns, of 32 MiB in all, for an hour."""
    turns = KeptTurns()
    for number in range(4_097):
        turns.keep(OWNER, Message.assistant(THOUGHT, ToolCall(f"call_{number}", "f", "{}")), 0.0)
    assert len(turns) == 4_096
    assert restored(turns, ToolCall("call_1", "f", "{}"), now=3_600.0)[0] == THOUGHT
    assert restored(turns, ToolCall("call_2", "f", "{}"), now=3_601.0) == [ToolCall("call_2", "f", "{}")]
    around = 2 * 200 + len("call_1" + "f" + "{}") - len("call_1")
    for size, number in ((32 * 1024 * 1024 - around, 1), (32 * 1024 * 1024 - around + 1, 0)):
        turns = kept(Thinking("", "x" * size), ToolCall("call_1", "f", "{}"))
        assert len(turns) == number


def test_an_id_that_comes_again() -> None:
    """Some servers number their calls in each answer: the latest one counts."""
    turns = kept(THOUGHT, CALL)
    turns.keep(OWNER, Message.assistant(SECOND, CALL), 0.0)
    assert (restored(turns, CALL), len(turns)) == ([SECOND, CALL], 1)


def test_they_can_be_forgotten() -> None:
    """Those of one conversation."""
    turns = kept(THOUGHT, CALL)
    another = OWNER._replace(conversation="another")
    turns.keep(another, Message.assistant(THOUGHT, CALL), 0.0)
    turns.forget(OWNER)
    assert restored(turns, CALL) == [CALL]
    assert restored(turns, CALL, owner=another) == [THOUGHT, CALL]


def test_no_thought_is_printed() -> None:
    """Logs and tracebacks print objects."""
    (turn,) = kept(THOUGHT, CALL)._turns.values()
    assert "sealed" not in repr(turn)
