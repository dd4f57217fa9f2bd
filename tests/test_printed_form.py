"""What of a value is printed."""

from __future__ import annotations

from onplan.backends import OPENAI, OPENAI_CODEX
from onplan.chat import request as chat
from onplan.printed_form import PartlyPrinted
from onplan.responses import request as responses
from onplan.types import CompletionRequest


class Letter(PartlyPrinted, frozen=True):
    not_printed = ("text",)

    sender: str
    text: str = ""


def test_what_is_left_out() -> None:
    """The other fields are printed by name, also by rich."""
    letter = Letter("Ada", "marked")

    assert repr(letter) == "Letter(sender='Ada')"
    assert letter.__rich_repr__() == [("sender", "Ada")]


def test_calls() -> None:
    """A request that is ready to be sent shows nothing of what it says."""
    request = CompletionRequest(messages="marked", session_id="s")
    for prepare, backend in ((responses.prepare, OPENAI_CODEX), (chat.prepare, OPENAI)):
        call = prepare(request, backend, "https://a.example", "m")
        assert "marked" in call.body.decode()
        assert "session_id='s'" in repr(call)
        assert "marked" not in repr(call)
