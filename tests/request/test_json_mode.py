"""The word JSON in a conversation, as values."""

from __future__ import annotations

import pytest

from onplan.request.history import History
from onplan.request.json_mode import ASKED, with_the_word
from onplan.types import Message


@pytest.mark.parametrize("text", ["As JSON, please", "json", "a.JSON5"])
def test_a_conversation_that_names_it_stays(text: str) -> None:
    """In whichever message, in any case."""
    history = History([Message.user("A bird"), Message.system(text)], ("one",))

    assert with_the_word(history) is history


@pytest.mark.parametrize("text", ["A bird", "J S O N", ""])
def test_a_conversation_that_does_not_is_told_and_reported(text: str) -> None:
    """In a message in front, so that what follows is still found in the prompt cache."""
    history = with_the_word(History([Message.user(text)], ("one",)))

    assert history.messages == [Message.developer(ASKED), Message.user(text)]
    assert history.repairs[0] == "one"
    assert ASKED in history.repairs[1]
