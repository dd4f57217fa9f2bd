"""The size of an image is read from its first bytes, however odd they are."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from onplan.request.image_size import HEAD, pixels_of

PNG = (Path(__file__).parent.parent / "pixel.png").read_bytes()


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PNG, (1, 1)),
        (PNG[:20], None),
        (PNG[:16] + struct.pack(">II", 0, 5) + PNG[24:], None),
        (PNG[:16] + struct.pack(">II", 100_000, 1) + PNG[24:], (100_000, 1)),
        (PNG[:16] + struct.pack(">II", 1, 100_001) + PNG[24:], None),
        (b"GIF89a\x02\x00\x03\x00", (2, 3)),
        (b"GIF89a\xff\xff\x03\x00", None),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x03\x00\x02" + bytes(20), (2, 3)),
        (b"\xff\xd8" + b"\xff" * 3_000_000, None),
        (b"\xff\xd8\xff\xd9", None),
        (b"\xff\xd8\xff\xc0\x00\x01", None),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f\x01\x80\x00\x00" + bytes(20), (2, 3)),
    ],
)
def test_the_size_is_read_from_the_image(data: bytes, size: tuple[int, int] | None) -> None:
    """Where that cannot be, or makes no sense, it is unknown."""
    assert pixels_of(data) == size


@pytest.mark.parametrize(
    "data",
    [
        b"<svg width='2' height='3'/>",
        b"\0\0\0\x18ftypavif" + bytes(100),
        b"II*\0\x08\0\0\0" + bytes(100),
    ],
)
def test_formats_that_are_not_measured(data: bytes) -> None:
    """Reading those could follow what a hostile file says."""
    assert pixels_of(data) is None


def jpeg(size_at: int) -> bytes:
    """An image whose size stands at this place, after what cameras write."""
    head, segments = b"\xff\xd8", b""
    while left := size_at - len(head) - len(segments):
        length = min(left, 60_000) if left - min(left, 60_000) != 1 else left - 10
        segments += b"\xff\xe2" + struct.pack(">H", length - 2) + bytes(length - 4)
    return head + segments + b"\xff\xc0\x00\x11\x08\x00\x03\x00\x02" + bytes(20)


@pytest.mark.parametrize(
    ("size_at", "size"), [(2, (2, 3)), (100_000, (2, 3)), (HEAD - 30, (2, 3)), (HEAD, None)]
)
def test_only_the_beginning_is_read(size_at: int, size: tuple[int, int] | None) -> None:
    """A quarter of a megabyte: no camera writes more before it."""
    assert HEAD == 262_144
    assert pixels_of(jpeg(size_at)) == size
