"""What the model is told of a tool's result, as values."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.request.tool_results import pieces_of, told_of
from onplan.types import Image, Text, ToolResult

SEEN = Image(url="https://example.org/a.png")


@pytest.mark.parametrize(
    ("content", "is_error", "told"),
    [
        ("sunny", False, "sunny"),
        ("no such city", True, "Error: no such city"),
        ("Error: no such city", True, "Error: no such city"),
        ("error", True, "error"),
        ("", True, "Error: "),
        ({"code": 5}, True, 'Error: {"code":5}'),
        ([Text("sunny")], False, "sunny"),
        ([Text("no such city")], True, "Error: no such city"),
        ([SEEN], False, [SEEN]),
        (["see", SEEN], False, [Text("see"), SEEN]),
        (["see", SEEN], True, [Text("Error:"), Text("see"), SEEN]),
    ],
)
def test_the_model_is_told_that_a_tool_failed(content: Any, is_error: bool, told: Any) -> None:
    """In front of what the tool said, once; a text alone is a string."""
    result = ToolResult("c", content, is_error)

    assert told_of(result) == told
    assert pieces_of(result) == (told if isinstance(told, list) else [Text(told)])
