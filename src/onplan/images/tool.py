"""What a tool that draws keeps and tells the model: the images so far, and where they were saved."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onplan.errors import ConfigurationError
from onplan.images.response import GeneratedImage, ImageResponse
from onplan.images.saving import save_numbered
from onplan.images.settings import ImageOptions
from onplan.tools.function import FunctionTool, tool
from onplan.tools.results import ToolError
from onplan.types import Text

_KEPT = 5  # images that the model can change; so many can be sent at once

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string", "description": "What the image shows, in detail."},
        "transparent_background": {"type": "boolean", "description": "For a picture without a background."},
        "last_images": {
            "type": "integer",
            "minimum": 0,
            "maximum": _KEPT,
            "description": (
                "How many of the images made last to begin with, to change them. 0 makes a new image."
            ),
        },
    },
    "required": ["prompt"],
    "additionalProperties": False,
}
_DESCRIPTION = "Make an image from words, or change images that this tool made. You will see the result."


class Sketchbook:
    """The images of one tool, of which the last few are kept.

    Args:
        folder: where to save every image; None to save none.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise ConfigurationError(f"{folder} is no folder.", hint="Make it first.")
        self._folder = None if folder is None else Path(folder)
        self._last: deque[GeneratedImage] = deque(maxlen=_KEPT)

    def tool(self, function: Callable[..., Any]) -> FunctionTool:
        """``function`` as the model sees it."""
        return tool(function, name="generate_image", description=_DESCRIPTION, parameters=_PARAMETERS)

    def references(self, count: int) -> list[GeneratedImage]:
        """The last ``count`` images, the oldest first. Raises ToolError if there are not so many."""
        kept = list(self._last)
        if not 0 <= count <= len(kept):
            raise ToolError(f"There are {len(kept)} images to begin with, and not {count}.")
        return kept[len(kept) - count :]

    def options(self, given: ImageOptions, *, transparent: bool) -> ImageOptions:
        """The program's options, with what the model wants beside them."""
        return {**given, "background": "transparent"} if transparent else given

    def shown(self, made: ImageResponse) -> list[object]:
        """What the model gets: the images and a line about each."""
        parts: list[object] = []
        for image in made.images:
            self._last.append(image)
            pixels = f"{image.size[0]}x{image.size[1]} pixels" if image.size else "size unknown"
            saved = ""
            if self._folder:
                path = save_numbered(image.data, image.mime_type, self._folder / "image")
                saved = f", saved as {path}"
            parts += [image.part, Text(f"The image ({image.mime_type}, {pixels}{saved}).")]
        return parts
