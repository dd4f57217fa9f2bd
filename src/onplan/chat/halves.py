r"""Characters that a server has cut in two: half at the end of one text, the other half in the next chunk.

Gateways written in JavaScript cut text by units of UTF-16, so an emoji may come as ``"\ud83d"`` and
``"\ude00"``, and neither is text by itself (seen September 2026: elizaOS, issue 30904).
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
    """Joins halves of characters: keeps the first half of one payload for the next payload."""

    def __init__(self) -> None:
        self._first = b""

    def mend(self, payload: bytes) -> bytes:
        """``payload`` with whole characters; half of one that has no other half is replaced."""
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
