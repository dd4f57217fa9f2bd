"""The answer of the image endpoints: images with their bytes, what was requested, and what is reported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from onplan.answers.limits import limits_of_headers
from onplan.answers.usage import usage_of
from onplan.errors import InvalidRequestError, UnexpectedReplyError
from onplan.images.saving import save_image
from onplan.images.settings import MOST_IMAGES, ImageSettings
from onplan.request.image_size import pixels_of
from onplan.request.image_types import type_of
from onplan.turn.side_request import SideReply
from onplan.types import Image, Limits, Usage
from onplan.types.hosted_images import decoded


class GeneratedImage(msgspec.Struct, frozen=True):
    """An image that the service generated.

    Attributes:
        data: its bytes.
        mime_type: by its bytes, such as ``image/png``.
        size: width and height in pixels, read from the image; None if they cannot be read.
        revised_prompt: the prompt that the service used in place of the program's, if it says so.
    """

    data: bytes
    mime_type: str
    size: tuple[int, int] | None = None
    revised_prompt: str | None = None

    def __repr__(self) -> str:
        """Without the bytes."""
        pixels = "x".join(map(str, self.size)) if self.size else "unknown size"
        return f"GeneratedImage({self.mime_type}, {pixels}, {len(self.data):,} bytes)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """As ``__repr__``, which rich would not ask."""
        return [("mime_type", self.mime_type), ("size", self.size)]

    @property
    def part(self) -> Image:
        """The image as a part of a message, to ask a model about it."""
        return Image(data=self.data, mime_type=self.mime_type)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the image to a file, whole or not at all, and return the file's path.

        A missing suffix is added, and that of another image format is replaced: a PNG image saved as
        ``fox.jpg`` is in ``fox.png``.

        Raises:
            ConfigurationError: the file exists and ``overwrite`` is not given, or it cannot be written.
        """
        return save_image(self.data, self.mime_type, path, overwrite=overwrite)


class ImageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The images of one request.

    Attributes:
        images: at least one. A service may generate fewer than were requested.
        requested: what the program asked for.
        reported: what the service says it made, which often differs; ``size`` of each image is its own.
        created: when they were generated, Unix seconds, by the service's clock.
        usage: tokens, where the service counts them.
        limits: what the plan has left, if the answer says so.
        request_id: the service's id of the request.
    """

    images: list[GeneratedImage]
    requested: ImageSettings
    reported: ImageSettings
    created: float | None = None
    usage: Usage | None = None
    limits: Limits | None = None
    request_id: str | None = None

    @property
    def image(self) -> GeneratedImage:
        """The one image. Raises InvalidRequestError if there are several."""
        if len(self.images) == 1:
            return self.images[0]
        raise InvalidRequestError(
            f"There are {len(self.images)} images.", hint="Use `for image in response.images`."
        )

    @property
    def data(self) -> bytes:
        """The bytes of the one image."""
        return self.image.data

    @property
    def mime_type(self) -> str:
        """The type of the one image."""
        return self.image.mime_type

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the one image; None if they are unknown."""
        return self.image.size

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the one image to a file (``GeneratedImage.save``)."""
        return self.image.save(path, overwrite=overwrite)


_IMAGE_ID = "x-codex-imagegen-request-id"


def response_of(reply: SideReply, requested: ImageSettings, now: float) -> ImageResponse:
    """The images in an answer.

    Raises:
        UnexpectedReplyError: it has no image that can be used.
    """
    body = reply.value if isinstance(reply.value, dict) else {}
    entries = body.get("data")
    if not isinstance(entries, list):
        raise _without_images("holds no list of images", reply)
    images: list[GeneratedImage] = []
    problem = "holds no image data"
    for entry in entries[:MOST_IMAGES]:
        found = _image_of(entry)
        if isinstance(found, GeneratedImage):
            images.append(found)
        else:
            problem = found
    if not images:
        raise _without_images(problem, reply)
    created = body.get("created")
    return ImageResponse(
        images=images,
        requested=requested,
        reported=ImageSettings(
            model=_word(body.get("model")),
            size=_word(body.get("size")),
            quality=_word(body.get("quality")),
            background=_word(body.get("background")),
            format=_word(body.get("output_format")),
        ),
        created=float(created) if type(created) is int and 0 <= created < 1 << 53 else None,
        usage=usage_of(body["usage"]) if isinstance(body.get("usage"), dict) else None,
        limits=limits_of_headers(reply.headers, now),
        request_id=_request_id(reply),
    )


def _without_images(problem: str, reply: SideReply) -> UnexpectedReplyError:
    return UnexpectedReplyError(
        f"The answer of the service {problem}.",
        hint="Try again, perhaps with another prompt.",
        request_id=_request_id(reply),
    )


def _request_id(reply: SideReply) -> str | None:
    return reply.request_id or reply.headers.get(_IMAGE_ID)


def _image_of(entry: Any) -> GeneratedImage | str:
    """The image in an entry of ``data``; or what is wrong with it, as the end of a sentence."""
    if not isinstance(entry, dict):
        return "holds something else in place of an image"
    text = entry.get("b64_json")
    if not isinstance(text, str) or not text:
        only_url = isinstance(entry.get("url"), str)
        return "holds the address of an image, and not the image" if only_url else "holds no image data"
    data = decoded(text)
    if data is None:
        return "holds an image whose base64 is damaged"
    found = image_of(data, _word(entry.get("revised_prompt"), _LONGEST_PROMPT))
    return found or "holds data that is no image of a known format"


def image_of(data: bytes, revised_prompt: str | None = None) -> GeneratedImage | None:
    """``data`` as an image; None if its format is not known."""
    kind = type_of(data)
    if kind is None or not kind.startswith("image/"):
        return None
    return GeneratedImage(data, kind, pixels_of(data), revised_prompt)


_LONGEST_WORD, _LONGEST_PROMPT = 100, 100_000


def _word(value: Any, longest: int = _LONGEST_WORD) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= longest else None
