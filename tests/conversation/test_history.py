"""The history of a conversation: exchanges, undoing, what awaits an answer. Tables of messages."""

from __future__ import annotations

import pytest

from onplan.conversation.history import History
from onplan.errors import InvalidRequestError
from onplan.types import Compaction, Message, ToolCall, ToolResult

S, D, U, A = (
    Message.system("Be brief."),
    Message.developer("Be kind."),
    Message.user("hi"),
    Message.assistant("ho"),
)
CALL = Message.assistant("Let me see.", ToolCall("c", "look", "{}"))
RESULT = Message.tool("c", "a bird")
AS_USER = Message("user", [ToolResult("c", "a bird")])

# What was said, as letters, the sizes of its exchanges, and whether the model has to speak next.
CASES: dict[str, tuple[list[Message], list[int], bool]] = {
    "nothing": ([], [], False),
    "instructions": ([S, D], [], False),
    "asked": ([S, U], [1], True),
    "answered": ([U, A], [2], False),
    "twice": ([S, U, A, U, A], [2, 2], False),
    "unanswered, then again": ([U, A, U, U, A], [2, 3], False),
    "with a call": ([U, CALL], [2], True),
    "with its result": ([U, A, U, CALL, RESULT], [2, 3], True),
    "with a tool round": ([U, CALL, RESULT, A, U, A], [4, 2], False),
    "with a result in a user's message": ([U, CALL, AS_USER, A], [4], False),
    "instructions on the way": ([S, U, A, D, U, A], [2, 3], False),
    "a greeting first": ([S, A, U, A], [1, 2], False),
}


@pytest.mark.parametrize(("messages", "sizes", "awaits"), CASES.values(), ids=CASES)
def test_a_history_is_made_of_exchanges(messages: list[Message], sizes: list[int], awaits: bool) -> None:
    """Instructions come first; an exchange is all from what was said until something else is said."""
    history = History().plus(messages)

    assert [len(exchange) for exchange in history.exchanges] == sizes
    assert history.awaits_answer is awaits
    assert [m for exchange in history.exchanges for m in exchange] == messages[len(messages) - sum(sizes) :]


@pytest.mark.parametrize(("messages", "sizes", "awaits"), CASES.values(), ids=CASES)
def test_undoing_takes_back_the_last_exchange(
    messages: list[Message], sizes: list[int], awaits: bool
) -> None:
    """With its tool rounds, and never the instructions; the history itself is unchanged."""
    history = History(tuple(messages))
    for size in reversed(sizes):
        shorter = history.undone()
        assert shorter.messages == history.messages[:-size]
        history = shorter
    with pytest.raises(InvalidRequestError, match="nothing to undo"):
        history.undone()


@pytest.mark.parametrize(("count", "left"), [(0, 1), (1, 3), (2, 5), (-1, 3), (-2, 1), (3, None), (-3, None)])
def test_a_branch_has_the_first_exchanges(count: int, left: int | None) -> None:
    """Counted from the beginning, or below zero from the end; more than there are is an error."""
    history = History((S, U, A, U, A))
    if left is None:
        with pytest.raises(InvalidRequestError, match="has 2 in all"):
            history.until(count)
    else:
        assert history.until(count) == History((S, U, A, U, A)[:left])


def made(covers: int) -> Compaction:
    return Compaction(covers, "sealed", "me", "3000")


def test_a_compaction_takes_nothing_out_of_the_history() -> None:
    """It stands where it was made, once, and only if all that it covers is there."""
    history = History((S, U, A, U)).compacted([made(3), made(5)])
    assert history.entries == (S, U, A, U, made(3))
    assert history.messages == (S, U, A, U)
    assert history.compactions == (made(3),)
    assert history.compacted([made(3)]) is history
    assert history.plus([A]).compacted([made(3), made(5)]).entries == (S, U, A, U, made(3), A, made(5))
    assert history.awaits_answer
    assert len(history.exchanges) == 1 + 1


def test_what_is_left_has_the_compactions_of_what_is_left() -> None:
    """Those that cover more are gone with it, wherever they stood."""
    history = History((S, U, A, made(3), U, made(3), made(2), A, made(5), U, A))
    assert history.until(2).entries == (S, U, A, made(3), U, made(3), made(2), A, made(5))
    assert history.until(1).entries == (S, U, A, made(3), made(3), made(2))
    assert history.until(0).entries == (S,)
    assert History((S, U, A, U, made(3), A)).undone().entries == (S, U, A, made(3))


def test_a_history_grows_to_a_longer_one() -> None:
    """By the messages that it lacks; its compactions stay where they are."""
    history = History((U, A, made(2), U))
    assert history.grown([U, A, U, A]).entries == (U, A, made(2), U, A)
    assert history.grown([U, A, U]) == history
