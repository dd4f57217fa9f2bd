"""What the model is told of exceptions."""

from __future__ import annotations

import pytest

import onplan
from onplan.tools.results import told


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
