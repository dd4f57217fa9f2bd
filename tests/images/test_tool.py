"""A tool that draws: what the model is offered, and what it is told of each image."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from onplan import Image, Text
from onplan.backends import CHATGPT_PLAN, OPENAI_CODEX
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.images.response import GeneratedImage, ImageResponse
from onplan.images.settings import ImageSettings
from onplan.images.tool import RecentImages
from onplan.tools.results import ToolError

from .test_response import PNG

NOTHING = ImageSettings()


def recent(folder: Any = None, **options: Any) -> RecentImages:
    return RecentImages(folder, options, OPENAI_CODEX)  # type: ignore[arg-type]


def made(*sizes: tuple[int, int] | None) -> ImageResponse:
    images = [GeneratedImage(PNG, "image/png", size) for size in sizes]
    return ImageResponse(images=images, requested=NOTHING, reported=NOTHING)


def test_what_the_model_is_offered() -> None:
    """A function with a prompt, which it has to give."""

    def draw(**arguments: Any) -> Any:
        return arguments

    offered = recent().tool(draw)

    parameters = deepcopy(offered.parameters)
    fields = parameters.pop("properties")
    assert offered.name == "generate_image"
    assert parameters == {"type": "object", "required": ["prompt"], "additionalProperties": False}
    assert {name: field.pop("description") != "" for name, field in fields.items()} == dict.fromkeys(
        fields, True
    )
    assert fields == {
        "prompt": {"type": "string"},
        "transparent_background": {"type": "boolean"},
        "last_images": {"type": "integer", "minimum": 0, "maximum": 5},
    }
    assert "images" in offered.description
    assert offered(prompt="x") == {"prompt": "x"}


def test_what_the_model_is_told() -> None:
    """It sees the image, and reads of what kind it is."""
    shown = recent().shown(made((2, 3), None))

    part = Image(data=PNG, mime_type="image/png")
    assert shown == [
        part,
        Text("The image (image/png, 2x3 pixels)."),
        part,
        Text("The image (image/png, size unknown)."),
    ]


def test_images_are_saved_where_the_program_says(tmp_path: Path) -> None:
    """The model is told where; none replaces another."""
    images = recent(tmp_path)
    texts = [part.text for _ in range(2) for part in images.shown(made((2, 3))) if isinstance(part, Text)]

    paths = [tmp_path / "image.png", tmp_path / "image-2.png"]
    assert texts == [f"The image (image/png, 2x3 pixels, saved as {path})." for path in paths]
    assert [path.read_bytes() for path in paths] == [PNG, PNG]


def test_an_image_that_cannot_be_saved_is_shown(tmp_path: Path) -> None:
    """It was paid for: the program has it in the result, and the model is told the reason."""
    folder = tmp_path / "folder"
    folder.mkdir()
    images = recent(folder)
    folder.rmdir()
    part, text = images.shown(made((2, 3)))

    assert part == Image(data=PNG, mime_type="image/png")
    assert isinstance(text, Text)
    assert "2x3 pixels, not saved: " in text.text
    assert "cannot be written" in text.text


def test_the_last_five_can_be_changed() -> None:
    """The oldest of them first; others are gone."""
    images = recent()
    for side in range(1, 8):
        images.shown(made((side, side)))

    assert [image.size for image in images.references(2)] == [(6, 6), (7, 7)]
    assert [image.size[0] for image in images.references(5) if image.size] == [3, 4, 5, 6, 7]
    assert images.references(0) == []
    for count in (6, -1):
        with pytest.raises(ToolError, match=f"5 images to begin with, and not {count}"):
            images.references(count)


def test_the_model_may_want_no_background() -> None:
    """The program's other options stay."""
    images = recent(size="1024x1024", background="opaque")

    assert images.options(transparent=True) == {"size": "1024x1024", "background": "transparent"}
    assert images.options(transparent=False) == {"size": "1024x1024", "background": "opaque"}


@pytest.mark.parametrize("folder", ["missing", "nul\0", 0, 5, b"missing"])
def test_a_folder_that_is_none(tmp_path: Path, folder: Any) -> None:
    """It is refused when the tool is made, and not when an image has been paid for."""
    with pytest.raises(ConfigurationError, match="is not a folder"):
        recent(tmp_path / folder if folder == "missing" else folder)


def test_options_are_checked_when_the_tool_is_made() -> None:
    """And whether the backend makes images at all."""
    with pytest.raises(InvalidRequestError, match="size"):
        recent(size="big")
    with pytest.raises(ConfigurationError, match="makes no images"):
        RecentImages(None, {}, CHATGPT_PLAN)
