"""The finish reason of an answer, of all that its chunks said."""

from __future__ import annotations

import pytest

from onplan.chat.ending import Ending
from onplan.chat.events import Choice
from onplan.errors import StreamFailedError
from onplan.types import FinishReason

STOP, CALLS = FinishReason.STOP, FinishReason.TOOL_CALLS
LENGTH, FILTER = FinishReason.LENGTH, FinishReason.CONTENT_FILTER


def choice(finish: object, native: object = None) -> Choice:
    return Choice(finish_reason=finish, native_finish_reason=native)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "reason", "word", "is_known"),
    [
        ([("stop", None)], STOP, None, True),
        ([("STOP", None)], STOP, None, True),
        ([("tool_calls", None)], CALLS, None, True),
        ([("length", None)], LENGTH, None, True),
        ([("content_filter", None)], FILTER, None, True),
        ([("end_turn", None)], STOP, "end_turn", True),
        ([("max_tokens", None)], LENGTH, "max_tokens", True),
        ([("moonrise", None)], STOP, "moonrise", False),
        ([("stop", "SAFETY")], FILTER, "SAFETY", True),
        ([("stop", "max_tokens")], LENGTH, "max_tokens", True),
        ([("length", "SAFETY")], FILTER, "SAFETY", True),
        ([("content_filter", "max_tokens")], FILTER, None, True),
        ([("tool_calls", "end_turn")], CALLS, None, True),
        ([("stop", "tool_use")], STOP, None, True),
        ([("stop", "moonrise")], STOP, None, True),
        ([("stop", 7)], STOP, None, True),
        ([("stop", None), ("length", None)], LENGTH, None, True),
        ([("length", None), ("stop", None)], LENGTH, None, True),
        ([("stop", None), ("tool_calls", None)], CALLS, None, True),
        ([("tool_calls", None), ("stop", None)], CALLS, None, True),
        ([("length", None), ("content_filter", None)], FILTER, None, True),
        ([("stop", None), ("end_turn", None)], STOP, "end_turn", True),
        ([("moonrise", None), ("stop", None)], STOP, None, True),
    ],
    ids=str,
)
def test_the_gravest_reason_counts(
    said: list[tuple[object, object]], reason: FinishReason, word: str | None, is_known: bool
) -> None:
    """A cut stays one; the word is kept if it is the server's own; what a gateway hides is revealed."""
    ending = Ending()

    assert [ending.take(choice(*each)) for each in said] == [True] * len(said)
    assert (ending.reason, ending.word, ending.is_known) == (reason, word, is_known)


@pytest.mark.parametrize(
    "said",
    [(None, None), ("", None), ("null", None), (None, "max_tokens"), ("null", "SAFETY"), (7, None)],
    ids=str,
)
def test_an_answer_that_continues(said: tuple[object, object]) -> None:
    """Without a word of its own for the end, a chunk ends nothing."""
    ending = Ending()

    assert not ending.take(choice(*said))
    assert (ending.reason, ending.word, ending.is_known) == (None, None, True)


@pytest.mark.parametrize(
    "said", [("error", None), ("stop", "MALFORMED_FUNCTION_CALL"), (None, "error")], ids=str
)
def test_an_answer_that_failed(said: tuple[object, object]) -> None:
    """A word for a failure is one, wherever it stands, and the error names it."""
    with pytest.raises(StreamFailedError, match="interrupted") as caught:
        Ending().take(choice(*said))
    assert (said[1] or said[0]) in str(caught.value)
