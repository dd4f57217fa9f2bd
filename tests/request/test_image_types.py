"""The MIME type that an image is sent with: its bytes decide, whatever it is called."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from contextlib import nullcontext

import pytest

from onplan.errors import InvalidImageError
from onplan.request.image_types import image_type, with_true_type

PNG = b"\x89PNG\r\n\x1a\n\xfb\xff\xfe"
JPEG = b"\xff\xd8\xff\xe0"
HEIC = b"\x00\x00\x00\x18ftypheic"


@pytest.mark.parametrize(
    ("data", "given", "kind"),
    [
        (JPEG, "image/png", "image/jpeg"),
        (PNG, None, "image/png"),
        (PNG, "text/plain", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBP", None, "image/webp"),
        (HEIC, "image/heic", "image/heic"),
        (HEIC, "image/heif", "image/heif"),
        (b"unknown", "image/x-own", "image/x-own"),
    ],
    ids=str,
)
def test_the_bytes_decide(data, given, kind):
    """The given type counts only for images that are of no usual type, and do not contradict it."""
    assert image_type(data, given, "a") == kind


def iso(brand):
    """The beginning of an ISO base media file of this brand."""
    return b"\x00\x00\x00\x18ftyp" + brand


BEGINNINGS = {
    "image/png": [PNG],
    "image/jpeg": [JPEG],
    "image/gif": [b"GIF87a", b"GIF89a"],
    "image/webp": [b"RIFF\x00\x00\x00\x00WEBP", b"RIFF\x00\x00\x00\x00WEBPVP8 "],
    "image/tiff": [b"II*\x00", b"MM\x00*"],
    "image/bmp": [b"BM\x00\x00"],
    "image/x-icon": [b"\x00\x00\x01\x00"],
    "image/jxl": [b"\xff\x0a", b"\x00\x00\x00\x0cJXL "],
    "image/vnd.adobe.photoshop": [b"8BPS"],
    "image/svg+xml": [b"<svg xmlns"],
    "image/heic": [
        iso(brand) for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
    ],
    "image/avif": [iso(b"avif"), iso(b"avis")],
}
TAKEN = ("image/png", "image/jpeg", "image/gif", "image/webp")


@pytest.mark.parametrize(("kind", "beginnings"), BEGINNINGS.items(), ids=BEGINNINGS)
def test_a_type_is_known_by_the_first_bytes(kind, beginnings):
    """The four that every backend takes need no name; others are sent as what they are said to be."""
    for data in beginnings:
        assert image_type(data, kind, "a") == kind
        with pytest.raises(InvalidImageError) if kind not in TAKEN else nullcontext():
            assert image_type(data, None, "a") == kind
        with pytest.raises(InvalidImageError) if kind not in TAKEN else nullcontext():
            assert image_type(data, "image/x-other", "a") == kind


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("image/heif", "image/heic"),
        ("image/x-ms-bmp", "image/bmp"),
        ("image/vnd.microsoft.icon", "image/x-icon"),
        ("IMAGE/BMP; x=y", "image/bmp"),
        (" image/bmp ", "image/bmp"),
    ],
)
def test_another_name_of_the_type_is_kept(given, kind):
    """The program's own word for it is sent."""
    assert image_type(BEGINNINGS[kind][0], given, "a") == given


@pytest.mark.parametrize(
    "given",
    [
        *TAKEN,
        "image/jpg",
        "image/pjpeg",
        "image/jfif",
        "image/x-png",
        "image/apng",
        "text/plain",
        "",
        "image",
    ],
)
def test_a_type_that_is_not_seen_is_not_believed(given):
    """What is said to be one of the four would be recognised; what is no image is none."""
    with pytest.raises(InvalidImageError, match="a is not a PNG"):
        image_type(b"unknown", given, "a")


@pytest.mark.parametrize(
    "data", [b"RIFF\x00\x00\x00\x00WAVE", b"xxxx\x00\x00\x00\x00WEBP", iso(b"mp42"), b""]
)
def test_half_a_signature_is_none(data):
    """A container of something else is no image."""
    with pytest.raises(InvalidImageError, match="a is not a PNG"):
        image_type(data, None, "a")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("image/x-icon", "ICON"),
        ("image/svg+xml", "SVG"),
        ("image/vnd.adobe.photoshop", "PHOTOSHOP"),
        ("image/tiff", "TIFF"),
    ],
)
def test_how_a_type_is_called(kind, name):
    """By its short name, in the error."""
    with pytest.raises(InvalidImageError, match=f"a is of type {name}, and not a PNG"):
        image_type(BEGINNINGS[kind][0], None, "a")


@pytest.mark.parametrize(
    ("data", "given", "says", "hint"),
    [
        (HEIC, "image/png", "a is of type HEIC", "JPEG"),
        (HEIC, "image/bmp", "a is of type HEIC", "JPEG"),
        (b"unknown", "image/png", "a is not a PNG", "JPEG"),
        (b"unknown", None, "a is not a PNG", "JPEG"),
        (b"%PDF-1.7", "application/pdf", "a is of type PDF", "onplan.File"),
    ],
    ids=str,
)
def test_what_no_backend_takes_is_an_error(data, given, says, hint):
    """The error says what the image is, and what to do."""
    with pytest.raises(InvalidImageError, match=says) as caught:
        image_type(data, given, "a")
    assert hint in caught.value.hint


PLUS = b"\x00\x0f\x80\x00ftypavif" + bytes(9)  # which has a plus in base64
PNG64, JPEG64 = b64encode(PNG).decode(), b64encode(JPEG).decode()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"data:image/jpeg;base64,{PNG64}", "image/png"),
        (f"data:image/jpeg;name=a;base64,{PNG64}", "image/png"),
        (f"DATA:;BASE64,{PNG64}", "image/png"),
        (f"data:image/png;base64,{JPEG64.replace('/', '%2F')}", "image/jpeg"),
        (f"data:image/png;base64,{urlsafe_b64encode(JPEG).decode()}", "image/jpeg"),
        (f"data:image/png;base64,{JPEG64.rstrip('=')}", "image/jpeg"),
        (f"data:image/jpeg;base64,{PNG64[:13]}", "image/png"),
        (f"data:image/jpeg;base64,{b64encode(PNG + bytes(9)).decode()[:17]}", "image/png"),
        (f"data:image/png;base64,{urlsafe_b64encode(PLUS).decode()}", None),
        (f"data:image/jpeg; base64 ,{PNG64}", "image/png"),
        (f"data:image/jpeg;base64,{PNG64[:5]} \n{PNG64[5:]}", "image/png"),
        (f"data:image/jpeg;base64,é{PNG64}", "image/png"),
        (f"data:image/jpeg;base64,{'%0A' * 300}{PNG64}", "image/png"),
        (f"data:image/png;base64,{b64encode(iso(b'avif') + bytes(9)).decode()}", None),
    ],
    ids=[
        *("type", "parameters", "no type", "percent", "urlsafe", "no padding", "cut", "cut elsewhere"),
        "urlsafe, the other letter",
        *("blanks", "line ends", "other letters", "escaped line ends", "no usual image"),
    ],
)
def test_a_data_url_gets_the_type_of_its_bytes(url, kind):
    """However its base64 is written."""
    if kind is None:
        with pytest.raises(InvalidImageError, match="a is of type AVIF"):
            with_true_type(url, "a")
        return
    assert with_true_type(url, "a") == f"data:{kind};base64,{url.partition(',')[2]}"


@pytest.mark.parametrize(
    "url",
    [
        "https://a/b.png",
        f"data:image/png;base64,{PNG64}",
        "data:image/png,abc",
        "data:;base64",
        f"blob:;base64,{PNG64}",
    ],
)
def test_other_urls_stay_as_they_are(url):
    """An address, a type that is true, and a URL that is not in base64."""
    assert with_true_type(url, "a") == url
