"""What is kept of an answer that did not reach its end: tables of chunks."""

from __future__ import annotations

import pytest

from onplan.conversation.partial_answer import PartialAnswer
from onplan.types import (
    ContentPart,
    PartDone,
    Resumed,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallStart,
)

THOUGHT, CALL = Thinking("hm", "sealed"), ToolCall("c", "look", "{}")
CASES: dict[str, tuple[list[StreamChunk], list[ContentPart]]] = {
    "nothing": ([], []),
    "thinking alone": ([ThinkingDelta("hm"), PartDone(THOUGHT)], []),
    "text": ([TextDelta("a "), TextDelta("bird")], [Text("a bird")]),
    "thinking, then text": ([PartDone(THOUGHT), TextDelta("a")], [THOUGHT, Text("a")]),
    "a finished text": ([TextDelta("a"), PartDone(Text("a", "commentary"))], [Text("a", "commentary")]),
    "a finished text, then more": (
        [TextDelta("a"), PartDone(Text("a")), TextDelta("b")],
        [Text("a"), Text("b")],
    ),
    "text, then thinking": ([PartDone(Text("a")), PartDone(THOUGHT)], [Text("a")]),
    "a call that was not finished": ([TextDelta("a"), ToolCallStart("c", "look")], [Text("a")]),
    "a finished call": ([PartDone(THOUGHT), PartDone(CALL)], [THOUGHT, CALL]),
    "resumed": ([TextDelta("a"), Resumed([CALL]), TextDelta("b")], [CALL, Text("b")]),
}


@pytest.mark.parametrize(("chunks", "parts"), CASES.values(), ids=CASES)
def test_finished_parts_and_loose_text_are_kept(chunks: list[StreamChunk], parts: list[ContentPart]) -> None:
    """But no thinking at the end, which servers refuse, and no part that is not whole."""
    partial = PartialAnswer()
    for chunk in chunks:
        partial.note(chunk)
    message = partial.message()

    assert (message.content if message else []) == parts
