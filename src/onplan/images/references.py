"""Reads the images that an edit begins with, checks them and encodes them as ``data:`` URLs."""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from onplan.attachments import content_of, is_url
from onplan.errors import InvalidImageError, InvalidRequestError
from onplan.images.response import GeneratedImage, ImageResponse
from onplan.request.data_url import data_url
from onplan.request.image_types import type_of
from onplan.types import Image

Reference: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | Image | GeneratedImage | ImageResponse
)
"""A path, the bytes of an image, an ``onplan.Image``, or an image generated before."""

_ONE = (str, os.PathLike, bytes, bytearray, memoryview, Image, GeneratedImage, ImageResponse)
# What the services do with other formats is not known.
_ACCEPTED = ("image/png", "image/jpeg", "image/webp")
_MAXIMUM_SIZE = 50 * 1024 * 1024  # bytes of one image, as the platform documents it


def references_of(images: Reference | Iterable[Reference], most: int) -> list[str]:
    """The ``data:`` URLs of the images, in their order. Reads files.

    Args:
        images: one or several.
        most: how many the backend takes.

    Raises:
        InvalidRequestError: there are none or too many, or one is of another type or cannot be read.
        InvalidImageError: one has another format than PNG, JPEG and WebP.
    """
    given = list(_several(images))
    if not 1 <= len(given) <= most:
        raise InvalidRequestError(
            f"An edit begins with 1 to {most} images, and not with {len(given)}.",
            hint='Give them as `images="fox.png"`, or call `client.images.generate(…)` without any.',
        )
    return [_data_url(reference) for reference in given]


def _several(images: Reference | Iterable[Reference]) -> Iterable[Reference]:
    given: object = images
    if isinstance(given, _ONE):
        return [given]
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return given
    raise _unknown(given)


def _unknown(given: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"An image to edit is a path, bytes or an onplan.Image, and not {type(given).__name__}.",
        hint='Write `client.images.edit("make it blue", images="fox.png")`.',
    )


def _data_url(reference: object) -> str:
    data, name = _data(reference)
    return _checked(data, name)


_NAME = "The image"  # of one that has no path


def _data(reference: object) -> tuple[bytes, str]:
    """The bytes of a reference, and its name for errors."""
    match reference:
        case ImageResponse(images=images) if len(images) != 1:
            raise InvalidRequestError(
                f"Which of the {len(images)} images is to be edited?",
                hint="Give `response.images`, or one of them.",
            )
        case GeneratedImage(data=data) | ImageResponse(images=[GeneratedImage(data=data)]):
            found = data, _NAME
        case bytes() | bytearray() | memoryview():
            found = bytes(reference), _NAME
        case Image(url=str(url)):
            found = _data_of_url(url), _NAME
        case Image(data=bytes(data)):
            found = data, reference.path or _NAME
        case Image(path=path):
            found = content_of(path), path or _NAME
        case str() if is_url(reference):
            found = _data_of_url(reference), _NAME
        case str() | os.PathLike():
            path = os.fspath(reference)
            found = content_of(path), str(path)
        case _:
            raise _unknown(reference)
    return found


def _data_of_url(url: str) -> bytes:
    """The image of a ``data:`` URL. Other addresses are not fetched, neither by onplan nor by the service."""
    head, comma, payload = url.partition(",")
    if not head.lower().startswith("data:") or not comma:
        raise InvalidRequestError(
            "An image to edit cannot be an address: the service fails to download most pages.",
            hint="Download it first, and give the path or the bytes.",
        )
    try:
        is_base64 = head.lower().endswith(";base64")
        plain = unquote_to_bytes(payload)
        return b64decode(plain, validate=True) if is_base64 else plain
    except (binascii.Error, ValueError):
        raise InvalidImageError("The data: URL of an image is not valid base64.") from None


def _checked(data: bytes, name: str) -> str:
    kind = type_of(data)
    if kind not in _ACCEPTED:
        is_like = f" It is {kind.rpartition('/')[2].upper()}." if kind else ""
        raise InvalidImageError(
            f"{name} is not a PNG, JPEG or WebP image.{is_like}",
            hint="Convert it to PNG, and give that.",
        )
    if len(data) > _MAXIMUM_SIZE:
        raise InvalidImageError(
            f"{name} has {len(data):,} bytes, and an image may have {_MAXIMUM_SIZE:,}.",
            hint="Make it smaller.",
        )
    return data_url(Image(data=data, mime_type=kind))
