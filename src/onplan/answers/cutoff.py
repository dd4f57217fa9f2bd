"""Ends an answer where the program wants it ended and the backend cannot: at a stop text, at a length.

Text that may be the beginning of a stop text is held back until it is known not to be one. The length is an
estimate, for only the backend counts tokens; it is the same for any split of the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from onplan.parameters import CutAt
from onplan.types import (
    ContentPart,
    FinishReason,
    PartDone,
    StreamChunk,
    Text,
    TextDelta,
    ToolCallDelta,
)

# Quarters of a token for a character: Latin letters come four to a token, Greek and Arabic ones two, Chinese
# ones and emoji one.
_SCRIPTS = ((0x80, 1), (0x800, 2))
_WHOLE = 4


def _quarters_of(character: str) -> int:
    code = ord(character)
    return next((quarters for end, quarters in _SCRIPTS if code < end), _WHOLE)


def quarters_in(text: str) -> int:
    """About how many quarters of a token ``text`` is long."""
    return len(text) if text.isascii() else sum(map(_quarters_of, text))


class Cutoff:
    """Passes the chunks of one answer on, up to its end.

    Attributes:
        reason: why the answer ended here; None as long as it goes on.
        parts: the parts that are finished, the last one cut.
    """

    def __init__(self, at: CutAt, kept: Sequence[ContentPart] = ()) -> None:
        self.reason: FinishReason | None = None
        self.parts: list[ContentPart] = list(kept)
        self._stop = at.stop
        said = (part.text for part in kept if isinstance(part, Text))
        used = sum(map(quarters_in, said))
        self._left = None if at.max_tokens is None else at.max_tokens * _WHOLE - used
        self._text: list[str] = []  # of the part that is arriving, as far as it was passed on
        self._held = ""

    def passed(self, chunks: Iterable[StreamChunk]) -> list[StreamChunk]:
        """Those of ``chunks`` that come before the end, and what was held back until now."""
        passed: list[StreamChunk] = []
        for chunk in chunks:
            if self.reason:
                break
            if isinstance(chunk, TextDelta):
                self._take(self._held + chunk.text, passed, is_last=False)
                continue
            if self._held:
                self._take(self._held, passed, is_last=True)
                if self.reason:
                    break
            if isinstance(chunk, ToolCallDelta) and self._is_too_long(chunk.arguments_delta):
                self.reason = FinishReason.LENGTH
                break
            if isinstance(chunk, PartDone):
                self.parts.append(chunk.part)
                self._text = []
            passed.append(chunk)
        return passed

    def _take(self, text: str, passed: list[StreamChunk], *, is_last: bool) -> None:
        """Pass on what of ``text`` cannot belong to a stop text; end the answer before one."""
        # The stop text that ends first, so that it is the same one for any split.
        ends = [(at + len(stop), at) for stop in self._stop if (at := text.find(stop)) >= 0]
        end = min(ends)[1] if ends else None
        certain = len(text) - (0 if is_last else self._overlap(text)) if end is None else end
        self._held, text = text[certain:], text[:certain]
        fits = self.fitting(text)
        if fits < len(text):
            text, end, self.reason = text[:fits], fits, FinishReason.LENGTH
        elif end is not None:
            self.reason = FinishReason.STOP
        if text:
            self._text.append(text)
            passed.append(TextDelta(text))
        if self.reason and (said := "".join(self._text)):
            part = Text(said)
            self.parts.append(part)
            passed.append(PartDone(part))

    def _overlap(self, text: str) -> int:
        """How many characters at the end of ``text``, which has no stop text, may begin one: the most."""
        begun = (
            length for stop in self._stop for length in range(1, len(stop)) if text.endswith(stop[:length])
        )
        return max(begun, default=0)

    def fitting(self, text: str) -> int:
        """How many characters of ``text`` are not too many; they are counted."""
        if self._left is None:
            return len(text)
        if (needed := quarters_in(text)) <= self._left:
            self._left -= needed
            return len(text)
        return bisect_right(list(accumulate(map(_quarters_of, text))), self._left)

    def _is_too_long(self, arguments: str) -> bool:
        return self.fitting(arguments) < len(arguments)
