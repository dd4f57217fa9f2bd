"""The history of a conversation, as a value: what was said, in exchanges that can be undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onplan.errors import InvalidRequestError
from onplan.types import Message, Role, ToolResult


@dataclass(frozen=True, slots=True)
class History:
    """The messages of a conversation, oldest first.

    It begins with its instructions: the system and developer messages before anything else. Exchanges follow.
    An exchange is what was said, the answer, and the tool results and answers after it, until something else
    is said. What was said and never answered belongs to the same exchange as what was said next.
    """

    messages: tuple[Message, ...] = ()

    def plus(self, messages: Iterable[Message]) -> History:
        """This history with ``messages`` after it."""
        return History((*self.messages, *messages))

    @property
    def exchanges(self) -> tuple[tuple[Message, ...], ...]:
        """The messages of each exchange, oldest first."""
        ends = (*self._begins()[1:], len(self.messages))
        return tuple(self.messages[begin:end] for begin, end in zip(self._begins(), ends, strict=False))

    @property
    def awaits_answer(self) -> bool:
        """Whether the model has to speak next: it has not answered yet, or has called tools."""
        if not self._begins():
            return False
        last = self.messages[-1]
        return last.role is not Role.ASSISTANT or bool(last.tool_calls)

    def until(self, count: int) -> History:
        """The history with its first ``count`` exchanges alone; below zero, without the last ``-count``.

        Raises InvalidRequestError if there are not so many.
        """
        begins = self._begins()
        number = count if count >= 0 else len(begins) + count
        if not 0 <= number <= len(begins):
            raise InvalidRequestError(
                f"The conversation has no exchange {count}: it has {len(begins)} in all.",
                hint="Give a number of exchanges to keep, or one below zero to leave out the last ones.",
            )
        return self if number == len(begins) else History(self.messages[: begins[number]])

    def undone(self) -> History:
        """The history without its last exchange. Raises InvalidRequestError if there is none."""
        if not self._begins():
            raise InvalidRequestError(
                "There is nothing to undo: nothing was said yet.", hint="Say something."
            )
        return self.until(-1)

    def _begins(self) -> tuple[int, ...]:
        """Where the exchanges begin."""
        first = 0
        while first < len(self.messages) and self.messages[first].role in _INSTRUCTIONS:
            first += 1
        rest = range(first, len(self.messages))
        return tuple(at for at in rest if at == first or (self._asks(at) and not self._asks(at - 1)))

    def _asks(self, position: int) -> bool:
        """Whether the message there was said to the model, and is no tool result."""
        message = self.messages[position]
        return message.role in _ASKING and not any(isinstance(part, ToolResult) for part in message.content)


_INSTRUCTIONS = (Role.SYSTEM, Role.DEVELOPER)
_ASKING = (*_INSTRUCTIONS, Role.USER)
