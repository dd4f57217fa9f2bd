"""Compressed bodies, decoded piece by piece: tables of bytes."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from onplan.transports import decompression
from onplan.transports.decompression import DamagedBodyError, Unknown, accepted, decompressor_for

MEBIBYTE = 1024 * 1024
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


@given(st.binary(max_size=2_000), st.integers(1, 500), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_any_pieces_decode_to_the_same(data: bytes, size: int, encoding: str) -> None:
    """However a body is cut, what it decodes to is the same; gzip may come in several members."""
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[encoding]
    body = compress(data) * (3 if encoding == "gzip" else 1)

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


def zstd(size: int) -> bytes:
    """Many zeros, without ever holding them."""
    compressor, step = zstandard.ZstdCompressor().compressobj(), 4 * MEBIBYTE
    return b"".join(compressor.compress(bytes(step)) for _ in range(size // step)) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "body", "most"),
    [
        ("gzip", gzip.compress(bytes(8 * MEBIBYTE)), 1 * MEBIBYTE),
        ("deflate", zlib.compress(bytes(8 * MEBIBYTE)), 1 * MEBIBYTE),
        ("zstd", zstd(64 * MEBIBYTE), 17 * MEBIBYTE),
    ],
    ids=["gzip", "deflate", "zstd"],
)
def test_a_small_body_that_stands_for_very_much_comes_in_pieces(
    encoding: str, body: bytes, most: int
) -> None:
    """What is decoded at once has a limit, so that the reader can refuse the rest before it is in memory."""
    decompressor = decompressor_for(encoding)
    assert decompressor
    sizes = [len(piece) for piece in decompressor.feed(body)]

    assert sum(sizes) in (8 * MEBIBYTE, 64 * MEBIBYTE)
    assert max(sizes) <= most


@pytest.mark.parametrize("encoding", ["", "identity", "br", "sparkle"])
def test_other_encodings_are_left_to_others(encoding: str) -> None:
    """What is not decoded here has no decompressor."""
    assert decompressor_for(encoding) is None


def _raw(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        pytest.param("gzip", gzip.compress(TEXT), TEXT, id="gzip"),
        pytest.param(" GZip ", gzip.compress(TEXT), TEXT, id="gzip in other letters"),
        pytest.param("x-gzip", gzip.compress(TEXT), TEXT, id="x-gzip"),
        pytest.param("gzip", gzip.compress(b"a") + gzip.compress(b"b"), b"ab", id="two members"),
        pytest.param("gzip", gzip.compress(TEXT) + b"after the end", TEXT, id="text after gzip"),
        pytest.param("gzip", gzip.compress(TEXT) + bytes(9), TEXT, id="zeros after gzip"),
        pytest.param("deflate", zlib.compress(TEXT), TEXT, id="zlib"),
        pytest.param("deflate", zlib.compress(TEXT, 1), TEXT, id="zlib, quickly"),
        pytest.param("deflate", _raw(TEXT), TEXT, id="without a header"),
        pytest.param("deflate", zlib.compress(TEXT) + b"after the end", TEXT, id="text after zlib"),
        pytest.param("deflate", zlib.compress(b"a") + zlib.compress(b"b"), b"a", id="zlib twice"),
        pytest.param("deflate", zlib.compress(b"a") + gzip.compress(b"b"), b"a", id="gzip after zlib"),
        pytest.param("deflate", b"\x09\x02\x00\xfd\xffhi", b"hi", id="without a header, stored"),
        pytest.param("ZSTD", zstandard.compress(TEXT), TEXT, id="zstd"),
        pytest.param("gzip", b"", b"", id="nothing"),
    ],
)
def test_what_a_body_decodes_to(encoding: str, body: bytes, expected: bytes, size: int) -> None:
    """Deflate with its header or without; gzip members one after another; what follows the end is ignored."""
    assert decoded(body, encoding, size) == (expected, False)


def test_the_end_of_what_is_decoded_may_come_after_the_last_byte_is_read() -> None:
    """Where the bytes of a body are all read and a piece is full, the rest of the content is not lost."""
    for size in range(MEBIBYTE + 1, MEBIBYTE + 40, 3):
        assert decoded(_raw(bytes(size)), "deflate", 100_000) == (bytes(size), False)


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)[:-8] + bytes(8)),
        ("deflate", zlib.compress(TEXT)[:-4] + bytes(4)),
        ("zstd", zstandard.ZstdCompressor(write_checksum=True).compress(TEXT)[:-4] + bytes(4)),
        ("zstd", zstandard.compress(TEXT) + b"after the end"),
    ],
    ids=["gzip", "deflate", "zstd", "more than zstd"],
)
def test_a_wrong_end_costs_no_content(encoding: str, body: bytes, size: int) -> None:
    """With a wrong checksum, all of the content comes before the error."""
    assert decoded(body, encoding, size) == (TEXT, True)


def test_half_the_mark_of_a_gzip_member_begins_none() -> None:
    """What follows the end is ignored, unless it begins like another member."""
    assert decoded(gzip.compress(TEXT) + b"\x1fafter the end", "gzip", 100_000) == (TEXT, False)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("gzip", gzip.compress(bytes(MEBIBYTE)) + gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", _raw(TEXT)),
        ("zstd", zstandard.compress(TEXT)),
    ],
    ids=["gzip", "two members", "deflate", "without a header", "zstd"],
)
def test_a_body_is_whole_at_its_last_byte(encoding: str, body: bytes) -> None:
    """And not before it: neither at the beginning, nor with the checksum alone missing."""
    decompressor = decompressor_for(encoding)
    assert decompressor
    assert not decompressor.is_whole()
    list(decompressor.feed(body[:-1]))
    assert not decompressor.is_whole()
    list(decompressor.feed(body[-1:]))
    assert decompressor.is_whole()


def test_what_is_accepted() -> None:
    """The value of Accept-Encoding has no encoding that is not decoded here."""
    assert accepted() == "gzip, deflate, zstd"
    assert all(decompressor_for(encoding) for encoding in accepted().split(", "))
    unknown = Unknown("br")
    with pytest.raises(DamagedBodyError, match="encoded as 'br', which was not accepted"):
        unknown.feed(b"")
    assert not unknown.is_whole()


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Which library decodes zstd is found out again, now and after the test."""
    decompression._zstandard.cache_clear()
    yield
    decompression._zstandard.cache_clear()


class _StandardLibrary(ModuleType):
    """As much of ``compression.zstd`` of Python 3.14 as is used."""

    ZstdError = zstandard.ZstdError

    @staticmethod
    def ZstdDecompressor() -> object:  # noqa: N802 - its name there
        return zstandard.ZstdDecompressor().decompressobj()


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(
    ("standard", "extra", "is_accepted"),
    [
        (_StandardLibrary("compression.zstd"), None, True),
        (None, zstandard, True),
        (None, None, False),
    ],
    ids=["the standard library", "the extra", "neither"],
)
def test_which_library_decodes_zstd(
    standard: ModuleType | None, extra: ModuleType | None, is_accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either is enough. Without both, it is not accepted."""
    monkeypatch.setitem(sys.modules, "compression.zstd", standard)
    monkeypatch.setitem(sys.modules, "zstandard", extra)

    assert ("zstd" in accepted()) is is_accepted
    if is_accepted:
        assert decoded(zstandard.compress(TEXT), "zstd", 100) == (TEXT, False)
        assert decoded(zstandard.compress(TEXT)[:-9] + b"no content", "zstd", 100)[1]
    else:
        assert decompressor_for("zstd") is None


@pytest.mark.parametrize("body", [zlib.compress(TEXT), _raw(TEXT)], ids=["with a header", "raw"])
def test_an_empty_read_decides_nothing(body: bytes) -> None:
    """Whether deflate has its header is seen at the first byte, and not before."""
    decompressor = decompressor_for("deflate")
    assert decompressor
    assert list(decompressor.feed(b"")) == []
    assert b"".join(decompressor.feed(body)) == TEXT
