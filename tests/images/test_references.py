"""The images that an edit begins with: read, checked by their bytes, and sent as ``data:`` URLs."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from onplan import Image
from onplan.errors import InvalidImageError, InvalidRequestError
from onplan.images.references import references_of
from onplan.images.response import GeneratedImage, ImageResponse
from onplan.images.settings import ImageSettings

PNG = (Path(__file__).parent.parent / "pixel.png").read_bytes()
URL = f"data:image/png;base64,{b64encode(PNG).decode()}"
MADE = GeneratedImage(PNG, "image/png")
NOTHING = ImageSettings()


def response(*images: GeneratedImage) -> ImageResponse:
    return ImageResponse(images=list(images), requested=NOTHING, reported=NOTHING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "pixel.gif"  # whatever its name says
    found.write_bytes(PNG)
    return found


def test_every_way_to_name_an_image(path: Path) -> None:
    """Its bytes decide its type, and not its name or what a program says."""
    ways: list[Any] = [
        path,
        str(path),
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        Image(path=str(path)),
        Image(path),
        Image(data=PNG, mime_type="image/jpeg"),
        Image(url=URL),
        URL,
        URL.replace("image/png", "image/jpeg"),
        URL.replace("data:", "DATA:").replace(";base64", ";BASE64"),
        URL.replace("+", "%2B"),
        MADE,
        response(MADE),
    ]
    for way in ways:
        assert references_of(way, 5) == [URL]
        assert references_of([way, way], 5) == [URL, URL]
    assert references_of(iter(ways[:5]), 5) == [URL] * 5


@pytest.mark.parametrize(("data", "mime_type"), [(b"\xff\xd8\xff\xe0", "jpeg"), (b"RIFF____WEBP", "webp")])
def test_other_formats_that_are_taken(data: bytes, mime_type: str) -> None:
    """As they are."""
    [url] = references_of(data, 5)

    head, _, payload = url.partition(",")
    assert (head, b64decode(payload)) == (f"data:image/{mime_type};base64", data)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "1 to 5 images, and not with 0"),
        ([PNG] * 6, "1 to 5 images, and not with 6"),
        (None, "not NoneType"),
        (5, "not int"),
        ([None], "not NoneType"),
        ({"a": PNG}, "not dict"),
        ("https://example.com/fox.png", "cannot be an address"),
        ("HTTP://example.com/fox.png", "cannot be an address"),
        (Image(url="https://example.com/fox.png"), "cannot be an address"),
        (Image(url="https://example.com/fox,owl.png"), "cannot be an address"),
        ("data:image/png;base64", "cannot be an address"),
        (response(MADE, MADE), "Which of the 2 images"),
        ("no-such-file.png", "no-such-file.png cannot be read"),
        ("nul\0.png", "cannot be read"),
        ("", "cannot be read"),
        (os.devnull, "is not a PNG, JPEG or WebP image"),
    ],
)
def test_what_is_no_image_to_begin_with(images: Any, message: str) -> None:
    """It is refused before anything is sent, with the reason."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        references_of(images, 5)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"GIF89a", "GIF"), (b"BM", "BMP"), (b"%PDF-1.7", "PDF"), (b"<html>", ""), (b"", "")],
)
def test_formats_that_are_not_taken(data: bytes, kind: str) -> None:
    """The error says which it is, and what to do."""
    with pytest.raises(InvalidImageError, match="is not a PNG, JPEG or WebP image") as caught:
        references_of(data, 5)
    assert kind in str(caught.value)
    for named in (data, Image(data=data, path="fox.png")):
        name = "fox.png" if isinstance(named, Image) else "The image"
        with pytest.raises(InvalidImageError, match=f"^{name} is not"):
            references_of(named, 5)
    with pytest.raises(InvalidImageError, match=r"^The image is not"):
        references_of(Image(data=data), 5)
    assert "PNG" in caught.value.hint


@pytest.mark.parametrize("url", ["data:image/png;base64,iVBORw0KGgo=!", "data:image/png;base64,%%%"])
def test_a_damaged_data_url(url: str) -> None:
    """It is refused here, and not by the service."""
    with pytest.raises(InvalidImageError, match="base64"):
        references_of(url, 5)


def test_an_image_of_too_many_bytes(tmp_path: Path) -> None:
    """It is not sent; a device that never ends is not read."""
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.write(PNG)
        file.truncate(51 * 1024 * 1024)
    with pytest.raises(InvalidImageError, match="53,477,376 bytes"):
        references_of(huge, 5)
    with pytest.raises(InvalidRequestError, match="it is a device and not a file"):
        references_of("/dev/zero", 5)
