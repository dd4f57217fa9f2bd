"""What the model is told of exceptions."""

from __future__ import annotations

import pytest

import onplan
from onplan.tools.results import sendable, told


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("x" * 1_988), f"ValueError: {'x' * 1_988}"),
        (ValueError("x" * 1_989), f"ValueError: {'x' * 1_987}…"),
        (onplan.ToolError("Ask for a city."), "Ask for a city."),
    ],
)
def test_an_exception_is_told_by_its_class_and_message(error: Exception, text: str) -> None:
    """A long message is cut to 2,000 characters; a ToolError is its text alone."""
    assert told(error) == text


def test_an_error_can_show_what_it_is_about() -> None:
    """Text and images; the exception itself has the text."""
    parts = [onplan.Text("Not "), onplan.Image(data=b"\x89PNG"), onplan.Text("this one.")]
    error = onplan.ToolError(parts)
    assert (str(error), told(error)) == ("Not this one.", parts)


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("a", "a"),
        ("\udcff", "\\udcff"),
        (
            [onplan.Text("\udcff"), onplan.Image(url="https://a")],
            [onplan.Text("\\udcff"), onplan.Image(url="https://a")],
        ),
        (["\udcff"], ["\udcff"]),
        ({"a": 1}, {"a": 1}),
        (None, None),
    ],
    ids=ascii,
)
def test_half_a_character_is_spelled_out(content: object, sent: object) -> None:
    """Text alone and in parts; anything else stays as it is."""
    assert sendable(content) == sent
