"""Collects what came of an answer that did not reach its end."""

from __future__ import annotations

from collections.abc import Sequence

from onplan.types import ContentPart, Message, PartDone, Resumed, Role, StreamChunk, Text, TextDelta, Thinking


class PartialAnswer:
    """The finished parts of an answer, and the text after them."""

    def __init__(self) -> None:
        self._parts: list[ContentPart] = []
        self._text: list[str] = []

    def note(self, chunk: StreamChunk) -> None:
        """Add a chunk of the answer."""
        match chunk:
            case TextDelta(text=text):
                self._text.append(text)
            case PartDone(part=part):
                self._parts.append(part)
                if isinstance(part, Text):
                    self._text.clear()
            case Resumed(parts=parts):
                self.replace(parts)

    def replace(self, parts: Sequence[ContentPart]) -> None:
        """Hold these finished parts instead."""
        self._parts = list(parts)
        self._text.clear()

    def message(self) -> Message | None:
        """The answer as far as it came; None if there is nothing to keep.

        Thinking at its end is left out: servers refuse reasoning that nothing follows.
        """
        loose = "".join(self._text)
        parts = [*self._parts, Text(loose)] if loose else list(self._parts)
        while parts and isinstance(parts[-1], Thinking):
            parts.pop()
        return Message(Role.ASSISTANT, parts) if parts else None
