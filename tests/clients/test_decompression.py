"""Compressed bodies, decoded piece by piece: tables of bytes."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.transports.decompression import DamagedBodyError, decompressor_for

TEXT = bytes(range(256)) * 40


def decoded(data: bytes, encoding: str, size: int) -> tuple[bytes, bool]:
    """What comes of ``data`` in reads of ``size`` bytes, and whether it was found damaged."""
    decompressor, result = decompressor_for(encoding), bytearray()
    assert decompressor
    for place in range(0, len(data), size):
        try:
            for piece in decompressor.feed(data[place : place + size]):
                assert piece
                result += piece
        except DamagedBodyError:
            return bytes(result), True
    return bytes(result), False


@given(st.binary(max_size=2_000), st.integers(1, 500), st.sampled_from(["gzip", "deflate"]))
def test_any_pieces_decode_to_the_same(data: bytes, size: int, encoding: str) -> None:
    """However a body is cut, what it decodes to is the same; gzip may come in several members."""
    body = gzip.compress(data) * 3 if encoding == "gzip" else zlib.compress(data)

    assert decoded(body, encoding, size) == (data * (3 if encoding == "gzip" else 1), False)


@given(st.integers(0, 400), st.integers(0, 255), st.integers(1, 500))
def test_what_comes_before_the_damage_is_kept(place: int, value: int, size: int) -> None:
    """A changed byte takes nothing of what was compressed before it, as far as one can tell."""
    body = bytearray(gzip.compress(TEXT, mtime=0))
    place %= len(body)
    body[place] = value
    whole, expected = zlib.decompressobj(31), b""
    with suppress(zlib.error):
        for byte in bytes(body):
            expected += whole.decompress(bytes([byte]))

    assert decoded(bytes(body), "gzip", size)[0].startswith(expected)


def test_a_small_body_that_stands_for_very_much_comes_in_pieces() -> None:
    """Nothing decodes more at once than a megabyte."""
    decompressor = decompressor_for("gzip")
    assert decompressor
    sizes = [len(piece) for piece in decompressor.feed(gzip.compress(bytes(5_000_000)))]

    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 1024 * 1024


@pytest.mark.parametrize("encoding", ["", "identity", "br", "sparkle"])
def test_other_encodings_are_left_to_others(encoding: str) -> None:
    """What is not decoded here has no decompressor."""
    assert decompressor_for(encoding) is None
