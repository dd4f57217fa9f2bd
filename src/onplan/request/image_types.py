"""Determines the MIME type of an image from its first bytes.

Backends refuse a type that the bytes contradict, in this turn and in all later ones. Wrong types come from
MCP servers (a JPEG as image/png: vscode issue 311732) and phones (HEIC as image/png: paseo issue 700; 2026).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote

from onplan.errors import InvalidImageError

# The types that all backends accept.
_TAKEN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})

# Types by their first bytes.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"<svg", "image/svg+xml"),
    (b"%PDF", "application/pdf"),
)
# Types by the brand in the first box of an ISO base media file (ISO/IEC 14496-12).
_BRANDS: Mapping[bytes, str] = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
}
# Other names of the same types.
_ALIASES: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/jfif": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/heif": "image/heic",
    "image/x-ms-bmp": "image/bmp",
    "image/vnd.microsoft.icon": "image/x-icon",
}
_HEAD = 256  # characters of base64 in which every signature is


def image_type(data: bytes, given: str | None, name: str) -> str:
    """The MIME type to send ``data`` as.

    Args:
        data: the image, or its beginning.
        given: the type that the program gave, or None. It is used only if the bytes do not contradict it, for
            images other than PNG, JPEG, WebP and GIF; Gemini accepts HEIC and HEIF by its documentation.
        name: the image's name, for the error.

    Raises:
        InvalidImageError: the image is none of the four, and ``given`` is not its type.
    """
    found, said = type_of(data), _plain(given)
    if found in _TAKEN:
        return found
    if given and said.startswith("image/") and said not in _TAKEN and found in (None, said):
        return given
    what = f"{name} is of type {_short(found)}, and not" if found else f"{name} is not"
    is_document = found == "application/pdf"
    raise InvalidImageError(
        f"{what} a PNG, JPEG, WebP or GIF image.",
        hint="Give a document as onplan.File." if is_document else "Convert it, to JPEG for example.",
    )


def with_true_type(url: str, name: str) -> str:
    """``url`` with the type that its bytes have, if it is a ``data:`` URL in base64; else unchanged.

    Raises:
        InvalidImageError: as for ``image_type``.
    """
    head, comma, payload = url.partition(",")
    scheme, _, rest = head.partition(":")
    given, *parameters = rest.split(";")
    in_base64 = any(word.strip().lower() == "base64" for word in parameters)
    if scheme.lower() != "data" or not comma or not in_base64:
        return url
    kind = image_type(_beginning(payload), given or None, name)
    return url if kind == given else f"data:{kind};base64,{payload}"


def _beginning(payload: str) -> bytes:
    """The first bytes of base64 text, in either alphabet, ignoring any other characters."""
    plain = unquote(payload[: 4 * _HEAD]).replace("-", "+").replace("_", "/")
    letters = "".join(c for c in plain if c.isascii() and (c.isalnum() or c in "+/"))[:_HEAD]
    return b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + "==")


def type_of(data: bytes) -> str | None:
    """The MIME type that the first bytes of ``data`` show; None if they show none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), None)


def _plain(given: str | None) -> str:
    """A MIME type without parameters, under its usual name."""
    plain = (given or "").partition(";")[0].strip().lower()
    return _ALIASES.get(plain, plain)


def _short(kind: str) -> str:
    """The short name of a type: ``HEIC`` for ``image/heic``."""
    return kind.rpartition("/")[2].removeprefix("x-").partition("+")[0].rpartition(".")[2].upper()
