"""What may stand in the header lines of HTTP/1.1, in a request and in a reply (RFC 9110 §5, RFC 9112 §5)."""

from __future__ import annotations

from collections.abc import Collection

_OF_NAMES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONTROLS = bytes([*range(9), *range(10, 32), 127])  # all but the tab


def are_names(names: Collection[bytes]) -> bool:
    """Whether each of them can be the name of a header."""
    between = b"\n".join(names).translate(None, _OF_NAMES)
    return between == b"\n" * (len(names) - 1) and b"" not in names


def has_lines(data: bytes, count: int) -> bool:
    """Whether the only control characters in ``data`` are the ends of ``count`` lines, and tabs."""
    return len(data) - len(data.translate(None, _CONTROLS)) == 2 * count
