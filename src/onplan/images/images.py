"""``client.images``, for either client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Unpack

from onplan.images.generation import generation, support_of
from onplan.images.references import Reference, references_of
from onplan.images.response import ImageResponse
from onplan.images.settings import ImageOptions
from onplan.images.tool import RecentImages
from onplan.tools.function import FunctionTool
from onplan.turn.context import Context
from onplan.turn.steps import Flow


class Images:
    """Generates images with the plan: ``client.images``.

    ::

        response = client.images.generate("a red fox in the snow", size="1024x1536")
        print(response.save("fox.png"), response.size)
    """

    def __init__(self, context: Context, run: Callable[[Flow[ImageResponse]], ImageResponse]) -> None:
        self._context, self._run = context, run

    def generate(self, prompt: str, **options: Unpack[ImageOptions]) -> ImageResponse:
        """Generate an image from a prompt.

        Raises:
            InvalidRequestError: an option cannot be used; nothing was sent.
            ConfigurationError: the backend generates no images.
            NotIncludedError: the plan does not include it.
            RateLimitError: too many images: a limit of its own, which ``client.limits()`` does not show.
            UnexpectedReplyError: an answer without images.
            OnplanError: it failed otherwise.
        """
        return self._run(generation(prompt, (), options, self._context))

    def edit(
        self, prompt: str, images: Reference | Iterable[Reference] = (), **options: Unpack[ImageOptions]
    ) -> ImageResponse:
        """Generate an image from others: paths, bytes, ``onplan.Image``, or images generated before.

        One to five of them (16 with an API key), PNG, JPEG or WebP, the one to be changed first. Raises as
        ``generate``, and InvalidImageError for other formats.
        """
        references = references_of(images, support_of(self._context.backend).most_references)
        return self._run(generation(prompt, references, options, self._context))

    def tool(
        self, folder: str | os.PathLike[str] | None = None, **options: Unpack[ImageOptions]
    ) -> FunctionTool:
        """A tool with which the model draws: ``client.run("Draw a fox", tools=[client.images.tool()])``.

        The model sees each image, and can edit the last five. The images are in the results of
        ``answer.steps``; with ``folder`` they are saved there, too, and the model is told their paths.
        """
        recent = RecentImages(folder, options, self._context.backend)

        def generate_image(
            *, prompt: str, transparent_background: bool = False, last_images: int = 0
        ) -> list[object]:
            references = recent.references(last_images)
            wanted = recent.options(transparent=transparent_background)
            made = self.edit(prompt, references, **wanted) if references else self.generate(prompt, **wanted)
            return recent.shown(made)

        return recent.tool(generate_image)


class AsyncImages:
    """Generates images with the plan: ``client.images`` of an ``AsyncClient``. ``Images`` has an example."""

    def __init__(
        self, context: Context, run: Callable[[Flow[ImageResponse]], Awaitable[ImageResponse]]
    ) -> None:
        self._context, self._run = context, run

    async def generate(self, prompt: str, **options: Unpack[ImageOptions]) -> ImageResponse:
        """Generate an image from a prompt. Raises as ``Images.generate``."""
        return await self._run(generation(prompt, (), options, self._context))

    async def edit(
        self, prompt: str, images: Reference | Iterable[Reference] = (), **options: Unpack[ImageOptions]
    ) -> ImageResponse:
        """Generate an image from others, as ``Images.edit``; files are read in a thread."""
        most = support_of(self._context.backend).most_references
        references = await asyncio.to_thread(references_of, images, most)
        flow = await asyncio.to_thread(generation, prompt, references, options, self._context)
        return await self._run(flow)

    def tool(
        self, folder: str | os.PathLike[str] | None = None, **options: Unpack[ImageOptions]
    ) -> FunctionTool:
        """A tool with which the model draws, as ``Images.tool``."""
        recent = RecentImages(folder, options, self._context.backend)

        async def generate_image(
            *, prompt: str, transparent_background: bool = False, last_images: int = 0
        ) -> list[object]:
            references = recent.references(last_images)
            wanted = recent.options(transparent=transparent_background)
            if references:
                made = await self.edit(prompt, references, **wanted)
            else:
                made = await self.generate(prompt, **wanted)
            return await asyncio.to_thread(recent.shown, made)

        return recent.tool(generate_image)
