"""``onplan ask --output``: saves an answer to a file: its images, or else its text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.errors import OnplanError
    from onplan.images.response import GeneratedImage
    from onplan.tools.function import FunctionTool
    from onplan.tools.record import Step
    from onplan.types import CompletionResponse, ContentPart


class AnswerFile:
    """The file of an answer. With the suffix of an image, the model is given a tool that draws.

    Args:
        name: of the file; None: the answer is not kept.
        force: whether a file of that name may be overwritten.

    Raises:
        ConfigurationError: the file exists, or has no folder. It is raised before anything is asked.
    """

    def __init__(self, name: str | None, *, force: bool) -> None:
        self._name, self._force = name, force
        if name is None:
            return
        from onplan.images.saving import has_image_suffix, require_free

        self._wants_image = has_image_suffix(name)
        if not force:
            require_free(name, "image/png" if self._wants_image else "")

    def tools(self, client: Client) -> list[FunctionTool]:
        """What the model may use. Raises ConfigurationError if it is to draw, and the backend cannot."""
        return [client.images.tool()] if self._name is not None and self._wants_image else []

    def keep(self, response: CompletionResponse) -> None:
        """Write the file: every image of the answer, or its text if there is none and none was wanted.

        Raises:
            OutputError: an image was wanted, and there is none.
            ConfigurationError: the file cannot be written.
        """
        if self._name is None:
            return
        made = list(_images_of(response.message.content, getattr(response, "steps", ())))
        if made:
            self._save(made)
        elif self._wants_image:
            from onplan.errors import OutputError

            raise OutputError(
                f"There is no image in the answer, so {self._name} was not written.",
                hint="`onplan image` makes one in any case.",
                text=response.text,
            )
        elif response.text:
            from onplan.images.saving import save_file

            text = response.text if response.text.endswith("\n") else f"{response.text}\n"
            save_file(text.encode("utf-8", "replace"), self._name, overwrite=self._force)

    def rescue(self, error: OnplanError) -> None:
        """Keep the images that were made before ``error`` ended the answer."""
        made = list(_images_of(error.parts, error.run.steps if error.run else ()))
        if self._name is not None and made:
            self._save(made)

    def _save(self, made: list[GeneratedImage]) -> None:
        assert self._name is not None  # noqa: S101 - the callers ask
        for number, image in enumerate(made):
            say(f"saved {save_or_keep(image, self._name, numbered=number > 0, force=self._force)}")


def _images_of(parts: Iterable[ContentPart], steps: Iterable[Step]) -> Iterator[GeneratedImage]:
    """The images in the results of tools, and those of the hosted tool, in the order in which they came."""
    from onplan.images.response import image_of
    from onplan.types import Image
    from onplan.types.hosted_images import images_in

    found: list[Image] = []
    for step in steps:
        found += images_in(step.response.message.content) if step.response else []
        for call in step.calls:
            found += [part for part in call.result.content if isinstance(part, Image)]
    hosted = images_in(parts)
    found += [image for image in hosted if image not in found]
    yield from (image for part in found if part.data and (image := image_of(part.data)))


def save_or_keep(image: GeneratedImage, path: str | Path, *, numbered: bool, force: bool) -> Path:
    """Save an image: ``numbered``, under the first name that is free.

    If that fails, it is saved as a temporary file, since it was paid for; the error says where.
    """
    from onplan.errors import ConfigurationError
    from onplan.images.saving import save_numbered

    try:
        if numbered:
            return save_numbered(image.data, image.mime_type, path)
        return image.save(path, overwrite=force)
    except ConfigurationError as error:
        kept = image.save(Path(tempfile.mkdtemp(prefix="onplan-")) / "image")
        error.hint = f"The image is in {kept} instead."
        raise
