"""Bytes of images and files as ``data:`` URLs."""

from __future__ import annotations

import pytest

from onplan.errors import InvalidRequestError
from onplan.request.data_url import data_url
from onplan.types import File, Image


@pytest.mark.parametrize(
    ("part", "url"),
    [
        (Image(data=b"ab", mime_type="image/webp"), "data:image/webp;base64,YWI="),
        (Image(data=b"ab"), "data:image/png;base64,YWI="),
        (File(data=b"\xfb\xff"), "data:application/octet-stream;base64,+/8="),
        (File(data=b""), "data:application/octet-stream;base64,"),
    ],
    ids=["type given", "image", "file", "empty"],
)
def test_bytes_are_written_in_base64_behind_their_type(part, url):
    """A type that is not given is that of the kind of part."""
    assert data_url(part) == url


@pytest.mark.parametrize(
    ("part", "says"),
    [(Image(path="a.png"), "image at a.png was not read"), (File(path="b"), "file at b was not read")],
    ids=["image", "file"],
)
def test_a_part_that_was_not_read_is_an_error(part, says):
    """The sentence names its path."""
    with pytest.raises(InvalidRequestError, match=says):
        data_url(part)
