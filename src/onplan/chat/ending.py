"""The finish reason of a Chat Completions answer, from all the chunks that gave one."""

from __future__ import annotations

from onplan.answers.finish_reasons import finish_of
from onplan.chat.events import Choice
from onplan.errors import StreamFailedError
from onplan.types import FinishReason

# Of several reasons the one that is later in this list counts: an answer that was cut stays cut.
_GRAVITY = (
    FinishReason.STOP,
    FinishReason.TOOL_CALLS,
    FinishReason.LENGTH,
    FinishReason.CONTENT_FILTER,
)
CUTS = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)


class Ending:
    """The finish reason so far.

    Attributes:
        reason: None until one came.
        word: the server's word for it, if it is not the name of a ``FinishReason``.
        is_known: whether that word is in the table of ``finish_reasons``.
    """

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        self.word: str | None = None
        self.is_known = True

    def take(self, choice: Choice) -> bool:
        """Note the reason in ``choice``; returns whether it has one.

        ``native_finish_reason``, from the server behind a gateway, may reveal what the gateway's word hides:
        that the answer failed, was cut or was filtered (OpenRouter, seen November 2026).

        Raises:
            StreamFailedError: the word is one for a failure.
        """
        words = [
            word for word in (choice.finish_reason, choice.native_finish_reason) if isinstance(word, str)
        ]
        found: list[tuple[FinishReason, bool, str]] = []
        for word in words:
            if (finish := finish_of(word)) is None:
                continue
            if finish.reason is None:
                raise StreamFailedError(f"The answer was interrupted ({word}).")
            found.append((finish.reason, finish.is_known, word))
        if not found or found[0][2] != choice.finish_reason:
            return False
        reason, is_known, word = max(found, key=lambda entry: entry[0] in CUTS and _gravity(entry[0]))
        if self.reason is None or _gravity(reason) >= _gravity(self.reason):
            self.reason, self.is_known = reason, is_known
            self.word = None if word.lower() in _GRAVITY else word
        return True


def _gravity(reason: FinishReason) -> int:
    return _GRAVITY.index(reason)
