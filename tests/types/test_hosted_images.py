"""The images in an answer's parts: those that can be read."""

from __future__ import annotations

from typing import Any

import pytest

import onplan
from onplan import HostedToolCall, Image
from onplan.types.hosted_images import images_in


@pytest.mark.parametrize(
    ("result", "images"),
    [
        ("eA==", [Image(data=b"x")]),
        ("data:image/png;base64,eA==", [Image(data=b"x")]),
        ("eA==!", []),
        ("\u2603", []),
        ("", []),
        (None, []),
        (5, []),
        ([], []),
    ],
)
def test_images_that_can_be_read(result: Any, images: Any) -> None:
    """Whatever stands in the place of one is none."""
    parts = [
        HostedToolCall("web_search", {"result": "eA=="}),
        HostedToolCall("image_generation", {"result": result}),
    ]

    assert images_in(parts) == images
    assert images_in([HostedToolCall("image_generation"), onplan.Text("x")]) == []


def test_the_item_of_an_image_is_read_from_a_dict() -> None:
    """As the openai SDK gives it back; it is kept whole."""
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "eA=="}
    messages = onplan.CompletionRequest(messages=["a fox", item, "thanks"]).messages

    fields = {name: value for name, value in item.items() if name != "type"}
    assert messages[1].content == [HostedToolCall("image_generation", fields)]
