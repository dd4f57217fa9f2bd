"""The tool with which a model generates images: its schema, and the images that the model can edit."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onplan.backends import Backend
from onplan.errors import ConfigurationError
from onplan.images.generation import support_of
from onplan.images.response import GeneratedImage, ImageResponse
from onplan.images.saving import save_numbered
from onplan.images.settings import ImageOptions, checked_options
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


class RecentImages:
    """The last few images of one tool, which the model can edit.

    Args:
        folder: where to save every image; None to save none.
        options: those of every image.
        backend: the row.

    Raises:
        ConfigurationError: there is no such folder, or the backend generates no images.
        InvalidRequestError: an option cannot be used.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, options: ImageOptions, backend: Backend
    ) -> None:
        checked_options(options, support_of(backend))
        self._options = options
        self._folder = None if folder is None else _existing(folder)
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

    def options(self, *, transparent: bool) -> ImageOptions:
        """The program's options, with what the model wants beside them."""
        return {**self._options, "background": "transparent"} if transparent else self._options

    def shown(self, made: ImageResponse) -> list[object]:
        """What the model gets: the images and a line about each."""
        parts: list[object] = []
        for image in made.images:
            self._last.append(image)
            pixels = f"{image.size[0]}x{image.size[1]} pixels" if image.size else "size unknown"
            parts += [image.part, Text(f"The image ({image.mime_type}, {pixels}{self._saved(image)}).")]
        return parts

    def _saved(self, image: GeneratedImage) -> str:
        """Save it if that is wanted, and tell where. Where that fails, it is in the result all the same."""
        if self._folder is None:
            return ""
        try:
            return f", saved as {save_numbered(image.data, image.mime_type, self._folder / 'image')}"
        except ConfigurationError as error:
            return f", not saved: {error}"


def _existing(folder: object) -> Path:
    if not isinstance(folder, str | os.PathLike) or not os.path.isdir(folder):  # noqa: PTH112 - it may hold a NUL
        raise ConfigurationError(f"{folder!r} is not a folder.", hint="Make it first, and give its path.")
    return Path(os.fsdecode(folder))
