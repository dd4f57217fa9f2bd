"""Where onplan ends an answer itself: chunks in, chunks out, for any split of the text."""

from __future__ import annotations

import pytest

from onplan.answers.cutoff import Cutoff, quarters_in
from onplan.parameters import CutAt
from onplan.types import (
    ContentPart,
    Done,
    FinishReason,
    PartDone,
    StreamChunk,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
)

SAID = "One, two, three. END. Four."
AFTER: list[StreamChunk] = [PartDone(Text(SAID)), ThinkingDelta("more")]


def pieces(text: str, size: int) -> list[StreamChunk]:
    return [TextDelta(text[start : start + size]) for start in range(0, len(text), size)]


def text_of(chunks: list[StreamChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (("END",), "One, two, three. "),
        (("three", "two"), "One, "),
        (("e. E",), "One, two, thre"),
        (("One",), ""),
        (("END!", "END."), "One, two, three. "),
        (("r", "three"), "One, two, th"),
        (("aab",), SAID),
        (("Four.!",), SAID),
    ],
)
def test_an_answer_ends_before_a_stop_text(stop: tuple[str, ...], said: str, size: int) -> None:
    """The first in the text, wherever the text was split; nothing of it was passed on."""
    cutoff = Cutoff(CutAt(stop))
    passed = cutoff.passed([*pieces(SAID, size), *AFTER])

    assert text_of(passed) == said
    if said == SAID:
        assert cutoff.reason is None
        assert passed[-2:] == AFTER
        assert cutoff.parts == [Text(SAID)]
    else:
        assert cutoff.reason is FinishReason.STOP
        assert cutoff.parts == ([Text(said)] if said else [])
        assert [chunk for chunk in passed if isinstance(chunk, PartDone)] == list(map(PartDone, cutoff.parts))


def test_only_what_may_begin_a_stop_text_is_held_back() -> None:
    """And as soon as it is known not to begin one, it is passed on."""
    cutoff = Cutoff(CutAt(("aab",)))
    heard = [text_of(cutoff.passed([TextDelta(piece)])) for piece in ("xa", "a", "a", "c", "aa", "b")]

    assert heard == ["x", "", "a", "aac", "", ""]
    assert cutoff.reason is FinishReason.STOP
    assert cutoff.parts == [Text("xaaac")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "most", "said"),
    [
        ("a" * 20, 2, "a" * 8),
        ("a" * 8, 2, "a" * 8),
        ("я" * 20, 2, "я" * 4),
        ("鳥" * 20, 2, "鳥" * 2),
        ("🐦" * 20, 2, "🐦" * 2),
        ("aaaa鳥鳥", 2, "aaaa鳥"),
        ("aaa鳥", 1, "aaa"),
    ],
    ids=["short", "as long", "Cyrillic", "Chinese", "emoji", "mixed", "does not fit"],
)
def test_an_answer_ends_after_about_so_many_tokens(text: str, most: int, said: str, size: int) -> None:
    """Four Latin letters are a token, two Cyrillic, one Chinese; what is not longer is whole."""
    cutoff = Cutoff(CutAt(max_tokens=most))
    passed = cutoff.passed(pieces(text, size))

    assert text_of(passed) == said
    assert cutoff.reason is (None if said == text else FinishReason.LENGTH)
    assert sum(quarters_in(piece) for piece in text) == quarters_in(text)


@pytest.mark.parametrize(
    ("text", "quarters"),
    [("", 0), ("ab", 2), ("\x7f\x80", 3), ("\x80", 2), ("\u07ff", 2), ("\u0800", 4), ("aя鳥🐦", 11)],
)
def test_how_long_a_text_is(text: str, quarters: int) -> None:
    """In quarters of a token, by the bytes that its characters have in UTF-8."""
    assert quarters_in(text) == quarters


def test_nothing_is_left_where_more_was_kept() -> None:
    """The first character is one too many."""
    cutoff = Cutoff(CutAt(max_tokens=1), [Text("a" * 9)])

    assert cutoff.passed([TextDelta("b")]) == []
    assert (cutoff.reason, cutoff.parts) == (FinishReason.LENGTH, [Text("a" * 9)])


@pytest.mark.parametrize("size", [1, 3, 100])
def test_whichever_comes_first_ends_the_answer(size: int) -> None:
    """A stop text within the length, or the length before the stop text."""
    for most, reason, said in ((2, FinishReason.LENGTH, "One, two"), (3, FinishReason.STOP, "One, two, ")):
        cutoff = Cutoff(CutAt(("three",), most))
        assert text_of(cutoff.passed(pieces(SAID, size))) == said
        assert cutoff.reason is reason


def test_other_chunks_are_passed_on_in_their_order() -> None:
    """Thinking is not part of the answer's text, in which stop texts are sought and which is counted."""
    thinking: list[StreamChunk] = [ThinkingDelta("END" * 50), PartDone(Thinking("END" * 50))]
    text: list[StreamChunk] = [TextDelta("EN"), PartDone(Text("EN"))]
    cutoff = Cutoff(CutAt(("END",), 5))

    assert cutoff.passed([*thinking, *text, *thinking]) == [*thinking, *text, *thinking]
    assert [part.type for part in cutoff.parts] == ["thinking", "text", "thinking"]


def test_each_part_has_its_own_text() -> None:
    """A stop text does not go over the border between two parts; what was cut is of the last part only."""
    cutoff = Cutoff(CutAt(("END",)))
    passed = cutoff.passed(
        [TextDelta("a EN"), PartDone(Text("a EN")), TextDelta("D b"), TextDelta(" END"), TextDelta("c")]
    )

    assert text_of(passed) == "a END b "
    assert cutoff.parts == [Text("a EN"), Text("D b ")]


def test_a_call_that_is_too_long_is_not_made() -> None:
    """Its arguments count; an unfinished call is no part of the answer, a finished one before it is."""
    done: ContentPart = ToolCall("1", "a", "{}")
    chunks: list[StreamChunk] = [
        *(ToolCallStart("1", "a"), ToolCallDelta("1", "{}"), PartDone(done)),
        *(ToolCallStart("2", "b"), ToolCallDelta("2", '{"city": '), ToolCallDelta("2", '"Oslo"}')),
        PartDone(ToolCall("2", "b", '{"city": "Oslo"}')),
    ]
    cutoff = Cutoff(CutAt(max_tokens=3))

    assert cutoff.passed(chunks) == chunks[:5]
    assert cutoff.reason is FinishReason.LENGTH
    assert cutoff.parts == [done]


def test_what_was_held_back_may_be_too_long() -> None:
    """A part ends with what could have begun a stop text, and is one character too long."""
    cutoff = Cutoff(CutAt(("END",), 1))
    passed = cutoff.passed([TextDelta("aaaE"), TextDelta("N"), PartDone(Text("aaaEN")), ThinkingDelta("x")])

    assert text_of(passed) == "aaaE"
    assert cutoff.reason is FinishReason.LENGTH
    assert cutoff.parts == [Text("aaaE")]


def test_what_was_kept_counts() -> None:
    """After a resumption, parts that were finished before are parts of the answer, and of its length."""
    cutoff = Cutoff(CutAt(max_tokens=3), [Thinking("x" * 100), Text("a" * 8)])

    assert text_of(cutoff.passed([TextDelta("b" * 8)])) == "b" * 4
    assert cutoff.parts == [Thinking("x" * 100), Text("a" * 8), Text("b" * 4)]
    assert not any(isinstance(chunk, Done) for chunk in cutoff.passed([TextDelta("c")]))
