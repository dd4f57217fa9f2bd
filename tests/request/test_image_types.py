"""The MIME type that an image is sent with: its bytes decide, whatever it is called."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

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
    ],
    ids=["type", "parameters", "no type", "percent", "urlsafe", "no padding", "cut"],
)
def test_a_data_url_gets_the_type_of_its_bytes(url, kind):
    """However its base64 is written."""
    assert with_true_type(url, "a") == f"data:{kind};base64,{url.partition(',')[2]}"


@pytest.mark.parametrize("url", ["https://a/b.png", f"data:image/png;base64,{PNG64}", "data:image/png,abc"])
def test_other_urls_stay_as_they_are(url):
    """An address, a type that is true, and a URL that is not in base64."""
    assert with_true_type(url, "a") == url
