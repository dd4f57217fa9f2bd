"""Why an answer ended, by all that its choices say of it."""

from __future__ import annotations

from onplan.answers.finish_reasons import finish_of
from onplan.chat.events import Choice
from onplan.errors import StreamFailedError
from onplan.types import FinishReason

# Of several reasons the later in this list counts: that an answer was cut is never taken back.
_GRAVITY = (
    FinishReason.STOP,
    FinishReason.TOOL_CALLS,
    FinishReason.LENGTH,
    FinishReason.CONTENT_FILTER,
    FinishReason.ERROR,
)
CUTS = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)


class Ending:
    """The finish reason so far.

    Attributes:
        reason: None as long as none came.
        word: the server's own for it, where it is none of ``FinishReason``.
        is_known: whether that word is.
    """

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        self.word: str | None = None
        self.is_known = True

    def take(self, choice: Choice) -> bool:
        """Whether ``choice`` has a reason. Raises StreamFailedError if that is a failure.

        The native word, of the server behind a gateway, may say what the gateway's hides: that the answer
        failed, or was cut or filtered.
        """
        words = [
            word for word in (choice.finish_reason, choice.native_finish_reason) if isinstance(word, str)
        ]
        finishes = [(finish, word) for word in words if (finish := finish_of(word))]
        for finish, word in finishes:
            if finish.reason is FinishReason.ERROR:
                raise StreamFailedError(f"The answer was interrupted ({word}).")
        if not finishes or finishes[0][1] != choice.finish_reason:
            return False
        finish, word = max(finishes, key=lambda found: found[0].reason in CUTS and _gravity(found[0].reason))
        if self.reason is None or _gravity(finish.reason) >= _gravity(self.reason):
            self.reason, self.is_known = finish.reason, finish.is_known
            self.word = None if word.lower() in _GRAVITY else word
        return True


def _gravity(reason: FinishReason) -> int:
    return _GRAVITY.index(reason)
