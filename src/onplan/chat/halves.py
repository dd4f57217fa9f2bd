r"""Joins characters whose two UTF-16 halves came in two chunks.

Gateways in JavaScript cut text between UTF-16 units, so an emoji may come as ``"\ud83d"`` and ``"\ude00"``,
neither of which is valid text by itself (elizaOS issue 30904, September 2026).
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    rb"(?P<both>\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2})"
    rb"|(?P<first>\\u[dD][89abAB][\da-fA-F]{2})"
    rb"|(?P<second>\\u[dD][c-fC-F][\da-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"


class Halves:
    """Keeps the first half of a character in one payload for the next payload."""

    def __init__(self) -> None:
        self._first = b""

    def mend(self, payload: bytes) -> bytes:
        """``payload`` with whole characters; a half without the other half becomes U+FFFD."""
        return _ESCAPES.sub(self._mended, payload) if b"\\u" in payload else payload

    def _mended(self, found: re.Match[bytes]) -> bytes:
        text, start, end = found[0], found.start(), found.end()
        if found["first"] and found.string[end : end + 1] == b'"':
            self._first = text
            return b""
        if found["second"] and self._first and found.string[start - 1 : start] == b'"':
            first, self._first = self._first, b""
            return first + text
        return _REPLACEMENT if found["first"] or found["second"] else text
