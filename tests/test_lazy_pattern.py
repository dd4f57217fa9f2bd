"""Regular expressions that are compiled when they are first needed."""

from __future__ import annotations

import pytest

from onplan.lazy_pattern import LazyPattern

WORDS = LazyPattern(r"context (?:length|window)", "too long")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The context length is 5", "context length"),
        ("CONTEXT WINDOW", "CONTEXT WINDOW"),
        ("It is Too Long.", "Too Long"),
        ("contextlength", None),
        ("", None),
    ],
)
def test_any_of_its_alternatives_is_found(text: str, found: str | None) -> None:
    """Without regard to case, anywhere in the text."""
    match = WORDS.search(text)
    assert (match[0] if match else None) == found


def test_a_match_begins_where_the_text_does() -> None:
    """As with the patterns of ``re``."""
    assert WORDS.match("It is too long.") is None
    match = WORDS.match("Too long.")
    assert match is not None
    assert match[0] == "Too long"


def test_all_places_are_found() -> None:
    """In their order; of a pattern with one group, what is in it."""
    assert WORDS.findall("too long for the Context Window") == ["too long", "Context Window"]
    assert LazyPattern(r"(\d+) tokens").findall("5 tokens and 7 Tokens") == ["5", "7"]


def test_nothing_is_compiled_before_it_is_needed() -> None:
    """And then once: importing onplan would take a tenth longer with all of them."""
    broken, whole = LazyPattern("("), LazyPattern("a", "b")
    assert (broken.pattern, whole.pattern) == ("(", "a|b")
    assert "_compiled" not in vars(whole)
    whole.search("x")
    compiled = vars(whole)["_compiled"]
    whole.match("x")
    assert vars(whole)["_compiled"] is compiled
